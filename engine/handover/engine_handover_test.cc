// A prompt computed in one engine and continued in another gives the bits of one engine alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <thread>

#include "engine/engine.h"
#include "engine/handover/held_prompt.h"
#include "engine/state_pool.h"
#include "engine/testing/tiny_engine.h"
#include "models/weights/checkpoint.h"

namespace braid {
namespace {

using testing::Choice;
using testing::Collector;
using testing::kClock;
using testing::StartTiny;
using testing::Eventually;
using testing::HoldsNothing;
using testing::ExpectEqualBits;


EngineConfig Config() {
  EngineConfig config{.threads = 1, .pin_threads = false, .memory_bytes = 64 << 20, .max_model_len = 512};
  config.scheduler.max_tokens_per_step = 48;
  config.scheduler.max_sequences = 8;
  return config;
}

GenerateRequest Request(std::vector<int32_t> prompt, int max_tokens, bool greedy) {
  GenerateRequest request{.prompt = std::move(prompt), .max_tokens = max_tokens, .ignore_eos = true};
  request.sampling = {.temperature = 0.9f, .top_p = 0.95f, .presence_penalty = 0.3f, .repetition_penalty = 1.1f,
                      .seed = 17, .logprobs = 2};
  if (greedy) request.sampling = {.temperature = 0, .logprobs = 2};
  return request;
}

// Runs the request and returns its answer; `held`: what it keeps.
Choice Ask(Engine& engine, GenerateRequest request, std::shared_ptr<const HeldPrompt>* held = nullptr) {
  Collector collector;
  request.on_event = [sink = collector.Sink(), held](TokenEvent event) {
    if (held != nullptr && event.held != nullptr) *held = event.held;
    sink(std::move(event));
  };
  const auto handle = engine.Submit(std::move(request));
  CHECK(handle.ok()) << handle.status();
  CHECK(collector.WaitForEnd());
  return collector.choice();
}

std::shared_ptr<const SequenceImage> ImageOfHeld(const HeldPrompt& held) {
  auto image = std::make_shared<SequenceImage>();
  image->computed = held.num_computed();
  image->bytes = Bytes(held.layout().ImageBytes(held.num_computed()));
  std::byte* next = image->bytes.data();
  for (int piece = 0; piece < held.layout().NumPieces(held.num_computed()); ++piece) {
    held.Read(piece, next);
    next += held.layout().PieceBytes(piece, held.num_computed());
  }
  return image;
}

// Computes the prompt and the first token in `from`, and goes on in `to`.
Choice AskBoth(Engine& from, Engine& to, const GenerateRequest& request) {
  GenerateRequest first = request, rest = request;
  first.max_tokens = 1;
  first.hold = true;
  std::shared_ptr<const HeldPrompt> held;
  Choice begun = Ask(from, std::move(first), &held);
  CHECK(held != nullptr);
  CHECK_EQ(held->num_computed(), static_cast<int>(request.prompt.size()));
  rest.output = begun.tokens;
  rest.image = ImageOfHeld(*held);
  held = nullptr;
  Choice answer = Ask(to, std::move(rest));
  answer.tokens.insert(answer.tokens.begin(), begun.tokens.begin(), begun.tokens.end());
  answer.logprobs.insert(answer.logprobs.begin(), begun.logprobs.begin(), begun.logprobs.end());
  return answer;
}

std::vector<int32_t> RandomTokens(std::mt19937& random, int count) {
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = random() % 250;
  return tokens;
}

class EngineHandover : public ::testing::TestWithParam<const char*> {};

TEST_P(EngineHandover, GivesTheBitsOfOneEngine) {
  const auto alone = StartTiny(GetParam(), Config()), from = StartTiny(GetParam(), Config()), to = StartTiny(GetParam(), Config());
  std::mt19937 random(3);
  for (const int length : {1, 2, 3, 4, 31, 32, 33, 64, 70, 127, 300}) {
    const std::vector<int32_t> prompt = RandomTokens(random, length);
    for (const bool greedy : {true, false}) {
      SCOPED_TRACE(::testing::Message() << length << (greedy ? " greedy" : " sampled"));
      const GenerateRequest request = Request(prompt, 70, greedy);
      ExpectEqualBits(AskBoth(*from, *to, request), Ask(*alone, request));
    }
  }
  EXPECT_TRUE(Eventually([&] { return HoldsNothing(*from); }));
  EXPECT_TRUE(Eventually([&] { return HoldsNothing(*to); }));
  // The decode side computed no prompt but the token that came with it.
  EXPECT_EQ(to->Stats().prompt_tokens_computed, 22u);
}

TEST_P(EngineHandover, WorksWithSpeculationPrefixHitsAndCompany) {
  EngineConfig drafting = Config();
  drafting.scheduler.max_drafts = 4;
  EngineConfig drafting_less = drafting;  // a draft head's rows travel too: both sides have it or neither
  drafting_less.scheduler.max_drafts = 1;
  const auto alone = StartTiny(GetParam(), Config()), from = StartTiny(GetParam(), drafting_less), to = StartTiny(GetParam(), drafting);
  std::mt19937 random(4);
  const std::vector<int32_t> document = RandomTokens(random, 100);
  std::vector<Choice> expected(8), got(8);
  std::vector<GenerateRequest> requests;
  for (int i = 0; i < 8; ++i) {
    std::vector<int32_t> prompt = document;
    for (int32_t token : RandomTokens(random, 10 * i + 1)) prompt.push_back(token);
    requests.push_back(Request(prompt, 60, i % 2 == 0));
    expected[i] = Ask(*alone, requests[i]);
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&, i] { got[i] = AskBoth(*from, *to, requests[i]); });
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 8; ++i) ExpectEqualBits(got[i], expected[i]);
  EXPECT_TRUE(Eventually([&] { return HoldsNothing(*from); }));
  EXPECT_TRUE(Eventually([&] { return HoldsNothing(*to); }));
  // The next turn of a conversation finds there what was loaded.
  std::vector<int32_t> next = requests[0].prompt;
  next.insert(next.end(), expected[0].tokens.begin(), expected[0].tokens.end());
  const Choice answer = Ask(*to, Request(next, 20, true));
  ExpectEqualBits(answer, Ask(*alone, Request(next, 20, true)));
  EXPECT_GE(answer.cached_tokens, 128);
}

