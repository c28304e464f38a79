// Host cost of a step in steady decode: one Plan and one Commit. Bounds: 30 us at 256 sequences, 120 us at 1,024, the
// same however many wait.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "scheduler/scheduler.h"

namespace braid {
namespace {

constexpr int kContext = 8192, kPrompt = 64;

// `running` sequences past their prompts, and `waiting` behind them.
std::unique_ptr<Scheduler> Decoding(int running, int waiting) {
  SchedulerConfig config{.max_tokens_per_step = running * kPrompt, .max_sequences = running};
  SchedulerLimits limits{.num_blocks = running * kContext / config.block_size, .max_model_len = kContext};
  auto scheduler = std::make_unique<Scheduler>(config, limits);
  std::vector<SchedulerEvent> events;
  for (int i = 0; i < running + waiting; ++i) {
    events.push_back(SequenceArrival{.id = static_cast<SequenceId>(i + 1),
                                     .prompt = std::vector<int32_t>(kPrompt, 7),
                                     .max_tokens = kContext - kPrompt,
                                     .stop_token_ids = {2},
                                     .arrival_ns = i,
                                     .deadline_ns = int64_t{1} << 60});
  }
  scheduler->Apply(std::move(events), 1);
  return scheduler;
}

// Launches a step and answers it at once.
void Step(Scheduler& scheduler) {
  const StepPlan plan = scheduler.Plan();
  StepResult result{.epoch = plan.epoch};
  result.results.reserve(plan.steps.size());
  for (const SequenceStep& step : plan.steps) {
    if (step.samples) result.results.push_back({.row = step.row, .id = step.id, .token = 5});
  }
  benchmark::DoNotOptimize(scheduler.Commit(result));
}

void BM_PlanCommit(benchmark::State& state) {
  const int running = static_cast<int>(state.range(0)), waiting = static_cast<int>(state.range(1));
  std::unique_ptr<Scheduler> scheduler;
  int steps_left = 0;
  for (auto _ : state) {
    if (steps_left == 0) {
      state.PauseTiming();
      scheduler = Decoding(running, waiting);
      Step(*scheduler);
      steps_left = kContext - kPrompt - 8;
      state.ResumeTiming();
    }
    Step(*scheduler);
    --steps_left;
  }
  state.counters["ns_per_sequence"] =
      benchmark::Counter(running, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_PlanCommit)
    ->ArgNames({"sequences", "waiting"})
    ->ArgsProduct({{256, 1024}, {0, 100'000}})
    ->Unit(benchmark::kMicrosecond);

// One arrival and one cancel beside 256 decodes: what a change costs with a long line behind it.
void BM_ArriveCancel(benchmark::State& state) {
  const int waiting = static_cast<int>(state.range(0));
  std::unique_ptr<Scheduler> scheduler = Decoding(256, waiting);
  Step(*scheduler);
  SequenceId id = 1'000'000;
  for (auto _ : state) {
    std::vector<SchedulerEvent> events;
    events.push_back(SequenceArrival{.id = ++id, .prompt = std::vector<int32_t>(kPrompt, 7), .max_tokens = 8});
    events.push_back(SequenceCancel{id});
    benchmark::DoNotOptimize(scheduler->Apply(std::move(events), 2));
  }
}
BENCHMARK(BM_ArriveCancel)->ArgNames({"waiting"})->Arg(0)->Arg(100'000);

}  // namespace
}  // namespace braid
