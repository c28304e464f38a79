// The whole engine on the emulated device: what requests see of it, and what a step asks of the runtime.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "engine/engine.h"
#include "engine/testing/collector.h"
#include "models/weights/checkpoint.h"
#include "tests/simt/stream.h"

namespace braid {
namespace {

using ::testing::HasSubstr;
using testing::Collector;
using Tokens = std::vector<int32_t>;

const SteadyClock kClock;

EngineConfig Config(const std::string& device) {
  EngineConfig config{.device = device, .threads = 1, .pin_threads = false, .memory_bytes = 16 << 20, .max_model_len = 256};
  config.scheduler.max_tokens_per_step = 32;
  config.scheduler.max_sequences = 4;
  return config;
}

absl::StatusOr<std::unique_ptr<Engine>> TryStart(const std::string& model, const EngineConfig& config) {
  auto checkpoint = Checkpoint::Open(std::string(BRAID_SOURCE_DIR "/tests/data/models/") + model);
  CHECK(checkpoint.ok()) << checkpoint.status();
  return Engine::Start(config, **checkpoint, &kClock);
}

std::unique_ptr<Engine> Start(const std::string& model, const EngineConfig& config) {
  auto engine = TryStart(model, config);
  CHECK(engine.ok()) << engine.status();
  return *std::move(engine);
}

Tokens Prompt(uint32_t seed, int length) {
  std::mt19937 random(seed);
  Tokens prompt(static_cast<size_t>(length));
  for (int32_t& id : prompt) id = static_cast<int32_t>(random() % 250);
  return prompt;
}

GenerateRequest Request(Tokens prompt, int max_tokens, Collector& collector) {
  GenerateRequest request{.prompt = std::move(prompt), .max_tokens = max_tokens, .ignore_eos = true, .on_event = collector.Sink()};
  request.sampling = {.temperature = 0.8f, .top_p = 0.9f, .repetition_penalty = 1.1f, .seed = 17, .logprobs = 2};
  return request;
}

Tokens Answer(Engine& engine, Tokens prompt, int max_tokens) {
  Collector collector;
  CHECK(engine.Submit(Request(std::move(prompt), max_tokens, collector)).ok());
  CHECK(collector.WaitForEnd());
  return collector.choice().tokens;
}

// Requests together: prompts in chunks beside decodes of others.
std::vector<Tokens> Answers(Engine& engine, int count) {
  std::vector<std::unique_ptr<Collector>> collectors;
  for (int i = 0; i < count; ++i) {
    collectors.push_back(std::make_unique<Collector>());
    CHECK(engine.Submit(Request(Prompt(i, 10 + 23 * i), 12, *collectors.back())).ok());
  }
  std::vector<Tokens> answers;
  for (const auto& collector : collectors) {
    CHECK(collector->WaitForEnd());
    answers.push_back(collector->choice().tokens);
  }
  return answers;
}

class CudaEngine : public ::testing::TestWithParam<const char*> {};

TEST_P(CudaEngine, SampledTokensAreThoseOfTheCpu) {
  const auto cpu = Start(GetParam(), Config("cpu")), cuda = Start(GetParam(), Config("cuda"));
  EXPECT_THAT(cuda->info().fingerprint, HasSubstr("-cuda-"));
  EXPECT_EQ(Answers(*cuda, 6), Answers(*cpu, 6));
}

TEST_P(CudaEngine, PrefixesAndDraftsChangeNothing) {
  EngineConfig plain = Config("cuda"), full = Config("cuda");
  plain.scheduler.prefix_cache = false;
  full.scheduler.prefix_cache = true;
  full.scheduler.max_drafts = 3;
  const auto wanted = Start(GetParam(), plain), cached = Start(GetParam(), full);
  Tokens prompt = Prompt(1, 70);
  prompt.insert(prompt.end(), prompt.begin(), prompt.begin() + 40);  // something to guess from
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Answer(*cached, prompt, 16), Answer(*wanted, prompt, 16));
  EXPECT_GT(cached->Stats().prefix.hit_tokens, 0u);
}

TEST_P(CudaEngine, LogprobsOfThePromptAreThoseOfTheCpu) {
  const auto cpu = Start(GetParam(), Config("cpu")), cuda = Start(GetParam(), Config("cuda"));
  for (const int count : {0, 3, cpu->info().vocab_size}) {
    std::vector<TokenLogprobs> told[2];
    for (Engine* engine : {cpu.get(), cuda.get()}) {
      Collector collector;
      GenerateRequest request = Request(Prompt(3, 40), 2, collector);
      request.prompt_logprobs = count;
      ASSERT_TRUE(engine->Submit(std::move(request)).ok());
      ASSERT_TRUE(collector.WaitForEnd());
      told[engine == cuda.get()] = collector.choice().prompt_logprobs;
    }
    ASSERT_EQ(told[0].size(), 39u);
    ASSERT_EQ(told[1].size(), 39u);
    for (size_t i = 0; i < 39; ++i) {
      EXPECT_NEAR(told[1][i].logprob, told[0][i].logprob, 1e-3) << i;
      EXPECT_NEAR(told[1][i].rank, told[0][i].rank, 2) << i;  // near ties
      ASSERT_EQ(told[1][i].top.size(), static_cast<size_t>(count)) << i;
      for (size_t k = 0; k < told[1][i].top.size(); ++k) EXPECT_NEAR(told[1][i].top[k].second, told[0][i].top[k].second, 1e-3) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, CudaEngine, ::testing::Values("llama", "nemotron_h"),
                         [](const auto& info) { return std::string(info.param); });

void WaitForIdle(const Engine& engine) {
  for (int i = 0; i < 2000 && (engine.InFlight() > 0 || engine.Stats().busy); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

TEST(CudaEngineStep, RepeatsRecordingsAndWaitsOnce) {
  const auto engine = Start("nemotron_h", Config("cuda"));
  Answer(*engine, Prompt(1, 20), 10);  // records the shape
  WaitForIdle(*engine);
  const simt::Counters before = simt::TheCounters();
  const auto steps_before = engine->Stats().steps;
  Answer(*engine, Prompt(2, 20), 30);
  WaitForIdle(*engine);
  const simt::Counters after = simt::TheCounters();
  const int64_t steps = static_cast<int64_t>(engine->Stats().steps - steps_before);
  EXPECT_EQ(steps, 30);
  EXPECT_EQ(after.replays - before.replays, steps - 1);  // all but the prompt's
  EXPECT_EQ(after.allocations - before.allocations, 0);
  EXPECT_EQ(after.waits - before.waits, steps);
  EXPECT_EQ(after.copies_out - before.copies_out, steps);
}

TEST(CudaEngineStart, AFullDeviceSaysWhatToLower) {
  simt::FailNextAllocation();
  const auto engine = TryStart("llama", Config("cuda"));
  ASSERT_EQ(engine.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(engine.status().message()), HasSubstr("lower --memory"));
}

TEST(CudaEngineFailure, EndsAnswersThenTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const auto engine = Start("llama", Config("cuda"));
        Collector collector;
        CHECK(engine->Submit(Request(Prompt(1, 20), 200, collector)).ok());
        collector.WaitForTokens(2);
        simt::FailDevice();
        CHECK(collector.WaitForEnd());
        std::fprintf(stderr, "told: %s\n", collector.choice().error.ToString().c_str());
        std::this_thread::sleep_for(std::chrono::seconds(30));
      },
      ::testing::ExitedWithCode(71), HasSubstr("told: INTERNAL: the CUDA device failed: unspecified launch failure"));
}

}  // namespace
}  // namespace braid
