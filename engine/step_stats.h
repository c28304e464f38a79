// Numbers of the engine's steps, for metrics.
#pragma once

#include <cstdint>

#include "engine/engine_config.h"
#include "scheduler/prefix_counters.h"

namespace braid {

// Speculation: decodes that carried drafts, the drafts, and those that were the token drawn in their place.
struct SpeculationCounters {
  uint64_t steps = 0;
  uint64_t draft_tokens = 0;
  uint64_t accepted_tokens = 0;
  uint64_t accepted_at[kMaxDrafts] = {};  // by place behind the known token
};

// Gauges of now and counters since the start.
struct EngineStats {
  int running = 0;                 // sequences in the batch
  int waiting = 0;                 // sequences short of capacity
  int blocks_used = 0, blocks_total = 0;            // used by sequences, shared ones counted once
  int blocks_cached = 0;                            // held by the prefix cache alone; free to whom needs them
  int state_slots_used = 0, state_slots_total = 0;  // used by sequences
  int snapshots = 0;                                // state slots that hold a snapshot
  uint64_t steps = 0;
  uint64_t preemptions = 0;
  uint64_t prompt_tokens_computed = 0;
  uint64_t generated_tokens = 0;
  PrefixCounters prefix;
  SpeculationCounters speculation;
  bool busy = false;               // a step is running
  int64_t shown_ns = 0;            // engine clock, when this was so: while busy, when the step began
  // Tokens in a step, prompt and output: cumulative counts of steps at or below each bound.
  static constexpr int kStepTokenBounds[] = {1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384};
  uint64_t step_tokens_at_most[13] = {};
  uint64_t step_tokens_sum = 0;
};

}  // namespace braid
