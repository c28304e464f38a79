#include "models/families/nemotron_nas.h"

#include <algorithm>

#include "models/families/llama.h"

namespace braid {
namespace {

using Part = NemotronNasConfig::Part;
using Block = NemotronNasConfig::Block;

ModelInfo InfoOf(const NemotronNasConfig& c) {
  ModelInfo info = DecoderInfo("nemotron-nas", c.llama, {});
  int mlps = 0, matrices = 0;
  for (const Block& block : c.blocks) {
    if (block.attention == Part::kMixer) info.cache.attention.push_back({block.num_kv_heads, c.llama.head_dim});
    mlps += block.mlp == Part::kMixer;
    matrices += (block.attention == Part::kMatrix) + (block.mlp == Part::kMatrix);
  }
  info.layers_by_kind = {{"attention", static_cast<int>(info.cache.attention.size())}, {"mlp", mlps}};
  if (matrices > 0) info.layers_by_kind.emplace_back("matrix", matrices);
  return info;
}

void BindAttentionPart(const WeightLoader& w, const LlamaConfig& c, const Block& block,
                       std::vector<DecoderLayer>& layers) {
  if (block.attention == Part::kNone) return;
  Norm norm = RmsNorms(c)(w, "input_layernorm");
  const WeightLoader part = w.Child("self_attn.");
  if (block.attention == Part::kMatrix) {
    layers.push_back({std::move(norm), BindMatrix(part, "linear_attn.weight", c.hidden_size, c.hidden_size)});
    return;
  }
  layers.push_back({std::move(norm), BindAttention(part, {c.hidden_size, c.num_heads, block.num_kv_heads, c.head_dim},
                                                   {.qkv = c.attention_bias, .output = c.output_bias})});
}

void BindMlpPart(const WeightLoader& w, const LlamaConfig& c, const Block& block, std::vector<DecoderLayer>& layers) {
  if (block.mlp == Part::kNone) return;
  Norm norm = RmsNorms(c)(w, "post_attention_layernorm");
  const WeightLoader part = w.Child("mlp.");
  if (block.mlp == Part::kMatrix) {
    layers.push_back({std::move(norm), BindMatrix(part, "linear_mlp.weight", c.hidden_size, c.hidden_size)});
    return;
  }
  layers.push_back({std::move(norm), BindGatedMlp(part, c.hidden_size, block.intermediate_size)});
}

DecoderParts Bind(const WeightLoader& w, const NemotronNasConfig& c) {
  const LayerBinder layer = [&c](const WeightLoader& under, int i, std::vector<DecoderLayer>& layers) {
    BindAttentionPart(under, c.llama, c.blocks[i], layers);
    BindMlpPart(under, c.llama, c.blocks[i], layers);
  };
  DecoderParts parts = BindDecoder(w, ShapeOf(c.llama, c.blocks.size()), {}, RmsNorms(c.llama), layer);
  parts.rotary = RotaryOf(w, c.llama.rope, c.llama.head_dim);
  return parts;
}

}  // namespace

absl::StatusOr<ModelInfo> ReadNemotronNasInfo(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const NemotronNasConfig config, ReadNemotronNasConfig(checkpoint));
  return InfoOf(config);
}

absl::StatusOr<std::unique_ptr<Model>> LoadNemotronNas(const Checkpoint& checkpoint, Backend& backend,
                                                       const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const NemotronNasConfig config, ReadNemotronNasConfig(checkpoint));
  if (config.llama.mlp_bias) return absl::UnimplementedError(absl::StrCat(checkpoint.path(), ": mlp_bias: true"));
  return LoadDecoder(checkpoint, backend, progress, InfoOf(config), [&](const WeightLoader& w) { return Bind(w, config); });
}

}  // namespace braid
