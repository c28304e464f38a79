// A model with room for a few sequences, walked over a schedule; and the golden logits of every family.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/kv_pool.h"
#include "engine/state_pool.h"
#include "models/model.h"
#include "tests/oracle/golden.h"

namespace braid::testing {

inline constexpr int kBlockSize = 32, kGrid = 32, kMaxSequences = 4, kBlocksPerSequence = 8;
inline constexpr int64_t kMaxRows = 1024;

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

inline Expected ReadExpected(const std::string& name) {
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
inline Schedule Chunks(int tokens, int chunk) {
  Schedule schedule;
  for (int at = 0; at < tokens; at += chunk) schedule.push_back({{0, std::min(chunk, tokens - at)}});
  return schedule;
}

// Every family.
inline std::vector<Golden> Goldens() {
  return {
      {"llama", 1e-4f}, {"llama3_rope", 3e-4f}, {"qwen2", 1e-4f}, {"qwen3", 1e-4f}, {"qwen3_moe", 1e-4f},
      {"qwen2", 1e-4f, "/model.gguf"}, {"qwen3", 1e-4f, "/model.gguf"}, {"qwen3_moe", 1e-4f, "/model.gguf"},
      {"mistral", 1e-4f}, {"mixtral", 1e-4f}, {"nemotron", 1e-4f}, {"mamba2", 1e-4f}, {"gpt_oss", 1e-4f},
      {"gpt_oss_mxfp4", 4e-3f}, {"bloom", 1e-4f}, {"granite", 1e-4f}, {"granitemoe", 1e-4f},
      {"granitemoehybrid", 1e-4f}, {"granitemoehybrid_dense", 1e-4f}, {"bamba", 1e-4f}, {"falcon_h1", 1e-4f},
      {"falcon_h1_norm", 1e-4f}, {"falcon_h1_gate", 1e-4f}, {"nemotron_nas", 1e-4f}, {"nemotron_h_puzzle", 1e-4f},
      {"nemotron_h", 1e-4f}, {"nemotron_h_dense", 1e-4f}, {"nemotron_h_latent_mtp", 1e-4f},
      {"nemotron_h_fp8", 1e-4f}, {"llama_ct_fp8", 1e-4f}, {"nemotron_h_nvfp4", 1e-3f}, {"nemotron_h_mixed", 1e-3f},
      {"llama_ct_nvfp4", 1e-3f}, {"llama_gptq", 1e-3f}, {"qwen2_gptq_ordered", 1e-3f}, {"llama_gptq_8bit", 1e-3f},
      {"llama_awq", 1e-3f}, {"llama_ct_int4", 1e-3f}, {"qwen3_moe_awq", 1e-3f}};
}

// Test names.
inline std::string NameOf(const Golden& golden) { return golden.name + (golden.file.empty() ? "" : "_gguf"); }

}  // namespace braid::testing
