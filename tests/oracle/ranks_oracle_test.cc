// Every family shared by two and by four ranks, each a thread: the golden logits, equal bits run after run, and a clear
// error where heads or widths do not part.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "kernels/collective/shm_communicator.h"
#include "tests/oracle/model_bench.h"

namespace braid {
namespace {

using testing::Bench;
using testing::Chunks;
using testing::Expected;
using testing::FolderOf;
using testing::Golden;
using testing::Schedule;
using testing::WorstDifference;

// A greedy token is told apart from the next best by more than ranks' sums may differ.
constexpr float kClearGap = 0.02f;
// Where a rank's columns are no whole blocks of 32, other activations share a scale.
constexpr float kOtherBlocks = 2.0f;

// A segment that closes itself.
struct Segment {
  explicit Segment(int ranks) : fd(*MakeRankSegment(ranks)) {}
  ~Segment() { close(fd); }
  std::unique_ptr<Backend> BackendOf(int rank) const {
    return *MakeCpuBackend("auto", 1, false, *ShmCommunicator::Join(fd, rank));
  }
  const int fd;
};

absl::Status Loads(const Golden& golden, int ranks) {
  const Segment segment(ranks);
  const auto backend = segment.BackendOf(ranks - 1);
  const auto checkpoint = *Checkpoint::Open(FolderOf(golden.name) + golden.file);
  return LoadModel(*checkpoint, *backend, nullptr).status();
}

// The first rank's logits of `tokens`.
std::vector<float> RunRanks(const Golden& golden, int ranks, const std::vector<int32_t>& tokens, const Schedule& schedule) {
  const Segment segment(ranks);
  std::vector<std::vector<float>> logits(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const auto backend = segment.BackendOf(rank);
      logits[rank] = Bench(golden, *backend).Run({tokens}, schedule)[0];
    });
  }
  for (std::thread& thread : threads) thread.join();
  return logits[0];
}

// Greedy tokens up to the first that is not clear.
void ExpectGreedy(const std::vector<float>& logits, const Expected& expected) {
  for (size_t i = 0; i < expected.greedy.size(); ++i) {
    const auto row = logits.begin() + static_cast<int64_t>(expected.prompt.size() - 1 + i) * expected.vocab;
    std::vector<float> sorted(row, row + expected.vocab);
    std::nth_element(sorted.begin(), sorted.begin() + 1, sorted.end(), std::greater<>());
    if (*std::max_element(sorted.begin(), sorted.end()) - sorted[1] < kClearGap) return;
    EXPECT_EQ(std::max_element(row, row + expected.vocab) - row, expected.greedy[i]) << "greedy step " << i;
  }
}

// What so many ranks cannot share of the tiny models, by the name and the message.
const char* NotShared(const Golden& golden, int ranks) {
  if (golden.name == "qwen2_gptq_ordered") return "o_proj.weight: its inputs have an order of their own (g_idx), which ranks cannot share";
  if (ranks == 2) return nullptr;
  if (golden.name == "qwen3_moe_awq") return "4 ranks cannot share the 64 columns of mlp.experts.0.down_proj.weight, which stand in blocks of 32";
  if (golden.name.starts_with("llama_gptq") || golden.name == "llama_ct_int4") {
    return "self_attn.o_proj.weight: --tensor-parallel: a border at column 48 of 64 would cut a block of 32 columns";
  }
  if (golden.name == "bloom") return "4 ranks cannot share 6 attention heads evenly";
  if (golden.name == "nemotron_h_nvfp4" || golden.name == "nemotron_h_mixed") {
    return "4 ranks cannot share the 48 columns of experts.0.down_proj.weight, which stand in blocks of 32";
  }
  if (golden.name == "gpt_oss_mxfp4") {
    return "4 ranks cannot share the 64 columns of experts.down_proj, which stand in blocks of 32";
  }
  if (golden.name.starts_with("falcon_h1")) return "4 ranks cannot share 6 Mamba heads evenly";
  return nullptr;
}

class RanksOracle : public ::testing::TestWithParam<Golden> {};

TEST_P(RanksOracle, GiveTheGoldenLogitsAndEqualBitsRunAfterRun) {
  const Golden& golden = GetParam();
  const Expected expected = testing::ReadExpected(golden.name);
  std::vector<int32_t> tokens = expected.prompt;
  tokens.insert(tokens.end(), expected.greedy.begin(), expected.greedy.end());
  const int length = static_cast<int>(tokens.size());
  const bool has_blocks = golden.logit_tolerance >= 1e-3f;
  for (const int ranks : {2, 4}) {
    SCOPED_TRACE(ranks);
    const absl::Status loads = Loads(golden, ranks);
    if (const char* const why = NotShared(golden, ranks)) {
      EXPECT_TRUE(absl::IsInvalidArgument(loads));
      EXPECT_THAT(std::string(loads.message()), ::testing::HasSubstr(why));
      continue;
    }
    ASSERT_TRUE(loads.ok()) << loads;
    const std::vector<float> whole = RunRanks(golden, ranks, tokens, Chunks(length, length));
    ASSERT_EQ(whole.size(), static_cast<size_t>(length * expected.vocab));
    const float difference = WorstDifference(whole, expected.logits);
    RecordProperty(absl::StrCat("ranks_", ranks), std::to_string(difference));
    EXPECT_LE(difference, golden.logit_tolerance * (has_blocks ? kOtherBlocks : 1.0f));
    ExpectGreedy(whole, expected);
    EXPECT_TRUE(RunRanks(golden, ranks, tokens, Chunks(length, length)) == whole) << "another run, other bits";
    EXPECT_TRUE(RunRanks(golden, ranks, tokens, Chunks(length, 33)) == whole) << "another cut, other bits";
  }
}

INSTANTIATE_TEST_SUITE_P(Families, RanksOracle, ::testing::ValuesIn(testing::Goldens()),
                         [](const auto& info) { return NameOf(info.param); });

}  // namespace
}  // namespace braid
