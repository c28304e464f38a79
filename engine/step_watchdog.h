// Looks whether the step under way ends. A device or a thread that hangs cannot be called off: the process ends, so that
// whoever started it starts it again.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "kernels/base/clock.h"
#include "scheduler/step_plan.h"

namespace braid {

inline constexpr int kStepTimeoutExit = 70;

// A sequence of a step, as the last words name it: "request[choice]".
using SequenceName = std::function<std::string(SequenceId)>;

// Thread: Begin and End the engine's, the rest any.
class StepWatchdog {
 public:
  // `limit_ns` 0: looks at nothing. `name` is called by the thread that ends the process, between Begin and End.
  StepWatchdog(const Clock* clock, int64_t limit_ns, SequenceName name);
  ~StepWatchdog();
  StepWatchdog(const StepWatchdog&) = delete;

  // The step of `plan` begins. The plan, and what `name` reads, must not change until End.
  void Begin(const StepPlan& plan);
  void End();

  // Logs what is in the step and ends the process with kStepTimeoutExit if the step takes longer than the limit. A
  // thread of its own calls it all the time.
  void Look();

 private:
  void Run();
  [[noreturn]] void GiveUp(int64_t taken_ns);

  const Clock* const clock_;
  const int64_t limit_ns_;
  const SequenceName name_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;               // this and the rest: guarded by mutex_
  const StepPlan* plan_ = nullptr;  // null between two steps
  int64_t began_ns_ = 0;
  std::thread thread_;              // none when there is no limit
};

// The sequences of a step: "name start+tokens prefill" or "... decode", with commas between; the first 64 of them.
std::string DescribeStep(const StepPlan& plan, const SequenceName& name);

}  // namespace braid
