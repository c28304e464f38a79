// The prefix cache as requests see it: equal bits with and without it, and only new tokens computed.
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "engine/engine.h"
#include "engine/testing/tiny_engine.h"
#include "models/weights/checkpoint.h"

namespace braid {
namespace {

using testing::AskAll;
using testing::AskChoices;
using testing::Choice;
using testing::kClock;
using testing::StartTiny;
using testing::StatsWhenIdle;

constexpr int kBlock = 32;

EngineConfig Config(bool prefix_cache) {
  EngineConfig config{.threads = 1, .pin_threads = false, .memory_bytes = 64 << 20, .max_model_len = 512};
  config.scheduler.max_tokens_per_step = 64;
  config.scheduler.max_sequences = 8;
  config.scheduler.prefix_cache = prefix_cache;
  return config;
}

GenerateRequest Request(std::vector<int32_t> prompt, int max_tokens, const std::string& salt = "") {
  GenerateRequest request{.prompt = std::move(prompt), .max_tokens = max_tokens, .ignore_eos = true};
  request.sampling = {.temperature = 0.9f, .top_p = 0.95f, .repetition_penalty = 1.1f, .seed = 17, .logprobs = 2};
  request.cache_salt = salt;
  return request;
}

struct Answer {
  std::vector<Choice> choices;
  uint64_t computed = 0;  // prompt tokens
};

Answer Ask(Engine& engine, const GenerateRequest& request) {
  const uint64_t before = StatsWhenIdle(engine).prompt_tokens_computed;
  Answer answer{.choices = AskChoices(engine, request)};
  answer.computed = StatsWhenIdle(engine).prompt_tokens_computed - before;
  return answer;
}

void ExpectEqualLogprobs(const std::vector<TokenLogprobs>& a, const std::vector<TokenLogprobs>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].logprob, b[i].logprob) << "token " << i;
    EXPECT_EQ(a[i].top, b[i].top) << "token " << i;
  }
}

void ExpectEqualBits(const Answer& a, const Answer& b) {
  ASSERT_EQ(a.choices.size(), b.choices.size());
  for (size_t i = 0; i < a.choices.size(); ++i) {
    EXPECT_EQ(a.choices[i].tokens, b.choices[i].tokens) << "choice " << i;
    ExpectEqualLogprobs(a.choices[i].logprobs, b.choices[i].logprobs);
    ExpectEqualLogprobs(a.choices[i].prompt_logprobs, b.choices[i].prompt_logprobs);
  }
}

std::vector<int32_t> RandomTokens(std::mt19937& random, int count) {
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = random() % 250;
  return tokens;
}

