// What the ranks of a tensor-parallel group tell each other. All of them make the same calls in the same order; each
// call is a meeting of all.
#pragma once

#include <cstddef>
#include <span>

#include "absl/status/status.h"
#include "kernels/base/team.h"
#include "kernels/tensor.h"

namespace braid {

// Which shard of how many.
struct RankPlace {
  int rank = 0;
  int size = 1;
  bool alone() const { return size == 1; }
};

inline constexpr int kMaxRanks = 64;
inline constexpr int kRankLostExit = 71;  // of a process whose group has lost a rank, as of one whose device failed

// y (+)= x of rank 0 + x of rank 1 + ...: summed in f32 in this order on every rank, so that all have the same bits.
struct AllReduceArgs {
  TensorView x;      // [tokens, n] dense; this rank's part
  TensorView y;      // [tokens, n] dense; may be x
  bool add = false;  // onto what y holds
};

// Fills in the columns of y that the other ranks have.
struct AllGatherArgs {
  TensorView y;                      // [tokens, n], rows may be strided
  std::span<const int64_t> borders;  // [ranks + 1] rising: rank r has columns [borders[r], borders[r + 1])
  bool to_first_only = false;        // only rank 0 needs them
};

// Thread: one rank's team walks AllReduce and AllGather together, each member with its share; Broadcast and status are
// for one thread of the rank, while no walk runs.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual RankPlace place() const = 0;
  virtual void AllReduce(const AllReduceArgs& args, const Share& share) = 0;
  virtual void AllGather(const AllGatherArgs& args, const Share& share) = 0;
  // `bytes` of rank 0 to all others, whose spans are as long.
  virtual void Broadcast(std::span<std::byte> bytes) = 0;
  // Unavailable once a rank is lost; what later calls leave behind is then worth nothing, but they return.
  virtual absl::Status status() const = 0;
};

}  // namespace braid
