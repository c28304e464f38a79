// Every family against golden logits, on every backend of this machine: prompts whole, in chunks, token by token,
// alone and in mixed batches. On the CPU every cut and every company must give equal bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "engine/batch_builder.h"
#include "engine/kv_pool.h"
#include "engine/state_pool.h"
#include "models/model.h"
#include "tests/oracle/golden.h"

namespace braid {
namespace {

using testing::Backends;
using testing::FolderOf;
using testing::GoldenFile;
using testing::SameBits;
using testing::WorstDifference;

constexpr int kBlockSize = 32, kGrid = 32, kMaxSequences = 4, kBlocksPerSequence = 8;
constexpr int64_t kMaxRows = 1024;
// What bf16 products may move the logits of most rows by, of the largest.
constexpr float kBf16Share = 0.05f;

struct Golden {
  std::string name;
  float logit_tolerance;  // tests/data/models/README.md
  std::string file = "";  // the checkpoint within the folder; the folder itself when empty
};

// What transformers and an independent reference computed for one prompt.
struct Expected {
  std::vector<int32_t> prompt, greedy;
  std::vector<float> logits;  // [prompt, vocab]
  int64_t vocab = 0;
  std::vector<float> margins; // of greedy steps: best minus second
};

Expected ReadExpected(const std::string& name) {
  const GoldenFile file(name);
  return {.prompt = file.Ids("input_ids"),
          .greedy = file.Ids("greedy"),
          .logits = file.Floats("logits"),
          .vocab = file.Columns("logits")};
}

// One part of a step: the next `tokens` tokens of sequence `sequence`.
struct Part {
  int sequence;
  int tokens;
};
using Schedule = std::vector<std::vector<Part>>;

// A model with room for a few sequences, whose logits are all wanted.
class Bench {
 public:
  Bench(const Golden& golden, Backend& backend) : backend_(backend) {
    auto checkpoint = Checkpoint::Open(FolderOf(golden.name) + golden.file);
    CHECK(checkpoint.ok()) << checkpoint.status();
    auto model = LoadModel(**checkpoint, backend, nullptr);
    CHECK(model.ok()) << model.status();
    model_ = *std::move(model);
    layout_ = model_->info().cache;
    for (MambaStateLayout& layer : layout_.mamba) layer.grid = kGrid;
    CHECK(backend_.ReserveScratch(MeasureScratch()).ok());
    hidden_ = Take(kMaxRows * model_->info().hidden_size * sizeof(float));
    logits_ = Take(kMaxRows * model_->info().vocab_size * sizeof(float));
  }

  // Returns the logits [tokens, vocab] of every sequence after walking `schedule` from an empty cache.
  std::vector<std::vector<float>> Run(const std::vector<std::vector<int32_t>>& sequences, const Schedule& schedule) {
    const KvPool kv =
        *KvPool::Make(backend_, layout_, DType::kF32, kBlockSize, kMaxSequences * kBlocksPerSequence);
    const StatePool state = *StatePool::Make(backend_, layout_, kMaxSequences);
    Poison(kv, state);
    SequenceTable table;
    std::vector<int> done(sequences.size(), 0);
    std::vector<std::vector<float>> logits(sequences.size());
    StepPlan plan = Admission(sequences);
    BatchBuilder builder;
    for (const std::vector<Part>& parts : schedule) {
      ++plan.epoch;
      plan.steps.clear();
      for (const Part& part : parts) {
        plan.steps.push_back({.row = part.sequence,
                              .id = static_cast<SequenceId>(part.sequence + 1),
                              .start = done[part.sequence],
                              .num_tokens = part.tokens,
                              .samples = true});
        done[part.sequence] += part.tokens;
      }
      table.Apply(plan);
      plan.admitted.clear();
      plan.new_blocks.clear();
      builder.Build(plan, kGrid, [](SequenceId) { return true; }, &table);
      Walk(builder, kv, state, &logits);
    }
    return logits;
  }

 private:
  // Stale memory may hold anything; nothing of it may show.
  void Poison(const KvPool& kv, const StatePool& state) {
    for (const KvLayer& layer : kv.layers()) {
      Poison(layer.data, layer.block_bytes() * kMaxSequences * kBlocksPerSequence);
    }
    if (state.layers().empty()) return;
    Poison(state.layers()[0].data, layout_.StateBytesPerSequence() * kMaxSequences);
  }
  void Poison(void* memory, int64_t bytes) {
    const std::vector<uint8_t> stale(static_cast<size_t>(bytes), 0xff);
    backend_.Upload(stale.data(), memory, stale.size());
  }
  Bytes Take(int64_t bytes) { return *backend_.Allocate(static_cast<size_t>(bytes)); }

  // Enough for every step of the test: kMaxRows rows, of one sequence or of as many as there may be.
  size_t MeasureScratch() {
    const std::vector<int32_t> ids(kMaxRows);
    std::vector<KvLayer> kv;
    for (const AttentionCacheShape& layer : layout_.attention) {
      kv.push_back({.block_size = kBlockSize, .kv_heads = layer.kv_heads, .head_dim = layer.head_dim});
    }
    const std::vector<StateLayer> state(layout_.mamba.size());
    size_t bytes = 0;
    for (int sequences : {1, kMaxSequences}) {
      std::vector<SequenceSpan> spans;
      for (int s = 0; s < sequences; ++s) {
        const int rows = kMaxRows / sequences;
        spans.push_back({.first_row = s * rows, .num_tokens = rows, .num_committed = rows, .state_slot = 0});
      }
      bytes = std::max(bytes, backend_.MeasureScratch([&](Ops& op) {
        model_->Forward(op, {ids, ids, spans, ids}, {kv, state, layout_.mamba}, TensorView::Of(nullptr, kMaxRows, model_->info().hidden_size));
        model_->Logits(op, TensorView::Of(nullptr, kMaxRows, model_->info().hidden_size), TensorView::Of(nullptr, kMaxRows, model_->info().vocab_size));
      }));
    }
    return bytes;
  }

