// One budget in bytes, split into KV blocks and state slots.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace braid {

// What one block and one slot cost, and how many could ever be of use.
struct MemoryDemand {
  int64_t block_bytes = 0;      // all attention layers; 0 for models without attention
  int64_t slot_bytes = 0;       // all Mamba layers; 0 for models without recurrent state
  int block_size = 32;          // tokens
  int max_sequences = 1;
  int max_model_len = 1;        // tokens
  bool prefix_cache = false;    // more than the running can use is of use
};

struct MemorySplit {
  int num_blocks = 0;
  int num_state_slots = 0;      // those for snapshots included
  int num_snapshot_slots = 0;   // of them, more than sequences may run: the prefix cache has them to itself
  int64_t bytes = 0;            // of both together
};

// Splits `budget` bytes: slots for as many sequences as may run, as long as half of the budget or a context's worth of
// blocks is left, the rest blocks; never more of either than could be used. For the prefix cache as many blocks again
// are of use, and a quarter of what a context's worth of blocks leaves goes to snapshots, four for each sequence at
// most. ResourceExhausted when not even one sequence of one block fits; the message says how much would.
absl::StatusOr<MemorySplit> SplitMemory(int64_t budget, const MemoryDemand& demand);

// Bytes that this process may still take: what the system has available, cut by the cgroup's limit.
int64_t AvailableMemory();

// "1.5 GiB"
std::string BytesString(int64_t bytes);

}  // namespace braid
