#include "kernels/sample/sample.h"

#include <limits>
#include <map>
#include <set>

#include "gmock/gmock.h"
#include "kernels/sample/draw.h"
#include "kernels/testing/backends_test.h"

namespace braid {
namespace {

using testing::Noise;
using testing::NoiseVector;
using testing::RunWalk;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<SampledRow> Draw(Backend& backend, std::vector<float> logits, const std::vector<SampleRow>& rows) {
  std::vector<SampledRow> sampled(rows.size());
  const int64_t count = static_cast<int64_t>(rows.size());
  const int64_t vocab = static_cast<int64_t>(logits.size()) / std::max<int64_t>(count, 1);
  RunWalk(backend, [&](Ops& op) { op.Sample({TensorView::Of(logits.data(), count, vocab), rows, sampled}); });
  return sampled;
}

// Runs `check` on ref and on each other backend.
void OnEachBackend(const std::function<void(Backend&)>& check) {
  check(*MakeRefBackend());
  for (Backend* backend : testing::FastBackends()) {
    SCOPED_TRACE(backend->Name());
    check(*backend);
  }
}

int32_t DrawOne(Backend& backend, const std::vector<float>& logits, const SampleRow& row) {
  return Draw(backend, logits, {row})[0].token;
}

// `count` rows of the same logits, drawn at positions 0, 1, ...: how often each token came.
std::map<int32_t, int> Counts(Backend& backend, const std::vector<float>& logits, SampleRow row, int count) {
  std::vector<float> all;
  std::vector<SampleRow> rows;
  for (int i = 0; i < count; ++i) {
    all.insert(all.end(), logits.begin(), logits.end());
    row.position = static_cast<uint32_t>(i);
    rows.push_back(row);
  }
  std::map<int32_t, int> counts;
  for (const SampledRow& sampled : Draw(backend, all, rows)) ++counts[sampled.token];
  return counts;
}

std::set<int32_t> Support(Backend& backend, const std::vector<float>& logits, const SampleRow& row) {
  std::set<int32_t> ids;
  // Fewer where a draw is slow: an id of 5 % is missed once in 5 million seeds.
  const int draws = testing::IsCuda(backend) ? 300 : 2000;
  for (auto [id, count] : Counts(backend, logits, row, draws)) ids.insert(id);
  return ids;
}

std::vector<float> LogsOf(const std::vector<float>& probabilities) {
  std::vector<float> out;
  for (float p : probabilities) out.push_back(std::log(p));
  return out;
}

TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t ones = ~0u;
  EXPECT_EQ(Philox4x32({ones, ones, ones, ones}, {ones, ones}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Sample, GreedyTakesTheLowestOfTheLargest) {
  OnEachBackend([](Backend& backend) {
    std::vector<float> logits(1000, -1.0f);
    logits[3] = logits[17] = logits[999] = 5;
    EXPECT_EQ(DrawOne(backend, logits, {.temperature = 0}), 3);
    EXPECT_EQ(DrawOne(backend, {-kInfinity, -2, -kInfinity}, {.temperature = 0}), 1);
    EXPECT_EQ(DrawOne(backend, {7}, {.temperature = 0}), 0);
    EXPECT_EQ(DrawOne(backend, {7}, {.temperature = 1}), 0);
  });
}

TEST(Sample, RowsThatAreNotFiniteGiveNoToken) {
  OnEachBackend([](Backend& backend) {
    for (float bad : {NAN, kInfinity}) {
      for (size_t at : {0, 15, 16, 32}) {
        std::vector<float> logits(33, 0.5f);
        logits[at] = bad;
        EXPECT_EQ(DrawOne(backend, logits, {.temperature = 0}), -1);
        EXPECT_EQ(DrawOne(backend, logits, {.temperature = 1, .top_p = 0.9f}), -1);
      }
    }
    EXPECT_EQ(DrawOne(backend, std::vector<float>(20, -kInfinity), {}), -1);
    const std::vector<int32_t> banned = {0, 1};
    EXPECT_EQ(DrawOne(backend, {1, 2}, {.banned_ids = banned}), -1);
    EXPECT_TRUE(Draw(backend, {}, {}).empty());
  });
}

TEST(Sample, EveryBackendDrawsTheTokensOfRef) {
  for (int vocab : {1, 5, 100, 3001}) {
    std::vector<float> logits;
    std::vector<SampleRow> rows;
    static const std::vector<int32_t> prompt = {0, 3, 3, 2}, output = {1, 4, 4, 4, 2}, allowed = {0, 2, 4, 77, 99};
    static const std::vector<std::pair<int32_t, float>> bias = {{0, 0.5f}, {3, -1.0f}, {90, 100.0f}};
    static const std::vector<uint32_t> mask(100, 0xaaaa5555u);
    for (uint32_t i = 0; i < 240; ++i) {
      const std::vector<float> row = NoiseVector(i, vocab, 1.0f + i % 7);
      logits.insert(logits.end(), row.begin(), row.end());
      SampleRow wanted = {.temperature = i % 5 * 0.5f, .seed = 1234567890123u + i, .stream = i % 3, .position = i};
      if (i % 2 == 1) wanted.top_p = 0.2f + 0.15f * (i % 6);
      if (i % 3 == 1) wanted.top_k = static_cast<int32_t>(1 + i * 7 % 60);
      if (i % 4 == 1) wanted.min_p = 0.02f * (i % 9);
      if (i % 7 == 2) wanted.repetition_penalty = 1.3f, wanted.prompt = prompt, wanted.output = output;
      if (i % 7 == 3) wanted.frequency_penalty = 0.4f, wanted.presence_penalty = 0.3f, wanted.output = output;
      if (i % 7 == 4) wanted.logit_bias = bias;
      if (i % 11 == 5) wanted.allowed_ids = allowed;
      if (i % 11 == 6) wanted.mask = mask.data();
      wanted.top_logprobs = static_cast<int32_t>(i % 6) - 1;
      rows.push_back(wanted);
    }
    const std::vector<SampledRow> want = Draw(*MakeRefBackend(), logits, rows);
    for (Backend* backend : testing::FastBackends()) {
      const std::vector<SampledRow> got = Draw(*backend, logits, rows);
      for (size_t i = 0; i < rows.size(); ++i) {
        SCOPED_TRACE(absl::StrCat("vocab ", vocab, ", row ", i));
        EXPECT_EQ(got[i].token, want[i].token);
        EXPECT_NEAR(got[i].logprob, want[i].logprob, 2e-6);
        EXPECT_EQ(got[i].rank, want[i].rank);
        ASSERT_EQ(got[i].top.size(), want[i].top.size());
        for (size_t k = 0; k < want[i].top.size(); ++k) {
          EXPECT_EQ(got[i].top[k].first, want[i].top[k].first);
          EXPECT_NEAR(got[i].top[k].second, want[i].top[k].second, 2e-6);
        }
      }
    }
  }
}

TEST(Sample, FrequenciesFollowTheSoftmax) {
  constexpr int kDraws = 20000;
  const std::vector<float> p = {0.4f, 0.05f, 0.25f, 0.1f, 0.15f, 0.05f};
  OnEachBackend([&](Backend& backend) {
    for (float temperature : {1.0f, 0.5f}) {
      std::vector<double> want;
      double sum = 0;
      for (float x : p) want.push_back(std::pow(double{x}, 1 / temperature)), sum += want.back();
      std::map<int32_t, int> counts = Counts(backend, LogsOf(p), {.temperature = temperature, .seed = 42}, kDraws);
      double chi_square = 0;
      for (size_t i = 0; i < p.size(); ++i) {
        const double expected = kDraws * want[i] / sum;
        chi_square += std::pow(counts[static_cast<int32_t>(i)] - expected, 2) / expected;
      }
      EXPECT_LT(chi_square, 20.5);  // 5 degrees of freedom: exceeded once in 1000 seeds
    }
  });
}

TEST(Sample, FiltersKeepTheirSupports) {
  const std::vector<float> logits = LogsOf({0.05f, 0.4f, 0.25f, 0.1f, 0.15f, 0.05f});
  using Ids = std::set<int32_t>;
  OnEachBackend([&](Backend& backend) {
    EXPECT_EQ(Support(backend, logits, {.top_k = 1}), (Ids{1}));
    EXPECT_EQ(Support(backend, logits, {.top_k = 3}), (Ids{1, 2, 4}));
    EXPECT_EQ(Support(backend, logits, {.top_k = 5}), (Ids{0, 1, 2, 3, 4}));  // 0 and 5 tie: the lower id
    EXPECT_EQ(Support(backend, logits, {.top_k = 99}), (Ids{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(Support(backend, logits, {.top_p = 0.0f}), (Ids{1}));
    EXPECT_EQ(Support(backend, logits, {.top_p = 0.39f}), (Ids{1}));
    EXPECT_EQ(Support(backend, logits, {.top_p = 0.6f}), (Ids{1, 2}));
    EXPECT_EQ(Support(backend, logits, {.top_p = 0.92f}), (Ids{0, 1, 2, 3, 4}));
    EXPECT_EQ(Support(backend, logits, {.min_p = 0.3f}), (Ids{1, 2, 4}));
    EXPECT_EQ(Support(backend, logits, {.min_p = 1.0f}), (Ids{1}));
    // Top-p of what top-k left: 0.4 / 0.65 reaches 0.6.
    EXPECT_EQ(Support(backend, logits, {.top_p = 0.6f, .top_k = 2}), (Ids{1}));
    EXPECT_EQ(Support(backend, std::vector<float>(40, 1.0f), {.top_p = 0.04f}), (Ids{0, 1}));
  });
}

TEST(Sample, MaskAllowedAndBannedIdsBound) {
  const std::vector<float> logits = NoiseVector(1, 70);
  const std::vector<uint32_t> mask = {0x10u, 0x2u, 0x1u};  // 4, 33, 64
  const std::vector<int32_t> allowed = {33, 5, 64, 64}, banned = {64};
  using Ids = std::set<int32_t>;
  OnEachBackend([&](Backend& backend) {
    EXPECT_EQ(Support(backend, logits, {.mask = mask.data()}), (Ids{4, 33, 64}));
    EXPECT_EQ(Support(backend, logits, {.allowed_ids = allowed}), (Ids{5, 33, 64}));
    EXPECT_EQ(Support(backend, logits, {.allowed_ids = allowed, .banned_ids = banned, .mask = mask.data()}), (Ids{33}));
  });
}

TEST(Sample, PenaltiesMoveSeenTokens) {
  const std::vector<int32_t> seen = {1, 1, 1, 0};
  OnEachBackend([&](Backend& backend) {
    EXPECT_EQ(DrawOne(backend, {1, 2, 1.5f}, {.temperature = 0, .frequency_penalty = 0.2f, .output = seen}), 2);
    EXPECT_EQ(DrawOne(backend, {1, 2, 1.5f}, {.temperature = 0, .frequency_penalty = 0.1f, .output = seen}), 1);
    EXPECT_EQ(DrawOne(backend, {1, 2, 1.5f}, {.temperature = 0, .presence_penalty = 0.6f, .output = seen}), 2);
    EXPECT_EQ(DrawOne(backend, {1, 2, 1.5f}, {.temperature = 0, .presence_penalty = 0.6f, .prompt = seen}), 1);
    EXPECT_EQ(DrawOne(backend, {1, 2, 1.5f}, {.temperature = 0, .repetition_penalty = 2, .prompt = seen}), 2);
    EXPECT_EQ(DrawOne(backend, {-2, -1, -1.5f}, {.temperature = 0, .repetition_penalty = 2, .prompt = seen}), 2);
  });
}

TEST(TokenLogprobs, EveryBackendAgreesWithRef) {
  constexpr int kVocab = 517;
  std::vector<float> logits = NoiseVector(5, 4 * kVocab, 8);
  logits[3 * kVocab + 9] = NAN;
  const std::vector<int32_t> tokens = {0, 516, 100, 1}, top = {0, 5, 517, 2};
  const auto run = [&](Backend& backend) {
    std::vector<SampledRow> sampled(4);
    RunWalk(backend, [&](Ops& op) { op.TokenLogprobs({TensorView::Of(logits.data(), 4, kVocab), tokens, top, sampled}); });
    return sampled;
  };
  const std::vector<SampledRow> want = run(*MakeRefBackend());
  EXPECT_EQ(want[3].token, -1);
  for (Backend* backend : testing::FastBackends()) {
    const std::vector<SampledRow> got = run(*backend);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(got[i].token, want[i].token);
      EXPECT_NEAR(got[i].logprob, want[i].logprob, 4e-6);
      EXPECT_EQ(got[i].rank, want[i].rank);
      ASSERT_EQ(got[i].top.size(), want[i].top.size());
      for (size_t k = 0; k < want[i].top.size(); ++k) {
        EXPECT_EQ(got[i].top[k].first, want[i].top[k].first);
        EXPECT_NEAR(got[i].top[k].second, want[i].top[k].second, 4e-6);
      }
    }
  }
}

TEST(TokenLogprobs, RanksCountWhatComesBefore) {
  //                                     id: 0  1  2   3  4      5  6
  const std::vector<float> one = {0.0f, 3, -0.0f, 3, 5, -kInfinity, 3};
  const std::vector<int32_t> ranks = {5, 2, 6, 3, 1, 7, 4}, tokens = {0, 1, 2, 3, 4, 5, 6}, top = {-1, 0, 1, 2, 6, 7, 9};
  std::vector<float> logits;
  for (size_t i = 0; i < ranks.size(); ++i) logits.insert(logits.end(), one.begin(), one.end());
  OnEachBackend([&](Backend& backend) {
    std::vector<SampledRow> sampled(7);
    RunWalk(backend, [&](Ops& op) { op.TokenLogprobs({TensorView::Of(logits.data(), 7, 7), tokens, top, sampled}); });
    for (size_t i = 0; i < ranks.size(); ++i) {
      EXPECT_EQ(sampled[i].rank, ranks[i]) << i;
      ASSERT_EQ(sampled[i].top.size(), static_cast<size_t>(std::clamp(top[i], 0, 7))) << i;
      for (size_t k = 0; k < sampled[i].top.size(); ++k) {
        EXPECT_EQ(ranks[sampled[i].top[k].first], static_cast<int32_t>(k) + 1) << i;
      }
    }
  });
}

TEST(Sample, RanksAreThoseOfTheRawLogits) {
  const std::vector<int32_t> banned = {1, 2};
  OnEachBackend([&](Backend& backend) {
    const SampledRow drawn = Draw(backend, {1, 4, 3, 2}, {{.temperature = 0, .banned_ids = banned, .top_logprobs = 0}})[0];
    EXPECT_EQ(drawn.token, 3);
    EXPECT_EQ(drawn.rank, 3);
    EXPECT_EQ(Draw(backend, {1, 4, 3, 2}, {{.temperature = 0}})[0].rank, 0);
  });
}

}  // namespace
}  // namespace braid
