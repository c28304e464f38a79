// Host cost of a step in steady decode: one Plan and one Commit. Bounds: 30 us at 256 sequences, 120 us at 1,024, the
// same however many wait, and whatever the prefix cache takes in.
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include "scheduler/scheduler.h"

namespace braid {
namespace {

constexpr int kContext = 8192, kPrompt = 64;

enum class Cache { kOff, kBlocks, kBlocksAndSnapshots };

// Of different contents and lengths, so that blocks fill at different steps.
std::vector<int32_t> Prompt(int i) { return std::vector<int32_t>(kPrompt - i % 32, i); }

// `running` sequences past their prompts, and `waiting` behind them.
std::unique_ptr<Scheduler> Decoding(int running, int waiting, Cache cache) {
  SchedulerConfig config{.max_tokens_per_step = running * kPrompt, .max_sequences = running};
  config.prefix_cache = cache != Cache::kOff;
  SchedulerLimits limits{.num_blocks = running * kContext / config.block_size, .max_model_len = kContext};
  if (cache == Cache::kBlocksAndSnapshots) limits.num_state_slots = 2 * running;
  auto scheduler = std::make_unique<Scheduler>(config, limits);
  std::vector<SchedulerEvent> events;
  for (int i = 0; i < running + waiting; ++i) {
    events.push_back(SequenceArrival{.id = static_cast<SequenceId>(i + 1),
                                     .prompt = Prompt(i),
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

void plan_and_commit(benchmark::State& state) {
  const int running = static_cast<int>(state.range(0)), waiting = static_cast<int>(state.range(1));
  const auto cache = static_cast<Cache>(state.range(2));
  std::unique_ptr<Scheduler> scheduler;
  int steps_left = 0;
  for (auto _ : state) {
    if (steps_left == 0) {
      state.PauseTiming();
      scheduler = Decoding(running, waiting, cache);
      Step(*scheduler);
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
BENCHMARK(plan_and_commit)
    ->ArgNames({"sequences", "waiting", "cache"})
    ->ArgsProduct({{256, 1024}, {0, 100'000}, {0, 1, 2}})
    ->Unit(benchmark::kMicrosecond);

// One arrival and one cancel beside 256 decodes: what a change costs with a long line behind it.
void BM_ArriveCancel(benchmark::State& state) {
  const int waiting = static_cast<int>(state.range(0));
  std::unique_ptr<Scheduler> scheduler = Decoding(256, waiting, Cache::kBlocks);
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

// A prompt of `tokens` that is cached but for its last block: Apply, the step that admits it, and its end.
void BM_CachedPrompt(benchmark::State& state) {
  const int tokens = static_cast<int>(state.range(0));
  SchedulerConfig config{.max_tokens_per_step = 1 << 20};
  SchedulerLimits limits{.num_blocks = 1 << 16, .max_model_len = 1 << 18};
  Scheduler scheduler(config, limits);
  std::vector<int32_t> prompt(tokens);
  for (int i = 0; i < tokens; ++i) prompt[i] = i;
  SequenceId id = 0;
  for (auto _ : state) {
    std::vector<SchedulerEvent> events;
    events.push_back(SequenceArrival{.id = ++id, .prompt = prompt, .max_tokens = 1});
    scheduler.Apply(std::move(events), 1);
    Step(scheduler);
  }
}
BENCHMARK(BM_CachedPrompt)->ArgNames({"tokens"})->Arg(1024)->Arg(32 * 1024)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace braid
