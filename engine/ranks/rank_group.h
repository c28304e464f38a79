// The ranks beside the first, which is this process's engine: starts them, tells them what to load and what to step,
// notices the end of one, ends them.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/ranks/rank_message.h"
#include "kernels/collective/shm_communicator.h"

namespace braid {

// Thread: the engine's, but for what hears of a loss.
class RankGroup {
 public:
  // Starts ranks 1 to `ranks` - 1: processes of `program` called as `PROGRAM rank FD RANK` (RankMain), or, where it is
  // empty, threads of this one.
  static absl::StatusOr<std::unique_ptr<RankGroup>> Start(int ranks, const std::string& program);
  // Ends the ranks at once unless Stop has let them end.
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;

  // Of the first rank, once; it must live until Stop.
  std::unique_ptr<Communicator> TakeCommunicator();

  void Load(const LoadOrder& order) { SendMessage(*ranks_, Encode(order)); }
  // Waits until all have loaded; an error when one could not.
  absl::Status AwaitLoaded();
  void MakePools(const PoolOrder& order) { SendMessage(*ranks_, Encode(order)); }
  // Before the first rank's own walk of `plan`.
  void Step(const StepPlan& plan, const SpecOf& spec_of);
  // Lets the ranks end; no step comes any more.
  void Stop();

  // `hear` is called, on another thread, when a rank has ended that should not have. Null: nobody listens any more.
  void OnLost(std::function<void(const absl::Status&)> hear);

 private:
  RankGroup(int ranks, std::unique_ptr<ShmCommunicator> first, std::unique_ptr<ShmCommunicator> teller)
      : size_(ranks), first_(std::move(first)), ranks_(first_.get()), teller_(std::move(teller)) {}
  absl::Status StartProcess(int rank, int fd, const std::string& program);
  absl::Status StartThread(int rank, int fd);
  void Reap(int rank, pid_t pid);
  void OnEnd(int rank, const absl::Status& why);

  const int size_;
  std::unique_ptr<ShmCommunicator> first_;
  Communicator* const ranks_;                      // as first_, which is given away
  const std::unique_ptr<ShmCommunicator> teller_;  // says of ranks that they are lost: any thread may
  std::vector<std::thread> watchers_;              // one a rank: waits for its process, or is it
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  std::vector<pid_t> running_;                     // guarded by mutex_: processes not reaped yet
  bool stopping_ = false;                          // guarded by mutex_
  absl::Status loss_;                              // guarded by mutex_: the first
  std::function<void(const absl::Status&)> hear_;  // guarded by mutex_
};

}  // namespace braid
