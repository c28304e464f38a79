// A team of threads that walk one function together: each takes its Share of every operation.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "kernels/base/team_size.h"

namespace braid {

// All members wait at it until the last has come: spins briefly, then parks, so that an idle or crowded
// machine is not burnt. Thread: the members of one team.
class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}
  void Wait();

  // For the next waits; nobody waits now.
  void SetMembers(int members) { members_ = members; }

 private:
  int members_;
  std::atomic<int> arrived_{0};
  std::atomic<uint32_t> generation_{0};
};

// One member's part of the work: `index` of `count`, and the barrier that the members share.
struct Share {
  int index = 0;
  int count = 1;
  Barrier* barrier = nullptr;

  // The half-open range of [0, total) that belongs to this member, in whole multiples of `grain`.
  struct Range {
    int64_t begin, end;
  };
  Range Of(int64_t total, int64_t grain = 1) const {
    const int64_t units = (total + grain - 1) / grain;
    const int64_t begin = units * index / count * grain, end = units * (index + 1) / count * grain;
    return {begin < total ? begin : total, end < total ? end : total};
  }
  void Sync() const {
    if (barrier != nullptr && count > 1) barrier->Wait();
  }
};

// Owns `size - 1` workers; the caller of Run is the first member. Thread: one caller at a time.
class Team {
 public:
  // With `own_cores` each member is to have a core: member i is pinned to the i-th allowed CPU, when there are as many
  // CPUs as members; and members stand by while other programs take cores from the team (team_size.h).
  explicit Team(int size, bool own_cores = true);
  ~Team();
  Team(const Team&) = delete;

  int size() const { return size_; }

  // Runs walk(share) on every member that does not stand by and returns when all have finished.
  void Run(const std::function<void(const Share&)>& walk);

 private:
  // Which run it is, and how many walk in it: one word, so that no member sees one without the other.
  struct Round {
    static constexpr int kBits = 11, kMostActive = (1 << kBits) - 1;
    uint32_t word = 0;
    int active() const { return static_cast<int>(word & kMostActive); }
    Round Next(int active) const { return {((word >> kBits) + 1) << kBits | static_cast<uint32_t>(active)}; }
  };

  void Publish(int active);
  void AwaitWorkers();
  void Work(int index);
  void Walk(const std::function<void(const Share&)>& walk, const Share& share);
  void Observe(int64_t wall_ns);
  void Place(int active);

  const int size_;
  const bool own_cores_;  // and more than one member
  Barrier barrier_;
  TeamSize team_size_;
  int64_t window_ns_ = 0;  // of walks since delays were read
  bool reads_delay_ = false;
  std::atomic<int64_t> longest_delay_ns_{0};
  const std::function<void(const Share&)>* walk_ = nullptr;
  std::atomic<uint32_t> round_{0};
  std::atomic<int> unfinished_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

// The number of CPUs that this process may really use: its affinity mask, cut by the cgroup's quota.
int UsableCpus();

}  // namespace braid
