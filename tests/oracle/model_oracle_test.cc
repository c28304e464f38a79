// Every family against golden logits, on every backend of this machine: prompts whole, in chunks, token by token,
// alone and in mixed batches. On the CPU every cut and every company must give equal bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/oracle/model_bench.h"

namespace braid {
namespace {

using testing::Backends;
using testing::Bench;
using testing::Chunks;
using testing::Expected;
using testing::Golden;
using testing::ReadExpected;
using testing::SameBits;
using testing::Schedule;
using testing::WorstDifference;

// What bf16 products may move the logits of most rows by, of the largest.
constexpr float kBf16Share = 0.05f;

class ModelOracle : public ::testing::TestWithParam<Golden> {};

TEST_P(ModelOracle, LogitsAndGreedyTokensAgreeForEveryCutAndCompany) {
  const Golden& golden = GetParam();
  const Expected expected = ReadExpected(golden.name);
  std::vector<int32_t> tokens = expected.prompt;
  tokens.insert(tokens.end(), expected.greedy.begin(), expected.greedy.end());
  const int length = static_cast<int>(tokens.size());
  std::vector<float> first_cpu;
  for (const std::unique_ptr<Backend>& backend : Backends()) {
    SCOPED_TRACE(backend->Name());
    Bench bench(golden, *backend);
    const std::vector<float> whole = bench.Run({tokens}, Chunks(length, length))[0];
    ASSERT_EQ(whole.size(), static_cast<size_t>(length * expected.vocab));
    const float difference = WorstDifference(whole, expected.logits);
    RecordProperty(backend->Name(), std::to_string(difference));
    EXPECT_LE(difference, golden.logit_tolerance);
    for (size_t i = 0; i < expected.greedy.size(); ++i) {
      const auto row = whole.begin() + (expected.prompt.size() - 1 + i) * expected.vocab;
      EXPECT_EQ(std::max_element(row, row + expected.vocab) - row, expected.greedy[i]) << "greedy step " << i;
    }
    const bool is_cuda = backend->Name().starts_with("cuda");
    // The emulation is slow; the mixed batches below have its decodes.
    for (int chunk : is_cuda ? std::vector<int>{33} : std::vector<int>{1, 7, 31, 32, 33, 128}) {
      const std::vector<float> cut = bench.Run({tokens}, Chunks(length, chunk))[0];
      EXPECT_TRUE(SameBits(*backend, cut, whole, golden.logit_tolerance))
          << "chunk " << chunk << " differs by " << WorstDifference(cut, whole);
    }
    // In company: a decode, a prompt in sevens and a whole prompt beside it.
    const std::vector<int32_t> other(tokens.rbegin(), tokens.rend());
    Schedule mixed = {{{1, 50}, {0, 5}}, {{1, 1}, {0, 1}, {2, 7}}, {{3, length}, {2, 7}, {1, 1}, {0, 20}}};
    int at = 26;
    for (int decodes = 0; decodes < 4; ++decodes, ++at) mixed.push_back({{1, 1}, {0, 1}, {2, 1}});
    for (; at < length; at += 9) mixed.push_back({{1, 1}, {0, std::min(9, length - at)}, {2, 3}});
    const std::vector<float> company = bench.Run({tokens, other, tokens, other}, mixed)[0];
    EXPECT_TRUE(SameBits(*backend, company, whole, golden.logit_tolerance))
        << "in company it differs by " << WorstDifference(company, whole);
    if (backend->Name() == "ref" || is_cuda) continue;
    if (first_cpu.empty()) first_cpu = whole;
    EXPECT_EQ(std::memcmp(first_cpu.data(), whole.data(), 4 * whole.size()), 0) << "another instruction set's bits";
  }
}

// Rounding inputs to bf16 moves logits by about one part in a hundred of the largest. A router may then choose another
// expert, which moves all of a row: most rows have to stay.
TEST_P(ModelOracle, Bf16ProductsOnCudaMoveMostRowsLittle) {
  absl::StatusOr<std::unique_ptr<Backend>> cuda = MakeCudaBackend(Precision::kBf16);
  if (!cuda.ok()) GTEST_SKIP() << cuda.status();
  const Golden& golden = GetParam();
  const Expected expected = ReadExpected(golden.name);
  const int64_t length = static_cast<int64_t>(expected.prompt.size()), vocab = expected.vocab;
  const std::vector<float> got =
      Bench(golden, **cuda).Run({expected.prompt}, Chunks(static_cast<int>(length), static_cast<int>(length)))[0];
  ASSERT_EQ(got.size(), expected.logits.size());
  const float largest = WorstDifference(std::vector<float>(got.size()), expected.logits);
  std::vector<float> rows;
  for (int64_t t = 0; t < length; ++t) {
    const auto row = [&](const std::vector<float>& all) {
      return std::vector<float>(all.begin() + t * vocab, all.begin() + (t + 1) * vocab);
    };
    rows.push_back(WorstDifference(row(got), row(expected.logits)) / largest);
  }
  std::sort(rows.begin(), rows.end());
  RecordProperty("median", std::to_string(rows[length / 2]));
  RecordProperty("worst", std::to_string(rows.back()));
  EXPECT_LE(rows[length / 2], kBf16Share);
  EXPECT_GT(rows.back(), 1e-4f) << "nothing was rounded";
}

INSTANTIATE_TEST_SUITE_P(Families, ModelOracle, ::testing::ValuesIn(testing::Goldens()),
                         [](const auto& info) { return NameOf(info.param); });

}  // namespace
}  // namespace braid
