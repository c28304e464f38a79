// One rank that follows the first: loads its part of the model, keeps its own pools, walks every plan.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "kernels/collective/communicator.h"

namespace braid {

// Whether this process belongs to the rank alone: then its CPUs are narrowed to those of the rank.
enum class RankHome { kProcess, kThread };

// Returns OK when the first rank ends the group; an error when this rank cannot go on. Thread: the rank's.
absl::Status FollowPlans(std::unique_ptr<Communicator> communicator, RankHome home);

// The life of a process that was started to be rank `rank` of the segment behind `fd`; returns its exit code. Signals
// that ask the daemon to end are the first rank's to answer.
int RankMain(int fd, int rank);

}  // namespace braid
