// Requests whose prompts another engine computes: equal bits, whatever happens on the way.
#include "engine/handover/importer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "engine/handover/local_peer.h"
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
using testing::LocalPeer;

EngineConfig Config(int block_size = 32) {
  EngineConfig config{.threads = 1, .pin_threads = false, .memory_bytes = 64 << 20, .max_model_len = 512};
  config.scheduler.max_tokens_per_step = 48;
  config.scheduler.max_sequences = 8;
  config.scheduler.block_size = block_size;
  return config;
}

// A prefill side and a decode side, and an engine that does it all alone.
struct Sides {
  explicit Sides(const std::string& model, const ExporterConfig& exports = {}, const ImporterConfig& imports = {},
                 const EngineConfig& prefill = Config())
      : alone(StartTiny(model, Config())),
        from(StartTiny(model, prefill)),
        to(StartTiny(model, Config())),
        exporter(from.get(), &kClock, exports),
        peer(std::make_shared<LocalPeer>(&exporter)),
        importer(to.get(), &kClock, imports) {}

  ~Sides() { peer->Stop(); }

  const std::unique_ptr<Engine> alone, from, to;
  Exporter exporter;
  const std::shared_ptr<LocalPeer> peer;
  Importer importer;

  Choice Ask(GenerateRequest request) {
    Collector collector;
    request.on_event = collector.Sink();
    const auto handle = importer.Submit(std::move(request), peer);
    CHECK(handle.ok()) << handle.status();
    CHECK(collector.WaitForEnd());
    return collector.choice();
  }
  Choice AskAlone(const GenerateRequest& request) const { return testing::Ask(*alone, request); }
  // All that was taken is given back.
  void ExpectIdle() {
    EXPECT_TRUE(Eventually([&] { return exporter.offers().Stats().kept == 0 && HoldsNothing(*from); }));
    EXPECT_TRUE(Eventually([&] { return HoldsNothing(*to) && importer.Stats().under_way == 0; }));
    EXPECT_EQ(importer.Stats().staged_bytes, 0);
  }
};

GenerateRequest Request(int length, int max_tokens = 20, bool greedy = false) {
  std::mt19937 random(length);
  GenerateRequest request{.prompt = std::vector<int32_t>(length), .max_tokens = max_tokens, .ignore_eos = true};
  for (int32_t& token : request.prompt) token = random() % 250;
  request.sampling = {.temperature = 0.9f, .top_p = 0.95f, .frequency_penalty = 0.2f, .seed = 3, .logprobs = 2};
  if (greedy) request.sampling = {.temperature = 0, .logprobs = 1};
  return request;
}

class ImporterOnModel : public ::testing::TestWithParam<const char*> {};

TEST_P(ImporterOnModel, GivesTheBitsOfOneProcess) {
  Sides sides(GetParam());
  for (const int length : {1, 32, 33, 100, 300}) {
    ExpectEqualBits(sides.Ask(Request(length, 40)), sides.AskAlone(Request(length, 40)));
    ExpectEqualBits(sides.Ask(Request(length, 40, true)), sides.AskAlone(Request(length, 40, true)));
  }
  EXPECT_EQ(sides.importer.Stats().taken, 10u);
  EXPECT_EQ(sides.importer.Stats().recomputed, 0u);
  EXPECT_TRUE(Eventually([&] { return sides.exporter.offers().Stats().released == 10; }));
  sides.ExpectIdle();
}

TEST_P(ImporterOnModel, WhateverFailsOnTheWayTheAnswerIsTheSame) {
  Sides sides(GetParam());
  const Choice expected = sides.AskAlone(Request(70));
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    sides.peer->refuses = round == 0;
    sides.peer->end_of_fetch = round == 1 ? absl::UnavailableError("the line is dead") : absl::OkStatus();
    const int victim = static_cast<int>(random() % 4), kind = static_cast<int>(random() % 5);
    const uint32_t where = random();
    auto piece = std::make_shared<int>(0);
    sides.peer->change_part = [=](int64_t& offset, std::string& bytes, uint32_t& checksum) {
      if ((*piece)++ != victim) return true;
      if (kind == 0) return false;
      if (kind == 1) bytes[where % bytes.size()] ^= 1 << where % 7;
      if (kind == 2) bytes.resize(where % bytes.size());
      if (kind == 3) offset += static_cast<int64_t>(where % 1000) - 500;
      if (kind == 4) checksum ^= 1u << where % 32;
      return true;
    };
    ExpectEqualBits(sides.Ask(Request(70)), expected);
  }
  EXPECT_GT(sides.importer.Stats().recomputed, 40u);
  sides.ExpectIdle();
}

