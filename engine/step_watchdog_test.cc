#include "engine/step_watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/testing/tiny_engine.h"

namespace braid {
namespace {

using ::testing::AllOf;
using ::testing::ExitedWithCode;
using ::testing::HasSubstr;  // not a regex: Oniguruma brings a regcomp of its own, which ASan's regexec cannot take

constexpr int64_t kSecond = 1'000'000'000;

StepPlan Plan() {
  StepPlan plan{.epoch = 9};
  plan.steps = {{.id = 4, .start = 10, .num_tokens = 1}, {.id = 5, .start = 32, .num_tokens = 64, .prefill = true}};
  return plan;
}

std::string Name(SequenceId id) { return absl::StrCat("r", id, "[0]"); }

// The thread's own looks come between the test's and see the same.
TEST(StepWatchdog, LetsStepsEnd) {
  FakeClock clock;
  StepWatchdog watchdog(&clock, 60 * kSecond, Name);
  const StepPlan plan = Plan();
  watchdog.Look();
  for (int i = 0; i < 3; ++i) {
    watchdog.Begin(plan);
    clock.AdvanceNs(60 * kSecond);
    watchdog.Look();
    watchdog.End();
    clock.AdvanceNs(1000 * kSecond);
    watchdog.Look();
  }
}

TEST(StepWatchdog, EndsTheProcessNamingWhatIsInTheStep) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        FakeClock clock;
        StepWatchdog watchdog(&clock, 60 * kSecond, Name);
        const StepPlan plan = Plan();
        watchdog.Begin(plan);
        clock.AdvanceNs(60 * kSecond + 1);
        watchdog.Look();
      },
      ExitedWithCode(kStepTimeoutExit),
      AllOf(HasSubstr("\"step\":9"), HasSubstr("\"tokens\":65"), HasSubstr("r4[0] 10+1 decode, r5[0] 32+64 prefill")));
}

TEST(StepWatchdog, ALimitOfZeroIsNone) {
  FakeClock clock;
  StepWatchdog watchdog(&clock, 0, Name);
  const StepPlan plan = Plan();
  watchdog.Begin(plan);
  clock.AdvanceNs(1'000'000 * kSecond);
  watchdog.Look();
  watchdog.End();
}

TEST(StepWatchdog, DescribesTheFirstOfManySequences) {
  StepPlan plan;
  for (uint64_t id = 0; id < 100; ++id) plan.steps.push_back({.id = id, .num_tokens = 1});
  const std::string words = DescribeStep(plan, Name);
  EXPECT_THAT(words, ::testing::StartsWith("r0[0] 0+1 decode, r1[0]"));
  EXPECT_THAT(words, ::testing::EndsWith("r63[0] 0+1 decode, and 36 more"));
}

// Every step is too long for such a limit; the request is asked again until a look falls into one.
void AskUntilTheEnd() {
  const EngineConfig config{.threads = 1, .pin_threads = false, .memory_bytes = 64 << 20, .step_timeout_s = 1e-9};
  const auto engine = testing::StartTiny("llama", config);
  while (true) {
    testing::Collector collector;
    const auto handle = engine->Submit(
        {.id = "ask", .prompt = {1, 2, 3}, .max_tokens = 40, .ignore_eos = true, .on_event = collector.Sink()});
    CHECK(handle.ok()) << handle.status().ToString();
    collector.WaitForEnd();
  }
}

TEST(StepWatchdog, WatchesTheEngine) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(AskUntilTheEnd(), ExitedWithCode(kStepTimeoutExit), AllOf(HasSubstr("a step does not end"), HasSubstr("ask[0] ")));
}

}  // namespace
}  // namespace braid