TEST_P(EngineHandover, PreemptedAfterItsArrivalItIsComputedAnew) {
  EngineConfig tight = Config();
  const auto roomy = StartTiny(GetParam(), Config());
  tight.memory_bytes = 8 * roomy->info().state_bytes_per_sequence + (256 << 10);
  tight.max_model_len = 128;
  const auto to = StartTiny(GetParam(), tight);
  std::mt19937 random(5);
  std::vector<GenerateRequest> requests;
  std::vector<Choice> expected(8), got(8);
  for (int i = 0; i < 8; ++i) {
    requests.push_back(Request(RandomTokens(random, 40 + i), 60, false));
    expected[i] = Ask(*roomy, requests[i]);
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&, i] { got[i] = AskBoth(*roomy, *to, requests[i]); });
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 8; ++i) ExpectEqualBits(got[i], expected[i]);
  EXPECT_GT(to->Stats().preemptions, 0u);
  EXPECT_TRUE(Eventually([&] { return HoldsNothing(*to); }));
}

TEST_P(EngineHandover, GoesOnFromOutputIdsAlone) {
  const auto engine = StartTiny(GetParam(), Config()), other = StartTiny(GetParam(), Config());
  std::mt19937 random(6);
  const GenerateRequest request = Request(RandomTokens(random, 50), 40, false);
  const Choice whole = Ask(*engine, request);
  for (const size_t known : {1, 14, 39}) {
    GenerateRequest rest = request;
    rest.output.assign(whole.tokens.begin(), whole.tokens.begin() + known);
    const Choice answer = Ask(*other, rest);
    EXPECT_EQ(answer.tokens, std::vector<int32_t>(whole.tokens.begin() + known, whole.tokens.end()));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, EngineHandover, ::testing::Values("llama", "nemotron_h", "nemotron_h_latent_mtp"),
                         [](const auto& info) { return std::string(info.param); });

TEST(EngineHandoverChecks, NamesWhatDoesNotFit) {
  const auto engine = StartTiny("nemotron_h", Config());
  const auto refused = [&](GenerateRequest request) {
    request.on_event = [](TokenEvent) {};
    return std::string(engine->Submit(std::move(request)).status().message());
  };
  GenerateRequest request = Request({1, 2, 3}, 4, true);
  request.output = {5, 6, 7, 8};
  EXPECT_EQ(refused(request), "output: 4 tokens leave nothing of max_tokens (4)");
  request.output = {-1};
  EXPECT_NE(refused(request).find("output: token id -1 is not in 0.."), std::string::npos);
  request.output = {1};
  auto image = std::make_shared<SequenceImage>();
  image->computed = 4;
  request.image = image;
  EXPECT_EQ(refused(request), "image: 4 positions of 4 tokens");
  image->computed = 3;
  image->bytes = Bytes(engine->layout().ImageBytes(3) + 1);
  EXPECT_NE(refused(request).find("bytes for 3 positions, which take"), std::string::npos);
  request.n = 2;
  EXPECT_EQ(refused(request), "n: 2 sequences cannot share a beginning");
}

TEST(EngineHandoverChecks, DigestTellsModelsApart) {
  EXPECT_NE(StartTiny("llama", Config())->info().model_digest, StartTiny("mistral", Config())->info().model_digest);
  EXPECT_EQ(StartTiny("llama", Config())->info().model_digest, StartTiny("llama", Config())->info().model_digest);
  EXPECT_EQ(StartTiny("llama", Config())->info().model_digest.size(), 16u);
}

TEST(SequenceLayout, ALayerWithoutStateHasConvolutionRowsAlone) {
  const MambaStateLayout shape{.heads = 1, .head_dim = 20, .conv_kernel = 2};
  const SequenceLayout layout{.cache = {.mamba = {shape}}};
  EXPECT_EQ(layout.ImageBytes(70), 4 * shape.conv_row_words());
  CacheLayout cache{.mamba = {shape}};
  const std::unique_ptr<Backend> backend = MakeRefBackend();
  const StatePool from = *StatePool::Make(*backend, cache, 1), to = *StatePool::Make(*backend, cache, 1);
  std::fill_n(from.layers()[0].slot(0), shape.words(), 3.0f);
  std::vector<std::byte> image(layout.ImageBytes(70));
  from.CopyOut(0, 0, 70, 64, image.data());
  to.CopyIn(image.data(), 0, 0, 70, 64);
  const float* const row = to.layers()[0].slot(0) + shape.conv_offset() + 69 % shape.conv_rows() * shape.conv_row_words();
  EXPECT_EQ(std::count(row, row + shape.conv_row_words(), 3.0f), shape.conv_row_words());
}

TEST(SequenceLayout, TakesWhatTheSequenceUses) {
  const auto engine = StartTiny("nemotron_h", Config());
  const SequenceLayout& layout = engine->layout();
  EXPECT_LT(layout.ImageBytes(33) - layout.ImageBytes(1) - layout.BlockBytes(), engine->info().state_bytes_per_sequence);
  EXPECT_EQ(layout.NumPieces(33), 2 + static_cast<int>(layout.cache.mamba.size()));
  int64_t bytes = 0;
  for (int piece = 0; piece < layout.NumPieces(70); ++piece) bytes += layout.PieceBytes(piece, 70);
  EXPECT_EQ(bytes, layout.ImageBytes(70));
}

}  // namespace
}  // namespace braid