INSTANTIATE_TEST_SUITE_P(Models, ImporterOnModel, ::testing::Values("llama", "nemotron_h", "nemotron_h_latent_mtp"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Importer, RefusesOffersThatDoNotFit) {
  Sides sides("nemotron_h");
  const Choice expected = sides.AskAlone(Request(40));
  // Before the first token is told nothing of the offer counts, so all of these compute the prompt here.
  const std::vector<std::function<void(PrefillOffer&)>> changes = {
      [](PrefillOffer& o) { o.from.model_digest[0] ^= 1; },
      [](PrefillOffer& o) { o.from.vocab_size += 1; },
      [](PrefillOffer& o) { o.from.layout.block_size = 64; },
      [](PrefillOffer& o) { o.from.layout.state_grid = -1; },
      [](PrefillOffer& o) { o.from.layout.kv_dtype = DType::kF16; },
      [](PrefillOffer& o) { o.from.layout.form = "cuda"; },
      [](PrefillOffer& o) { o.from.layout.cache.attention.clear(); },
      [](PrefillOffer& o) { o.from.layout.cache.attention[0].kv_heads = 1 << 30; },
      [](PrefillOffer& o) { o.from.layout.cache.mamba.pop_back(); },
      [](PrefillOffer& o) { o.from.layout.cache.mamba[0].state_size = -5; },
      [](PrefillOffer& o) { o.from.layout.cache.mamba[0].conv_kernel = 5; },
      [](PrefillOffer& o) { o.tokens.clear(); },
      [](PrefillOffer& o) { o.tokens.push_back(1); },
      [](PrefillOffer& o) { o.tokens[0] = 1 << 30; },
      [](PrefillOffer& o) { o.tokens[0] = -1; },
      [](PrefillOffer& o) { o.logprobs.clear(); },
      [](PrefillOffer& o) { o.logprobs[0].logprob = std::nanf(""); },
      [](PrefillOffer& o) { o.logprobs[0].top.resize(21); },
      [](PrefillOffer& o) { o.logprobs[0].top[0].first = -7; },
      [](PrefillOffer& o) { o.finish = FinishReason::kStop; },
      [](PrefillOffer& o) { o.finish = FinishReason::kLength; },
      [](PrefillOffer& o) { o.finish = FinishReason::kStop, o.stop_token = o.tokens[0]; },
      [](PrefillOffer& o) { o.num_computed = 41; },
      [](PrefillOffer& o) { o.num_computed = -1; },
      [](PrefillOffer& o) { o.image_bytes += 1; },
      [](PrefillOffer& o) { o.image_bytes = int64_t{1} << 62; },
      [](PrefillOffer& o) { o.cached_tokens = 40; },
      [](PrefillOffer& o) { o.lease_ms = 0; },
      [](PrefillOffer& o) { o.name.id = "no such"; },
      [](PrefillOffer& o) { o.name.id.clear(); },
  };
  for (size_t i = 0; i < changes.size(); ++i) {
    SCOPED_TRACE(i);
    sides.peer->change_offer = changes[i];
    ExpectEqualBits(sides.Ask(Request(40)), expected);
  }
  EXPECT_EQ(sides.importer.Stats().recomputed, changes.size());
  EXPECT_EQ(sides.importer.Stats().taken, 0u);
}

TEST(Importer, AnOfferOfAnotherEpochIsNotRead) {
  Sides sides("llama");
  sides.peer->change_offer = [](PrefillOffer& o) { ++o.name.epoch; };
  ExpectEqualBits(sides.Ask(Request(40)), sides.AskAlone(Request(40)));
  EXPECT_EQ(sides.importer.Stats().taken, 0u);
  EXPECT_EQ(sides.importer.Stats().recomputed, 1u);
}

TEST(Importer, OtherLayoutsAreRefusedBeforeAnythingIsComputed) {
  Sides sides("llama", {}, {}, Config(64));
  ExpectEqualBits(sides.Ask(Request(40)), sides.AskAlone(Request(40)));
  EXPECT_EQ(sides.from->Stats().prompt_tokens_computed, 0u);
  const auto status = sides.exporter.Prefill({.asker = Exporter(sides.to.get(), &kClock, {}).identity(), .prompt = {1}}, {});
  EXPECT_EQ(status.status().message(), "layout.block_size: 32 is not ours, 64");
}

TEST(Importer, AnOtherFingerprintIsTakenAndCounted) {
  EngineConfig ref = Config();
  ref.device = "ref";
  Sides sides("llama", {}, {}, ref);
  EXPECT_EQ(sides.Ask(Request(40, 20, true)).tokens, sides.AskAlone(Request(40, 20, true)).tokens);
  EXPECT_EQ(sides.importer.Stats().taken, 1u);
  EXPECT_EQ(sides.importer.Stats().other_bits, 1u);
}

TEST(Importer, AFirstTokenThatEndsTheSequenceNeedsNoTransfer) {
  Sides sides("llama");
  GenerateRequest request = Request(40);
  const int32_t first = sides.AskAlone(request).tokens[0];
  request.stop_token_ids = {first};
  ExpectEqualBits(sides.Ask(request), sides.AskAlone(request));
  ExpectEqualBits(sides.Ask(Request(40, 1)), sides.AskAlone(Request(40, 1)));
  EXPECT_EQ(sides.importer.Stats().ended_there, 2u);
  EXPECT_EQ(sides.importer.Stats().bytes_received, 0u);
  request.min_tokens = 3;  // then it may not be the first
  ExpectEqualBits(sides.Ask(request), sides.AskAlone(request));
  sides.ExpectIdle();
}

TEST(Importer, WhereAMaskHasASayTheFirstTokenIsDrawnHere) {
  Sides sides("nemotron_h");
  GenerateRequest request = Request(64);
  auto constraint = std::make_shared<ConstraintSpec>();
  constraint->bad_words = {{sides.AskAlone(request).tokens[0]}};
  request.constraint = constraint;
  ExpectEqualBits(sides.Ask(request), sides.AskAlone(request));
  EXPECT_EQ(sides.importer.Stats().taken, 1u);
  sides.ExpectIdle();
}

TEST(Importer, LeasesEndWithoutAWordFromTheOtherSide) {
  Sides sides("nemotron_h", {.lease_ms = 50});
  std::atomic<bool> expired = false;
  PrefillOffer offer;
  std::atomic<bool> done = false;
  GenerateRequest request = Request(70);
  ASSERT_TRUE(sides.exporter.Prefill({.asker = sides.exporter.identity(), .prompt = request.prompt}, [&](auto result) {
    ASSERT_TRUE(result.ok());
    offer = *result;
    done = true;
  }).ok());
  ASSERT_TRUE(Eventually([&] { return done.load(); }));
  EXPECT_GT(sides.from->Stats().blocks_used, 0);
  ASSERT_TRUE(sides.exporter.offers().Open(offer.name, [&] { expired = true; }).ok());
  EXPECT_TRUE(Eventually([&] { return expired.load(); }));
  EXPECT_EQ(sides.exporter.offers().Open(offer.name, [] {}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(sides.exporter.offers().Release(offer.name).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(sides.exporter.offers().Stats().expired, 1u);
  sides.ExpectIdle();
}

TEST(Importer, AReleasedOfferIsNotReadAgain) {
  Sides sides("llama");
  OfferName name;
  sides.peer->change_offer = [&](PrefillOffer& offer) { name = offer.name; };
  sides.Ask(Request(40));
  EXPECT_TRUE(Eventually([&] { return sides.exporter.offers().Stats().released == 1; }));
  EXPECT_EQ(sides.exporter.offers().Open(name, [] {}).status().code(), absl::StatusCode::kNotFound);
}

TEST(Importer, ACancelBeforeTheOfferFreesBothSides) {
  Sides sides("llama");
  sides.peer->keeps_silent = true;
  Collector collector;
  GenerateRequest request = Request(40);
  request.on_event = collector.Sink();
  const auto handle = sides.importer.Submit(request, sides.peer);
  ASSERT_TRUE(handle.ok());
  EXPECT_EQ(sides.importer.Stats().under_way, 1);
  sides.importer.Cancel(*handle);
  sides.importer.Cancel(*handle);
  ASSERT_TRUE(collector.WaitForEnd());
  EXPECT_EQ(collector.choice().finish, FinishReason::kAbort);
  sides.ExpectIdle();
}

TEST(Importer, CancelsAtAnyTimeFreeBothSides) {
  Sides sides("nemotron_h");
  std::mt19937 random(2);
  for (int i = 0; i < 60; ++i) {
    Collector collector;
    GenerateRequest request = Request(100, 400);
    request.on_event = collector.Sink();
    const auto handle = sides.importer.Submit(request, sides.peer);
    ASSERT_TRUE(handle.ok());
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 12'000));
    sides.importer.Cancel(*handle);
    ASSERT_TRUE(collector.WaitForEnd());
  }
  sides.ExpectIdle();
}

TEST(Importer, ImagesWaitForRoom) {
  Sides sides("nemotron_h", {}, {.max_staged_bytes = 1});
  const Choice expected = sides.AskAlone(Request(100, 60));
  std::vector<Choice> choices(6);
  std::vector<std::thread> threads;
  for (Choice& choice : choices) threads.emplace_back([&] { choice = sides.Ask(Request(100, 60)); });
  for (std::thread& thread : threads) thread.join();
  for (const Choice& choice : choices) ExpectEqualBits(choice, expected);
  EXPECT_EQ(sides.importer.Stats().taken, 6u);
  sides.ExpectIdle();
}

TEST(Importer, WhatCannotBeHandedOverIsComputedHere) {
  Sides sides("llama", {}, {.max_transfers = 0});
  ExpectEqualBits(sides.Ask(Request(40)), sides.AskAlone(Request(40)));
  EXPECT_EQ(sides.importer.Stats().not_tried, 1u);
  GenerateRequest bad = Request(40);
  bad.max_tokens = 0;
  EXPECT_EQ(sides.importer.Submit(bad, sides.peer).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Importer, LogprobsOfThePromptAreComputedHere) {
  Sides sides("nemotron_h");
  GenerateRequest request = Request(70);
  request.prompt_logprobs = 2;
  const Choice told = sides.Ask(request), expected = sides.AskAlone(request);
  ExpectEqualBits(told, expected);
  ASSERT_EQ(told.prompt_logprobs.size(), 69u);
  for (size_t i = 0; i < 69; ++i) EXPECT_EQ(told.prompt_logprobs[i].top, expected.prompt_logprobs[i].top) << i;
  EXPECT_EQ(sides.importer.Stats().taken, 0u);
  sides.ExpectIdle();
}

TEST(Importer, TooManyOffersAreRefusedAndThePromptIsComputedHere) {
  Sides sides("llama", {.max_offers = 0});
  ExpectEqualBits(sides.Ask(Request(40)), sides.AskAlone(Request(40)));
  EXPECT_EQ(sides.importer.Stats().recomputed, 1u);
}

TEST(Importer, EndsWithRequestsUnderWay) {
  auto sides = std::make_unique<Sides>("llama");
  for (int i = 0; i < 5; ++i) {
    GenerateRequest request = Request(200, 300);
    request.on_event = [](TokenEvent) {};
    ASSERT_TRUE(sides->importer.Submit(request, sides->peer).ok());
  }
  sides.reset();
}

}  // namespace
}  // namespace braid