  StepPlan Admission(const std::vector<std::vector<int32_t>>& sequences) {
    StepPlan plan;
    for (int s = 0; s < static_cast<int>(sequences.size()); ++s) {
      plan.admitted.push_back({.row = s,
                               .id = static_cast<SequenceId>(s + 1),
                               .state_slot = kMaxSequences - 1 - s,
                               .tokens = sequences[s],
                               .prompt_tokens = static_cast<int32_t>(sequences[s].size())});
      RowBlocks blocks{.row = s};
      for (int b = 0; b < kBlocksPerSequence; ++b) blocks.blocks.push_back(b * kMaxSequences + s);  // scattered
      plan.new_blocks.push_back(blocks);
    }
    return plan;
  }

  void Walk(const BatchBuilder& builder, const KvPool& kv, const StatePool& state,
            std::vector<std::vector<float>>* logits) {
    const int64_t rows = static_cast<int64_t>(builder.logit_rows().size()), vocab = model_->info().vocab_size;
    CHECK_LE(rows, kMaxRows);
    backend_.RunBatch(builder.batch(), kMaxRows, [&](Ops& op, const RaggedBatch& batch) {
      const int64_t padded = batch.num_tokens();
      const TensorView hidden = TensorView::Of(hidden_.as<float>(), padded, model_->info().hidden_size);
      model_->Forward(op, batch, {kv.layers(), state.layers(), layout_.mamba}, hidden);
      model_->Logits(op, hidden, TensorView::Of(logits_.as<float>(), padded, vocab));
    });
    std::vector<float> out(rows * vocab);
    backend_.Download(logits_.data(), out.data(), out.size() * sizeof(float));
    for (int64_t i = 0; i < rows; ++i) {
      std::vector<float>& mine = (*logits)[builder.logit_rows()[i].row];
      mine.insert(mine.end(), out.begin() + i * vocab, out.begin() + (i + 1) * vocab);
    }
  }

  Backend& backend_;
  std::unique_ptr<Model> model_;
  CacheLayout layout_;
  Bytes hidden_, logits_;
};

// Sequence 0 in chunks of `chunk`.
Schedule Chunks(int tokens, int chunk) {
  Schedule schedule;
  for (int at = 0; at < tokens; at += chunk) schedule.push_back({{0, std::min(chunk, tokens - at)}});
  return schedule;
}

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

INSTANTIATE_TEST_SUITE_P(Families, ModelOracle,
                         ::testing::Values(Golden{"llama", 1e-4f}, Golden{"llama3_rope", 3e-4f},
                                           Golden{"qwen2", 1e-4f}, Golden{"qwen3", 1e-4f}, Golden{"qwen3_moe", 1e-4f},
                                           Golden{"qwen2", 1e-4f, "/model.gguf"}, Golden{"qwen3", 1e-4f, "/model.gguf"},
                                           Golden{"qwen3_moe", 1e-4f, "/model.gguf"},
                                           Golden{"mistral", 1e-4f}, Golden{"mixtral", 1e-4f},
                                           Golden{"nemotron", 1e-4f}, Golden{"mamba2", 1e-4f},
                                           Golden{"gpt_oss", 1e-4f}, Golden{"gpt_oss_mxfp4", 4e-3f}, Golden{"bloom", 1e-4f},
                                           Golden{"granite", 1e-4f}, Golden{"granitemoe", 1e-4f},
                                           Golden{"granitemoehybrid", 1e-4f}, Golden{"granitemoehybrid_dense", 1e-4f},
                                           Golden{"bamba", 1e-4f}, Golden{"falcon_h1", 1e-4f},
                                           Golden{"falcon_h1_norm", 1e-4f}, Golden{"falcon_h1_gate", 1e-4f},
                                           Golden{"nemotron_nas", 1e-4f}, Golden{"nemotron_h_puzzle", 1e-4f},
                                           Golden{"nemotron_h", 1e-4f}, Golden{"nemotron_h_dense", 1e-4f},
                                           Golden{"nemotron_h_latent_mtp", 1e-4f}, Golden{"nemotron_h_fp8", 1e-4f},
                                           Golden{"llama_ct_fp8", 1e-4f}, Golden{"nemotron_h_nvfp4", 1e-3f},
                                           Golden{"nemotron_h_mixed", 1e-3f}, Golden{"llama_ct_nvfp4", 1e-3f},
                                           Golden{"llama_gptq", 1e-3f}, Golden{"qwen2_gptq_ordered", 1e-3f},
                                           Golden{"llama_gptq_8bit", 1e-3f}, Golden{"llama_awq", 1e-3f},
                                           Golden{"llama_ct_int4", 1e-3f}, Golden{"qwen3_moe_awq", 1e-3f}),
                         [](const auto& info) { return info.param.name + (info.param.file.empty() ? "" : "_gguf"); });

}  // namespace
}  // namespace braid
