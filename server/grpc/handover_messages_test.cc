#include "server/grpc/handover_messages.h"

#include <gtest/gtest.h>

#include <random>

#include "engine/handover/offer_check.h"

namespace braid {
namespace {

HandoverIdentity Identity() {
  HandoverIdentity identity{.model_digest = "0123456789abcdef", .fingerprint = "braid-test", .vocab_size = 256};
  identity.layout.block_size = 32;
  identity.layout.cache.attention = {{2, 16}, {2, 16}};
  identity.layout.cache.mamba = {{.heads = 4, .head_dim = 16, .state_size = 8, .groups = 2, .conv_kernel = 4}};
  return identity;
}

PrefillCall Call() {
  PrefillCall call{.asker = Identity(), .request_id = "r", .prompt = {1, 2, 3}, .min_tokens = 2, .ignore_eos = true,
                   .stop_token_ids = {9}, .cache_salt = "salt", .priority = -3, .timeout_ms = 77};
  call.sampling = {.temperature = 0.5f, .top_p = 0.25f, .top_k = 7, .min_p = 0.125f, .frequency_penalty = 0.5f,
                   .presence_penalty = -0.5f, .repetition_penalty = 1.5f, .seed = ~0ull, .logit_bias = {{3, 1.5f}},
                   .allowed_token_ids = {3, 4}, .logprobs = 2};
  return call;
}

PrefillOffer Offer(const PrefillCall& call) {
  PrefillOffer offer{.name = {std::string(32, 'a'), 5}, .from = Identity(), .num_computed = 3, .tokens = {4},
                     .logprobs = {{-0.5f, {{4, -0.5f}, {3, -1.5f}}}}, .cached_tokens = 1, .lease_ms = 1000};
  offer.image_bytes = call.asker.layout.ImageBytes(3);
  return offer;
}

TEST(HandoverMessages, CallsKeepAllTheyHave) {
  const PrefillCall call = Call();
  v1::PrefillRequest message, again;
  WriteCall(call, &message);
  const auto read = ReadCall(message);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(CheckIdentity(read->asker, call.asker).ok());
  EXPECT_EQ(read->sampling.logit_bias, call.sampling.logit_bias);
  EXPECT_EQ(read->sampling.seed, call.sampling.seed);
  EXPECT_EQ(read->prompt, call.prompt);
  WriteCall(*read, &again);
  EXPECT_EQ(message.SerializeAsString(), again.SerializeAsString());
}

TEST(HandoverMessages, OffersKeepAllTheyHave) {
  const PrefillOffer offer = Offer(Call());
  v1::PrefillReply message, again;
  WriteOffer(offer, &message);
  const auto read = ReadOffer(message);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(CheckOffer(*read, Call()).ok()) << CheckOffer(*read, Call());
  WriteOffer(*read, &again);
  EXPECT_EQ(message.SerializeAsString(), again.SerializeAsString());
}

TEST(HandoverMessages, NamesWhatDoesNotGoTogether) {
  v1::PrefillRequest request;
  WriteCall(Call(), &request);
  request.mutable_sampling()->add_biases(1);
  EXPECT_EQ(ReadCall(request).status().message(), "sampling.biases: 2 for 1 biased_ids");
  WriteCall(Call(), &(request = {}));
  request.set_timeout_ms(-1);
  EXPECT_EQ(ReadCall(request).status().message(), "timeout_ms: -1 is not in 0..86400000");
  WriteCall(Call(), &(request = {}));
  request.mutable_asker()->mutable_layout()->set_kv_dtype("F8");
  EXPECT_EQ(ReadCall(request).status().message(), "layout.kv_dtype: \"F8\" is none of F32, F16, BF16");
  WriteCall(Call(), &(request = {}));
  request.set_cache_salt(std::string(5000, 's'));
  EXPECT_EQ(ReadCall(request).status().message(), "cache_salt: 5000 entries or bytes; at most 4096 are accepted");
}

// Whatever comes in the place of an offer, what passes the checks is one that our own memory can take.
TEST(HandoverMessages, NoMutatedOfferPassesWithOtherSizes) {
  const PrefillCall call = Call();
  v1::PrefillReply message;
  WriteOffer(Offer(call), &message);
  const std::string whole = message.SerializeAsString();
  std::mt19937 random(8);
  int parsed = 0, passed = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string bytes = whole;
    for (int changes = 1 + random() % 3; changes > 0; --changes) {
      const size_t place = random() % bytes.size();
      switch (random() % 4) {
        case 0: bytes[place] = static_cast<char>(random()); break;
        case 1: bytes[place] ^= static_cast<char>(1 << random() % 8); break;
        case 2: bytes.insert(place, 1, static_cast<char>(random())); break;
        default: bytes.erase(place, 1 + random() % 3);
      }
      if (bytes.empty()) bytes = "x";
    }
    v1::PrefillReply mutant;
    if (!mutant.ParseFromString(bytes)) continue;
    ++parsed;
    const auto offer = ReadOffer(mutant);
    if (!offer.ok() || !CheckOffer(*offer, call).ok()) continue;
    ++passed;
    EXPECT_EQ(offer->tokens.size(), 1u);
    EXPECT_TRUE(offer->tokens[0] >= 0 && offer->tokens[0] < 256);
    if (!offer->name.id.empty()) {
      EXPECT_EQ(offer->num_computed, 3);
      EXPECT_EQ(offer->image_bytes, call.asker.layout.ImageBytes(3));
    }
  }
  EXPECT_GT(parsed, 20'000);
  EXPECT_GT(passed, 1'000);  // changes that change nothing of weight, such as the fingerprint
}

TEST(HandoverMessages, NoMutatedCallDoesHarm) {
  v1::PrefillRequest message;
  WriteCall(Call(), &message);
  const std::string whole = message.SerializeAsString();
  std::mt19937 random(9);
  int refused = 0, fits = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string bytes = whole;
    bytes[random() % bytes.size()] = static_cast<char>(random());
    v1::PrefillRequest mutant;
    if (!mutant.ParseFromString(bytes)) continue;
    const auto call = ReadCall(mutant);
    const bool good = call.ok() && CheckIdentity(call->asker, Identity()).ok();
    good ? ++fits : ++refused;
  }
  EXPECT_GT(refused, 1'000);
  EXPECT_GT(fits, 1'000);
}

}  // namespace
}  // namespace braid
