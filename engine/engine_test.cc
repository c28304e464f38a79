#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <thread>

#include "engine/testing/collector.h"
#include "models/weights/checkpoint.h"
#include "models/weights/safetensors.h"

namespace braid {
namespace {

using ::testing::HasSubstr;
using testing::Collector;

const SteadyClock kClock;

std::string FolderOf(const std::string& name) { return std::string(BRAID_SOURCE_DIR "/tests/data/models/") + name; }

EngineConfig SmallConfig() {
  EngineConfig config{.threads = 2, .pin_threads = false, .memory_bytes = 64 << 20};
  config.scheduler.max_tokens_per_step = 64;
  config.scheduler.max_sequences = 8;
  return config;
}

std::unique_ptr<Engine> StartEngine(const std::string& model, const EngineConfig& config = SmallConfig()) {
  auto checkpoint = Checkpoint::Open(FolderOf(model));
  CHECK(checkpoint.ok()) << checkpoint.status();
  auto engine = Engine::Start(config, **checkpoint, &kClock);
  CHECK(engine.ok()) << engine.status();
  return *std::move(engine);
}

std::vector<int32_t> Expected(const std::string& model, const char* name) {
  auto file = SafetensorsFile::Open(FolderOf(model) + "/expected.safetensors");
  const StoredTensor& tensor = (*file)->tensors().at(name);
  std::vector<int64_t> wide(tensor.bytes.size() / 8);
  std::memcpy(wide.data(), tensor.bytes.data(), tensor.bytes.size());
  return {wide.begin(), wide.end()};
}

GenerateRequest Greedy(std::vector<int32_t> prompt, int max_tokens, Collector& collector) {
  return {.prompt = std::move(prompt),
          .sampling = {.temperature = 0},
          .max_tokens = max_tokens,
          .ignore_eos = true,
          .on_event = collector.Sink()};
}

void WaitForIdle(const Engine& engine) {
  for (int i = 0; i < 2000 && (engine.InFlight() > 0 || engine.Stats().busy || engine.Stats().blocks_used > 0); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

class EngineOnModel : public ::testing::TestWithParam<const char*> {};

TEST_P(EngineOnModel, ContinuesGreedilyAsTheReferenceDoes) {
  const auto engine = StartEngine(GetParam());
  Collector collector;
  ASSERT_TRUE(engine->Submit(Greedy(Expected(GetParam(), "input_ids"), 32, collector)).ok());
  ASSERT_TRUE(collector.WaitForEnd());
  EXPECT_EQ(collector.choice().tokens, Expected(GetParam(), "greedy"));
  EXPECT_EQ(collector.choice().finish, FinishReason::kLength);
}

TEST_P(EngineOnModel, TokensDoNotDependOnCompanyOrPreemption) {
  // Blocks for about two of eight sequences: the younger ones are preempted and start over.
  EngineConfig tight = SmallConfig();
  auto roomy = StartEngine(GetParam());
  tight.memory_bytes = 8 * roomy->info().state_bytes_per_sequence + (256 << 10);
  tight.max_model_len = 128;
  std::mt19937 random(7);
  std::vector<std::vector<int32_t>> prompts;
  for (int i = 0; i < 12; ++i) {
    std::vector<int32_t> prompt(5 + random() % 60);
    for (int32_t& id : prompt) id = random() % roomy->info().vocab_size;
    prompts.push_back(prompt);
  }
  const auto sampled = [&](int i, Collector& collector) {
    GenerateRequest request = Greedy(prompts[i], 60, collector);
    request.sampling = {.temperature = 0.8f, .top_p = 0.9f, .repetition_penalty = 1.1f, .seed = 11u + i};
    return request;
  };
  std::vector<std::vector<int32_t>> alone;
  for (int i = 0; i < 12; ++i) {
    Collector collector;
    ASSERT_TRUE(roomy->Submit(sampled(i, collector)).ok());
    ASSERT_TRUE(collector.WaitForEnd());
    alone.push_back(collector.choice().tokens);
  }
  const auto engine = StartEngine(GetParam(), tight);
  std::vector<Collector> collectors(12);
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(engine->Submit(sampled(i, collectors[i])).ok());
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(collectors[i].WaitForEnd());
    EXPECT_EQ(collectors[i].choice().tokens, alone[i]) << "request " << i;
  }
  WaitForIdle(*engine);
  EXPECT_GT(engine->Stats().preemptions, 0u);
  EXPECT_EQ(engine->Stats().blocks_used, 0);
  EXPECT_EQ(engine->Stats().state_slots_used, 0);
}

INSTANTIATE_TEST_SUITE_P(Models, EngineOnModel,
                         ::testing::Values("llama", "nemotron_h", "nemotron_h_latent_mtp"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Engine, PreemptsWhenBlocksRunOutAndLosesNothing) {
  EngineConfig tight = SmallConfig();
  tight.max_model_len = 256;
  // llama: 4 layers x 2 heads x 16 x (K, V) f32 = 1 KiB a token, 32 KiB a block: 12 blocks.
  tight.memory_bytes = 12 * 32 << 10;
  const auto engine = StartEngine("llama", tight);
  ASSERT_EQ(engine->info().num_blocks, 12);
  std::vector<Collector> collectors(4);
  for (Collector& collector : collectors) {
    ASSERT_TRUE(engine->Submit(Greedy(Expected("llama", "input_ids"), 120, collector)).ok());
  }
  for (Collector& collector : collectors) {
    ASSERT_TRUE(collector.WaitForEnd());
    EXPECT_EQ(collector.choice().tokens, collectors[0].choice().tokens);
    EXPECT_EQ(collector.choice().tokens.size(), 120u);
  }
  EXPECT_GT(engine->Stats().preemptions, 0u);
}

TEST(Engine, AnswersAllChoicesWithTheirOwnDraws) {
  const auto engine = StartEngine("llama");
  Collector collector(4), again(4);
  for (Collector* one : {&collector, &again}) {
    GenerateRequest request = Greedy({1, 2, 3}, 16, *one);
    request.n = 4;
    request.sampling = {.temperature = 1.0f, .seed = 5};
    ASSERT_TRUE(engine->Submit(std::move(request)).ok());
    ASSERT_TRUE(one->WaitForEnd());
  }
  for (int i = 0; i < 4; ++i) EXPECT_EQ(collector.choice(i).tokens, again.choice(i).tokens);
  EXPECT_NE(collector.choice(0).tokens, collector.choice(1).tokens);
}

TEST(Engine, GivesLogprobsOfPromptAndOutput) {
  const auto engine = StartEngine("llama");
  Collector collector;
  GenerateRequest request = Greedy(Expected("llama", "input_ids"), 4, collector);
  request.prompt_logprobs = request.sampling.logprobs = 3;
  const size_t prompt = request.prompt.size();
  ASSERT_TRUE(engine->Submit(std::move(request)).ok());
  ASSERT_TRUE(collector.WaitForEnd());
  const testing::Choice& choice = collector.choice();
  ASSERT_EQ(choice.prompt_logprobs.size(), prompt - 1);
  ASSERT_EQ(choice.logprobs.size(), 4u);
  for (const TokenLogprobs& one : choice.prompt_logprobs) {
    EXPECT_LT(one.logprob, 0);
    EXPECT_EQ(one.top.size(), 3u);
    EXPECT_GE(one.top[0].second, one.logprob - 1e-6);
  }
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(choice.logprobs[i].top[0].first, choice.tokens[i]);
    EXPECT_FLOAT_EQ(choice.logprobs[i].top[0].second, choice.logprobs[i].logprob);
  }
}

TEST(Engine, StopsAtStopTokensButNotBeforeMinTokens) {
  const auto engine = StartEngine("llama");
  const std::vector<int32_t> greedy = Expected("llama", "greedy");
  Collector collector, longer;
  GenerateRequest request = Greedy(Expected("llama", "input_ids"), 32, collector);
  request.stop_token_ids = {greedy[3]};
  ASSERT_TRUE(engine->Submit(std::move(request)).ok());
  ASSERT_TRUE(collector.WaitForEnd());
  EXPECT_EQ(collector.choice().finish, FinishReason::kStop);
  EXPECT_EQ(collector.choice().stop_token, greedy[3]);
  EXPECT_LE(collector.choice().tokens.size(), 4u);
  request = Greedy(Expected("llama", "input_ids"), 32, longer);
  request.stop_token_ids = {greedy[3]};
  request.min_tokens = 20;
  ASSERT_TRUE(engine->Submit(std::move(request)).ok());
  ASSERT_TRUE(longer.WaitForEnd());
  EXPECT_GT(longer.choice().tokens.size(), 20u - 1);
  for (size_t i = 0; i < 20; ++i) EXPECT_NE(longer.choice().tokens[i], greedy[3]);
}

TEST(Engine, CancelFreesItsBlocks) {
  const auto engine = StartEngine("nemotron_h");
  Collector collector;
  const auto handle = engine->Submit(Greedy({1, 2, 3}, 4000, collector));
  ASSERT_TRUE(handle.ok()) << handle.status();
  collector.WaitForTokens(5);
  engine->Cancel(*handle);
  ASSERT_TRUE(collector.WaitForEnd());
  EXPECT_EQ(collector.choice().finish, FinishReason::kAbort);
  WaitForIdle(*engine);
  EXPECT_EQ(engine->Stats().blocks_used, 0);
  EXPECT_EQ(engine->Stats().state_slots_used, 0);
  EXPECT_EQ(engine->InFlight(), 0);
}

TEST(Engine, NamesWhatIsWrongWithARequest) {
  const auto engine = StartEngine("llama");
  Collector collector;
  const auto error = [&](auto change) {
    GenerateRequest request = Greedy({1, 2}, 4, collector);
    change(request);
    return std::string(engine->Submit(std::move(request)).status().message());
  };
  EXPECT_THAT(error([](auto& r) { r.prompt = {}; }), HasSubstr("prompt: has no tokens"));
  EXPECT_THAT(error([](auto& r) { r.prompt = {288}; }), HasSubstr("token id 288 is not in 0..287"));
  EXPECT_THAT(error([](auto& r) { r.prompt = {-1}; }), HasSubstr("token id -1"));
  EXPECT_THAT(error([](auto& r) { r.n = 0; }), HasSubstr("n: 0"));
  EXPECT_THAT(error([](auto& r) { r.max_tokens = 511; }), HasSubstr("512"));
  EXPECT_THAT(error([](auto& r) { r.sampling.temperature = NAN; }), HasSubstr("temperature: nan"));
  EXPECT_THAT(error([](auto& r) { r.sampling.logit_bias = {{999, 1.0f}}; }), HasSubstr("logit_bias: token id 999"));
  EXPECT_EQ(engine->InFlight(), 0);
}

TEST(Engine, RefusesWhenItsQueueIsFullOrItDrains) {
  EngineConfig config = SmallConfig();
  config.max_queue = 2;
  config.scheduler.max_sequences = 1;
  const auto engine = StartEngine("llama", config);
  std::vector<Collector> collectors(8);
  int refused = 0;
  for (Collector& collector : collectors) {
    const auto handle = engine->Submit(Greedy({1, 2, 3}, 200, collector));
    if (handle.ok()) continue;
    EXPECT_EQ(handle.status().code(), absl::StatusCode::kUnavailable);
    ++refused;
  }
  EXPECT_GE(refused, 5);
  engine->BeginDrain();
  Collector late;
  EXPECT_THAT(std::string(engine->Submit(Greedy({1}, 1, late)).status().message()), HasSubstr("draining"));
  engine->AbortAll(absl::UnavailableError("going down"));
  WaitForIdle(*engine);
  EXPECT_EQ(engine->InFlight(), 0);
}

TEST(Engine, EndsRequestsAtTheirDeadline) {
  EngineConfig config = SmallConfig();
  const auto engine = StartEngine("llama", config);
  Collector collector;
  GenerateRequest request = Greedy({1, 2, 3}, 500, collector);
  request.deadline_ns = kClock.NowNs() + 1'000'000;
  ASSERT_TRUE(engine->Submit(std::move(request)).ok());
  ASSERT_TRUE(collector.WaitForEnd());
  EXPECT_EQ(collector.choice().finish, FinishReason::kAbort);
  EXPECT_EQ(collector.choice().error.code(), absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace braid