std::vector<int32_t> Join(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class EnginePrefix : public ::testing::TestWithParam<const char*> {
 protected:
  EnginePrefix() : with_(StartTiny(GetParam(), Config(true))), without_(StartTiny(GetParam(), Config(false))) {}
  bool hybrid() const { return with_->info().state_bytes_per_sequence > 0; }

  // Asks both engines; expects equal bits and returns the cached one's answer.
  Answer AskBoth(const GenerateRequest& request) {
    Answer answer = Ask(*with_, request);
    ExpectEqualBits(answer, Ask(*without_, request));
    return answer;
  }

  std::mt19937 random_{5};
  const std::unique_ptr<Engine> with_, without_;
};

TEST_P(EnginePrefix, SecondRequestComputesItsLastBlockOnly) {
  for (const int length : {20, 32, 33, 64, 100}) {
    const std::vector<int32_t> prompt = RandomTokens(random_, length);
    const int cached = (length - 1) / kBlock * kBlock;
    EXPECT_EQ(AskBoth(Request(prompt, 12)).choices[0].cached_tokens, 0) << length;
    for (int again = 0; again < 2; ++again) {
      const Answer answer = AskBoth(Request(prompt, 12));
      EXPECT_EQ(answer.choices[0].cached_tokens, cached) << length;
      EXPECT_EQ(answer.computed, static_cast<uint64_t>(length - cached)) << length;
    }
  }
}

TEST_P(EnginePrefix, ThirdRequestOfASharedPromptComputesItsOwnTokens) {
  const std::vector<int32_t> shared = RandomTokens(random_, 150);
  for (int visitor = 0; visitor < 5; ++visitor) {
    const Answer answer = AskBoth(Request(Join(shared, RandomTokens(random_, 45)), 20));
    const int first_to_hit = hybrid() ? 2 : 1;
    EXPECT_EQ(answer.choices[0].cached_tokens, visitor < first_to_hit ? 0 : 128) << visitor;
    if (visitor >= first_to_hit) {
      EXPECT_LE(answer.computed, 45u + kBlock) << visitor;
    }
  }
  const PrefixCounters counters = with_->Stats().prefix;
  EXPECT_EQ(counters.misses[static_cast<int>(PrefixMiss::kNoPrefix)], 1u);
  EXPECT_EQ(counters.misses[static_cast<int>(PrefixMiss::kNoSnapshot)], hybrid() ? 1u : 0u);
}

TEST_P(EnginePrefix, TurnOfAChatComputesNewTokensAndABlock) {
  std::vector<int32_t> history = RandomTokens(random_, 50);
  for (int turn = 0; turn < 8; ++turn) {
    const Answer answer = AskBoth(Request(history, 25));
    if (turn > 0) {
      EXPECT_LE(answer.computed, 20u + kBlock) << "turn " << turn;
    }
    history = Join(Join(history, answer.choices[0].tokens), RandomTokens(random_, 20));
  }
}

// The answer comes back in other words (its reasoning left out, say).
TEST_P(EnginePrefix, TurnWithAnswerRenderedAnewComputesTheAnswerToo) {
  std::vector<int32_t> history = RandomTokens(random_, 50);
  for (int turn = 0; turn < 8; ++turn) {
    const Answer answer = AskBoth(Request(history, 40));
    if (turn > 0) {
      EXPECT_LE(answer.computed, 15u + 20u + kBlock) << "turn " << turn;
    }
    history = Join(Join(history, RandomTokens(random_, 15)), RandomTokens(random_, 20));
  }
}

TEST_P(EnginePrefix, ChoicesAreThoseWithoutCache) {
  GenerateRequest request = Request(RandomTokens(random_, 70), 50);
  request.n = 3;
  AskBoth(request);
  EXPECT_EQ(AskBoth(request).computed, 3u * (70 - 64));
}

TEST_P(EnginePrefix, PromptLogprobsAreComputedWhole) {
  GenerateRequest request = Request(RandomTokens(random_, 70), 8);
  AskBoth(request);
  request.prompt_logprobs = 2;
  const Answer answer = AskBoth(request);
  EXPECT_EQ(answer.choices[0].prompt_logprobs.size(), 69u);
  EXPECT_EQ(answer.computed, 70u);
  EXPECT_EQ(with_->Stats().prefix.misses[static_cast<int>(PrefixMiss::kDisabled)], 1u);
}

TEST_P(EnginePrefix, SaltsShareNothingAndResetForgets) {
  const std::vector<int32_t> prompt = RandomTokens(random_, 70);
  AskBoth(Request(prompt, 4, "a"));
  EXPECT_EQ(Ask(*with_, Request(prompt, 4, "b")).choices[0].cached_tokens, 0);
  EXPECT_EQ(Ask(*with_, Request(prompt, 4, "a")).choices[0].cached_tokens, 64);
  EXPECT_GT(StatsWhenIdle(*with_).blocks_cached, 0);
  with_->ResetPrefixCache();
  for (int i = 0; i < 1000 && with_->Stats().blocks_cached > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(with_->Stats().blocks_cached, 0);
  EXPECT_EQ(with_->Stats().snapshots, 0);
  EXPECT_EQ(Ask(*with_, Request(prompt, 4, "a")).choices[0].cached_tokens, 0);
}

// Many at once over few blocks and slots: hits, evictions and preemptions mix.
TEST_P(EnginePrefix, TightMemoryChangesNoToken) {
  EngineConfig tight = Config(true);
  tight.max_model_len = 192;
  tight.memory_bytes = 9 * with_->info().state_bytes_per_sequence;
  std::unique_ptr<Engine> engine;
  do {  // until two or three sequences fit
    tight.memory_bytes += 32 << 10;
    engine = StartTiny(GetParam(), tight);
  } while (engine->info().num_blocks < 14);
  const std::vector<int32_t> shared[2] = {RandomTokens(random_, 70), RandomTokens(random_, 90)};
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 24; ++i) {
    requests.push_back(Request(Join(shared[i % 2], RandomTokens(random_, 1 + random_() % 30)), 60));
    if (i % 5 == 4) requests.back().prompt = requests[i - 2].prompt;
  }
  const auto answers = AskAll(*engine, requests);
  for (size_t i = 0; i < requests.size(); ++i) ExpectEqualBits({.choices = answers[i]}, Ask(*without_, requests[i]));
  const EngineStats stats = StatsWhenIdle(*engine);
  EXPECT_GT(stats.prefix.hit_tokens, 0u);
  EXPECT_GT(stats.prefix.evicted_blocks, 0u);
  EXPECT_GT(stats.preemptions, 0u);
  EXPECT_EQ(stats.blocks_used, 0);
  EXPECT_EQ(stats.state_slots_used, 0);
}

INSTANTIATE_TEST_SUITE_P(Models, EnginePrefix, ::testing::Values("llama", "nemotron_h", "nemotron_h_latent_mtp"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace braid
