#include "engine/ranks/rank_group.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>

#include "engine/ranks/rank_worker.h"
#include "kernels/base/log.h"

extern char** environ;

namespace braid {
namespace {

constexpr int kChildFd = 3;                      // of the segment, in a rank's process
constexpr std::chrono::seconds kEndPatience{5};  // for ranks that were let go

// Closes a descriptor that the ranks have mapped or been handed.
struct FdCloser {
  int fd;
  ~FdCloser() { close(fd); }
};

std::string HowItEnded(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("was ended by signal ", WTERMSIG(status));
  return absl::StrCat("has ended with code ", WEXITSTATUS(status));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RankGroup>> RankGroup::Start(int ranks, const std::string& program) {
  ASSIGN_OR_RETURN(const int fd, MakeRankSegment(ranks));
  const FdCloser closer{fd};
  ASSIGN_OR_RETURN(std::unique_ptr<ShmCommunicator> first, ShmCommunicator::Join(fd, 0));
  ASSIGN_OR_RETURN(std::unique_ptr<ShmCommunicator> teller, ShmCommunicator::Join(fd, 0));
  std::unique_ptr<RankGroup> group(new RankGroup(ranks, std::move(first), std::move(teller)));
  for (int rank = 1; rank < ranks; ++rank) {
    RETURN_IF_ERROR(program.empty() ? group->StartThread(rank, fd) : group->StartProcess(rank, fd, program));
  }
  return group;
}

absl::Status RankGroup::StartThread(int rank, int fd) {
  ASSIGN_OR_RETURN(std::unique_ptr<ShmCommunicator> communicator, ShmCommunicator::Join(fd, rank));
  watchers_.emplace_back([this, rank, communicator = std::move(communicator)]() mutable {
    const absl::Status ended = FollowPlans(std::move(communicator), RankHome::kThread);
    if (!ended.ok()) OnEnd(rank, ended);
  });
  return absl::OkStatus();
}

absl::Status RankGroup::StartProcess(int rank, int fd, const std::string& program) {
  std::string words[] = {"braid", "rank", absl::StrCat(kChildFd), absl::StrCat(rank)};
  char* const argv[] = {words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fd, kChildFd);
  posix_spawn_file_actions_addclosefrom_np(&actions, kChildFd + 1);  // sockets that the daemon listens on, among others
  pid_t pid = 0;
  const int error = posix_spawn(&pid, program.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::InternalError(absl::StrCat("--tensor-parallel: cannot start ", program, ": ", std::strerror(error)));
  }
  Log(LogLevel::kInfo, "a rank was started", {{"rank", rank}, {"of", size_}, {"process", static_cast<int>(pid)}});
  {
    std::lock_guard lock(mutex_);
    running_.push_back(pid);
  }
  watchers_.emplace_back([this, rank, pid] { Reap(rank, pid); });
  return absl::OkStatus();
}

void RankGroup::Reap(int rank, pid_t pid) {
  // Waited for before it is reaped: its number is its own while it stands in running_.
  siginfo_t info;
  while (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  int status = 0;
  {
    std::lock_guard lock(mutex_);
    waitpid(pid, &status, 0);
    std::erase(running_, pid);
  }
  ended_changed_.notify_all();
  OnEnd(rank, absl::UnavailableError(absl::StrCat("rank ", rank, " of ", size_, " (process ", static_cast<int>(pid), ") ", HowItEnded(status))));
}

void RankGroup::OnEnd(int rank, const absl::Status& why) {
  std::lock_guard lock(mutex_);
  if (stopping_ || !loss_.ok()) return;
  loss_ = why;
  Log(LogLevel::kError, "a rank was lost", {{"rank", rank}, {"of", size_}, {"error", std::string(why.message())}});
  teller_->MarkLost(rank);
  if (hear_) hear_(why);
}

void RankGroup::OnLost(std::function<void(const absl::Status&)> hear) {
  std::lock_guard lock(mutex_);
  hear_ = std::move(hear);
  if (hear_ && !loss_.ok()) hear_(loss_);
}

std::unique_ptr<Communicator> RankGroup::TakeCommunicator() { return std::move(first_); }

absl::Status RankGroup::AwaitLoaded() {
  SendMessage(*ranks_, {});
  if (ranks_->status().ok()) return absl::OkStatus();
  // Who waited for the process knows more than that it is gone.
  std::unique_lock lock(mutex_);
  ended_changed_.wait_for(lock, kEndPatience, [&] { return !loss_.ok(); });
  return loss_.ok() ? ranks_->status() : loss_;
}

void RankGroup::Step(const StepPlan& plan, const SpecOf& spec_of) {
  StepOrder order{.plan = plan, .prompt_logprobs = {}};
  for (const SequenceStep& step : plan.steps) {
    const SamplingSpec* const spec = spec_of(step.id);
    order.prompt_logprobs.push_back(spec == nullptr ? StepOrder::kNoSpec : spec->prompt_logprobs);
  }
  SendMessage(*ranks_, Encode(std::move(order)));
}

void RankGroup::Stop() {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(stopping_, true)) return;
  }
  SendMessage(*ranks_, {});
  std::unique_lock lock(mutex_);
  ended_changed_.wait_for(lock, kEndPatience, [&] { return running_.empty(); });
}

RankGroup::~RankGroup() {
  {
    std::lock_guard lock(mutex_);
    if (!std::exchange(stopping_, true)) teller_->MarkLost(0);
    for (const pid_t pid : running_) kill(pid, SIGKILL);
  }
  for (std::thread& watcher : watchers_) watcher.join();
}

}  // namespace braid
