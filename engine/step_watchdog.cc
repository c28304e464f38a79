#include "engine/step_watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "kernels/base/log.h"

namespace braid {
namespace {

constexpr size_t kMaxDescribed = 64;
constexpr std::chrono::nanoseconds kMinPause{1'000'000}, kMaxPause{1'000'000'000};  // between two looks

}  // namespace

std::string DescribeStep(const StepPlan& plan, const SequenceName& name) {
  std::string words;
  for (size_t i = 0; i < std::min(plan.steps.size(), kMaxDescribed); ++i) {
    const SequenceStep& step = plan.steps[i];
    absl::StrAppend(&words, i == 0 ? "" : ", ", name(step.id), " ", step.start, "+", step.num_tokens,
                    step.prefill ? " prefill" : " decode");
  }
  if (plan.steps.size() > kMaxDescribed) absl::StrAppend(&words, ", and ", plan.steps.size() - kMaxDescribed, " more");
  return words;
}

StepWatchdog::StepWatchdog(const Clock* clock, int64_t limit_ns, SequenceName name)
    : clock_(clock), limit_ns_(limit_ns), name_(std::move(name)) {
  if (limit_ns_ > 0) thread_ = std::thread([this] { Run(); });
}

StepWatchdog::~StepWatchdog() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void StepWatchdog::Begin(const StepPlan& plan) {
  std::lock_guard lock(mutex_);
  plan_ = &plan;
  began_ns_ = clock_->NowNs();
}

void StepWatchdog::End() {
  std::lock_guard lock(mutex_);
  plan_ = nullptr;
}

// Under the lock: a step that ends after all waits here for the process's end.
void StepWatchdog::Look() {
  std::lock_guard lock(mutex_);
  if (plan_ == nullptr || limit_ns_ <= 0) return;
  const int64_t taken_ns = clock_->NowNs() - began_ns_;
  if (taken_ns > limit_ns_) GiveUp(taken_ns);
}

void StepWatchdog::Run() {
  const auto pause = std::clamp(std::chrono::nanoseconds(limit_ns_ / 4), kMinPause, kMaxPause);
  for (bool stop = false; !stop;) {
    Look();
    std::unique_lock lock(mutex_);
    stop = stopped_.wait_for(lock, pause, [this] { return stop_; });
  }
}

// No destructors and no waiting for other threads: one of them hangs.
void StepWatchdog::GiveUp(int64_t taken_ns) {
  Log(LogLevel::kError, "a step does not end: the process ends",
      {{"step", static_cast<int64_t>(plan_->epoch)},
       {"seconds", static_cast<double>(taken_ns) * 1e-9},
       {"tokens", plan_->num_tokens()},
       {"sequences", plan_->steps.size()},
       {"batch", DescribeStep(*plan_, name_)}});
  _exit(kStepTimeoutExit);
}

}  // namespace braid
