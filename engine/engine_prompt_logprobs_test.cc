// Logprobs of the prompt: those of the golden logits, and equal bits however the prompt is cut, whoever else is there,
// whatever the cache holds and whether the sequence has to start over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/testing/tiny_engine.h"
#include "models/weights/safetensors.h"

namespace braid {
namespace {

using ::testing::HasSubstr;
using testing::Ask;
using testing::AskAll;
using testing::Choice;
using testing::StartTiny;
using Tokens = std::vector<int32_t>;

EngineConfig Config(int max_tokens_per_step) {
  EngineConfig config{.threads = 1, .pin_threads = false, .memory_bytes = 64 << 20, .max_model_len = 512};
  config.scheduler.max_tokens_per_step = max_tokens_per_step;
  config.scheduler.max_sequences = std::min(max_tokens_per_step, 8);
  return config;
}

GenerateRequest Request(Tokens prompt, int prompt_logprobs, int max_tokens = 4) {
  return {.prompt = std::move(prompt),
          .sampling = {.temperature = 0, .logprobs = 1},
          .max_tokens = max_tokens,
          .ignore_eos = true,
          .prompt_logprobs = prompt_logprobs};
}

void ExpectSame(const Choice& a, const Choice& b) {
  testing::ExpectEqualBits(a, b);
  ASSERT_EQ(a.prompt_logprobs.size(), b.prompt_logprobs.size());
  for (size_t i = 0; i < a.prompt_logprobs.size(); ++i) {
    const TokenLogprobs &one = a.prompt_logprobs[i], &other = b.prompt_logprobs[i];
    EXPECT_EQ(one.logprob, other.logprob) << "position " << i + 1;
    EXPECT_EQ(one.rank, other.rank) << "position " << i + 1;
    EXPECT_EQ(one.top, other.top) << "position " << i + 1;
  }
}

struct Golden {
  Tokens prompt;
  std::vector<float> logits;  // [prompt, vocab]
  size_t vocab;
};

template <class T>
std::vector<T> Values(const SafetensorsFile& file, const char* name) {
  const StoredTensor& tensor = file.tensors().at(name);
  std::vector<T> values(tensor.bytes.size() / sizeof(T));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

Golden ReadGolden(const std::string& model) {
  auto file = SafetensorsFile::Open(BRAID_SOURCE_DIR "/tests/data/models/" + model + "/expected.safetensors");
  CHECK(file.ok()) << file.status();
  const std::vector<int64_t> ids = Values<int64_t>(**file, "input_ids");
  Golden golden{.prompt = {ids.begin(), ids.end()}, .logits = Values<float>(**file, "logits"), .vocab = 0};
  golden.vocab = golden.logits.size() / golden.prompt.size();
  return golden;
}

Tokens RandomTokens(std::mt19937& random, int count) {
  Tokens tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 250);
  return tokens;
}

class PromptLogprobs : public ::testing::TestWithParam<const char*> {};

TEST_P(PromptLogprobs, AreThoseOfTheGoldenLogits) {
  const Golden golden = ReadGolden(GetParam());
  const Choice choice = Ask(*StartTiny(GetParam(), Config(128)), Request(golden.prompt, 3));
  ASSERT_EQ(choice.prompt_logprobs.size(), golden.prompt.size() - 1);
  for (size_t i = 0; i + 1 < golden.prompt.size(); ++i) {
    const float* const row = golden.logits.data() + i * golden.vocab;
    double sum = 0;
    for (size_t id = 0; id < golden.vocab; ++id) sum += std::exp(row[id]);
    const float own = row[golden.prompt[i + 1]];
    const TokenLogprobs& got = choice.prompt_logprobs[i];
    EXPECT_NEAR(got.logprob, own - std::log(sum), 2e-3) << "position " << i + 1;
    // Near ties may come in either order.
    const auto above = [&](float least) { return std::count_if(row, row + golden.vocab, [&](float x) { return x > least; }); };
    EXPECT_GE(got.rank, above(own + 2e-3f) + 1) << "position " << i + 1;
    EXPECT_LE(got.rank, above(own - 2e-3f) + 1) << "position " << i + 1;
    ASSERT_EQ(got.top.size(), 3u);
    EXPECT_NEAR(got.top[0].second, *std::max_element(row, row + golden.vocab) - std::log(sum), 2e-3) << "position " << i + 1;
  }
}

TEST_P(PromptLogprobs, DoNotDependOnHowThePromptIsCut) {
  std::mt19937 random(3);
  const Tokens prompt = RandomTokens(random, 150);
  const Choice whole = Ask(*StartTiny(GetParam(), Config(256)), Request(prompt, 2));
  ASSERT_EQ(whole.prompt_logprobs.size(), 149u);
  for (const int chunk : {1, 7, 128}) {
    SCOPED_TRACE(chunk);
    ExpectSame(Ask(*StartTiny(GetParam(), Config(chunk)), Request(prompt, 2)), whole);
  }
}

TEST_P(PromptLogprobs, OfTheWholeVocabularyAreADistribution) {
  std::mt19937 random(4);
  const auto engine = StartTiny(GetParam(), Config(16));
  const Tokens prompt = RandomTokens(random, 20);
  const int vocab = engine->info().vocab_size;
  const Choice all = Ask(*engine, Request(prompt, vocab)), few = Ask(*engine, Request(prompt, 5));
  ASSERT_EQ(all.prompt_logprobs.size(), 19u);
  for (size_t i = 0; i < 19; ++i) {
    const TokenLogprobs &wide = all.prompt_logprobs[i], &narrow = few.prompt_logprobs[i];
    ASSERT_EQ(wide.top.size(), static_cast<size_t>(vocab));
    double mass = 0;
    for (const auto& [id, logprob] : wide.top) mass += std::exp(logprob);
    EXPECT_NEAR(mass, 1, 1e-4);
    EXPECT_EQ(wide.top[wide.rank - 1], std::pair(prompt[i + 1], wide.logprob));
    EXPECT_EQ(wide.logprob, narrow.logprob);
    EXPECT_EQ(wide.rank, narrow.rank);
    EXPECT_TRUE(std::equal(narrow.top.begin(), narrow.top.end(), wide.top.begin()));
  }
}

// What is generated greedily and then given as a prompt has the logprobs it was drawn with.
TEST_P(PromptLogprobs, OfAnAnswerAreThoseItWasDrawnWith) {
  std::mt19937 random(5);
  const auto engine = StartTiny(GetParam(), Config(64));
  Tokens text = RandomTokens(random, 40);
  const Choice drawn = Ask(*engine, Request(text, -1, 60));
  EXPECT_TRUE(drawn.prompt_logprobs.empty());
  text.insert(text.end(), drawn.tokens.begin(), drawn.tokens.end());
  const Choice scored = Ask(*engine, Request(text, 0));
  ASSERT_EQ(scored.prompt_logprobs.size(), 99u);
  for (size_t i = 0; i < 60; ++i) {
    EXPECT_EQ(scored.prompt_logprobs[39 + i].logprob, drawn.logprobs[i].logprob) << i;
    EXPECT_EQ(scored.prompt_logprobs[39 + i].rank, 1) << i;
    EXPECT_TRUE(scored.prompt_logprobs[39 + i].top.empty()) << i;
  }
}

// Many at once over few blocks: some start over in their prompt, some behind it, and others hit the cache.
TEST_P(PromptLogprobs, DoNotDependOnCompanyOrPreemption) {
  const auto roomy = StartTiny(GetParam(), Config(64));
  EngineConfig tight = Config(24);
  tight.max_model_len = 192;
  tight.memory_bytes = 9 * roomy->info().state_bytes_per_sequence;
  std::unique_ptr<Engine> engine;
  do {
    tight.memory_bytes += 32 << 10;
    engine = StartTiny(GetParam(), tight);
  } while (engine->info().num_blocks < 12);
  std::mt19937 random(6);
  const Tokens shared = RandomTokens(random, 70);
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 16; ++i) {
    Tokens prompt = shared;
    for (const int32_t token : RandomTokens(random, 1 + static_cast<int>(random() % 50))) prompt.push_back(token);
    requests.push_back(Request(prompt, i % 4 - 1, 50));
  }
  const auto answers = AskAll(*engine, requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    SCOPED_TRACE(i);
    ExpectSame(answers[i][0], Ask(*roomy, requests[i]));
  }
  EXPECT_GT(testing::StatsWhenIdle(*engine).preemptions, 0u);
}

INSTANTIATE_TEST_SUITE_P(Models, PromptLogprobs, ::testing::Values("llama", "nemotron_h"),
                         [](const auto& info) { return std::string(info.param); });

TEST(PromptLogprobsRequest, NamesWhatIsWrong) {
  const auto engine = StartTiny("llama", Config(64));
  for (const int count : {-2, 21, 287, 289}) {
    GenerateRequest request = Request({1, 2}, count);
    request.on_event = [](TokenEvent) {};
    const absl::Status status = engine->Submit(std::move(request)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << count;
    EXPECT_THAT(std::string(status.message()), HasSubstr("prompt_logprobs: ")) << count;
  }
  EXPECT_TRUE(Ask(*engine, Request({7}, 5)).prompt_logprobs.empty());  // the first token has none
}

}  // namespace
}  // namespace braid
