// Ranks on one host that meet in shared memory: processes that map one segment, or threads of one process.
//
// Each rank has two slots of the segment, used in turn. A call puts a rank's part into its slot, meets the others and
// takes theirs; a slot is written again two meetings later, when all have long read it. So a call is one meeting, or
// one for each slotful. A meeting spins briefly, then parks on a futex. Who has parked looks now and then whether the
// others' processes live: one that ended, or was said to be lost, ends the group for all.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/collective/communicator.h"

namespace braid {

inline constexpr size_t kRankSlotBytes = size_t{1} << 20;

// Returns the descriptor (close-on-exec) of a segment for `ranks` ranks; the caller closes it.
absl::StatusOr<int> MakeRankSegment(int ranks, size_t slot_bytes = kRankSlotBytes);

class ShmCommunicator final : public Communicator {
 public:
  // Maps the segment behind `fd`, which stays the caller's. InvalidArgument when it is none, or has no such rank.
  static absl::StatusOr<std::unique_ptr<ShmCommunicator>> Join(int fd, int rank);
  ~ShmCommunicator() override;
  ShmCommunicator(const ShmCommunicator&) = delete;

  RankPlace place() const override { return place_; }
  void AllReduce(const AllReduceArgs& args, const Share& share) override;
  void AllGather(const AllGatherArgs& args, const Share& share) override;
  void Broadcast(std::span<std::byte> bytes) override;
  absl::Status status() const override;

  // Says that `rank` will not come any more: wakes all who wait for it. Thread: any.
  void MarkLost(int rank);

 private:
  struct Segment;
  ShmCommunicator(Segment* segment, size_t bytes, RankPlace place);

  std::byte* Slot(int turn, int rank) const;
  int64_t slot_floats() const { return static_cast<int64_t>(slot_bytes_ / sizeof(float)); }
  // put(this rank's slot), the meeting, take(which slots).
  template <class Put, class Take>
  void Exchange(const Share& share, const Put& put, const Take& take);
  void SumPart(int turn, int64_t begin, int64_t count, float* y, bool add) const;
  void Meet();
  void Park(uint32_t generation);
  void LookForLost();

  Segment* const segment_;
  const size_t bytes_, slot_bytes_;
  const RankPlace place_;
  const int spins_;
  int turn_ = 0;                // written by the team's first member between two of the team's barriers
  std::vector<int> peer_fds_;   // pidfds of the others, -1 until looked for
};

}  // namespace braid
