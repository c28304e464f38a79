#include "models/model_config.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "models/config_parts.h"
#include "models/weights/checked_size.h"
#include "models/weights/config_fields.h"
#include "models/weights/quantization.h"

namespace braid {
namespace {

using namespace config;

std::optional<LayerKind> LayerKindNamed(std::string_view word) {
  if (word == "mamba" || word == "linear_attention" || word == "M") return LayerKind::kMamba;
  if (word == "attention" || word == "full_attention" || word == "*") return LayerKind::kAttention;
  if (word == "mlp" || word == "-") return LayerKind::kMlp;
  if (word == "moe" || word == "E") return LayerKind::kMoe;
  return std::nullopt;
}

std::vector<LayerKind> KindsInList(ConfigFields& fields, std::string_view field, const Json& list) {
  std::vector<LayerKind> kinds;
  if (!list.is_array() || list.empty() || list.size() > static_cast<size_t>(kMaxLayers)) {
    fields.Fail(field, absl::StrCat(Shown(list), " is no list of 1..", kMaxLayers, " layers"));
    return kinds;
  }
  for (const Json& word : list) {
    const auto kind = word.is_string() ? LayerKindNamed(word.get_ref<const std::string&>()) : std::nullopt;
    if (!kind.has_value()) fields.Fail(field, absl::StrCat(Shown(word), " is no kind of layer"));
    kinds.push_back(kind.value_or(LayerKind::kMamba));
  }
  return kinds;
}

// One character a layer; "|" marks a cut between pipeline stages and says nothing to us.
std::vector<LayerKind> KindsInPattern(ConfigFields& fields, std::string_view field, std::string_view pattern) {
  std::vector<LayerKind> kinds;
  for (char c : pattern) {
    if (c == '|') continue;
    const std::optional<LayerKind> kind = LayerKindNamed(std::string_view(&c, 1));
    if (!kind.has_value()) fields.Fail(field, absl::StrCat(Quoted(std::string_view(&c, 1)), " is none of M * - E"));
    kinds.push_back(kind.value_or(LayerKind::kMamba));
  }
  if (kinds.empty() || kinds.size() > static_cast<size_t>(kMaxLayers)) {
    fields.Fail(field, absl::StrCat(kinds.size(), " layers, want 1..", kMaxLayers));
  }
  return kinds;
}

// hybrid_override_pattern cut at "/": the layers, then the blocks of a draft head's depth.
std::pair<std::string, std::string> SplitPattern(const std::string& pattern) {
  const size_t cut = pattern.find('/');
  if (cut == std::string::npos) return {pattern, ""};
  const size_t end = pattern.find('/', cut + 1);  // further depths repeat the first
  return {pattern.substr(0, cut), pattern.substr(cut + 1, end == std::string::npos ? end : end - cut - 1)};
}

bool IsPuzzle(const NemotronHConfig& c) { return c.model_type == "nemotron_h_puzzle"; }

// The kinds that a puzzle's blocks name.
std::vector<LayerKind> KindsInBlocks(ConfigFields& fields) {
  const Json* blocks = fields.Find({"block_configs"});
  Json kinds = Json::array();
  if (blocks == nullptr || !blocks->is_array()) {
    fields.Fail("block_configs", "is no list of blocks");
    return {};
  }
  for (const Json& block : *blocks) kinds.push_back(block.is_object() ? block.value("block_type", Json()) : Json());
  return KindsInList(fields, "block_configs.block_type", kinds);
}

// The list wins over the string.
std::vector<LayerKind> ReadLayers(ConfigFields& fields, const NemotronHConfig& c) {
  if (IsPuzzle(c)) return KindsInBlocks(fields);
  const std::string pattern = SplitPattern(fields.TextOr({"hybrid_override_pattern"}, "")).first;
  if (const Json* list = fields.Find({"layers_block_type", "layer_types"}); list != nullptr) {
    return KindsInList(fields, "layers_block_type", *list);
  }
  if (!pattern.empty()) return KindsInPattern(fields, "hybrid_override_pattern", pattern);
  fields.Fail("layers_block_type", "is missing, and hybrid_override_pattern too");
  return {};
}

std::vector<LayerKind> ReadMtpLayers(ConfigFields& fields, int depths) {
  std::string pattern = fields.TextOr({"mtp_hybrid_override_pattern"}, "");
  const Json* list = fields.Find({"mtp_layers_block_type"});
  if (depths == 0) return {};
  if (list != nullptr) return KindsInList(fields, "mtp_layers_block_type", *list);
  if (pattern.empty()) pattern = SplitPattern(fields.TextOr({"hybrid_override_pattern"}, "")).second;
  if (pattern.empty()) pattern = "*E";
  return KindsInPattern(fields, "mtp_hybrid_override_pattern", pattern);
}

bool HasKind(const NemotronHConfig& c, LayerKind kind) {
  return std::count(c.layers.begin(), c.layers.end(), kind) +
             std::count(c.mtp_layers.begin(), c.mtp_layers.end(), kind) >
         0;
}

NemotronHConfig::Attention ReadAttention(ConfigFields& fields, bool needed) {
  NemotronHConfig::Attention a;
  a.num_heads = SizeIf(needed, fields, {"num_attention_heads"});
  a.num_kv_heads = static_cast<int>(fields.IntOr({"num_key_value_heads"}, a.num_heads, 1, kMaxSize));
  a.head_dim = SizeIf(needed, fields, {"head_dim", "attention_head_dim"});
  if (needed) CheckDivides(fields, "num_key_value_heads", a.num_kv_heads, "num_attention_heads", a.num_heads);
  Product(fields, "num_attention_heads x head_dim", a.num_heads, a.head_dim);
  if (fields.BoolOr({"attention_bias"}, false)) fields.Unsupported("attention_bias", "want false");
  return a;
}

// intermediate_size: one number, a list of one, or one for each dense layer in their order.
NemotronHConfig::Mlp ReadMlp(ConfigFields& fields, size_t num_mlp_layers) {
  NemotronHConfig::Mlp mlp;
  mlp.bias = fields.BoolOr({"mlp_bias"}, false);
  const Json* value = fields.Find({"intermediate_size"});
  if (num_mlp_layers == 0) return mlp;
  if (value == nullptr || !value->is_array()) {
    mlp.intermediate_sizes.assign(num_mlp_layers, Size(fields, {"intermediate_size"}));
    return mlp;
  }
  if (value->size() != 1 && value->size() != num_mlp_layers) {
    fields.Fail("intermediate_size", absl::StrCat(value->size(), " entries, want 1 or ", num_mlp_layers));
    return mlp;
  }
  for (size_t i = 0; i < num_mlp_layers; ++i) {
    const Json& entry = (*value)[value->size() == 1 ? 0 : i];
    const bool ok = entry.is_number_integer() && entry >= 1 && entry <= kMaxSize;
    if (!ok) fields.Fail("intermediate_size", absl::StrCat(Shown(entry), " is no integer in 1..", kMaxSize));
    mlp.intermediate_sizes.push_back(ok ? entry.get<int>() : 1);
  }
  return mlp;
}

MambaConfig ReadMamba(ConfigFields& fields, bool needed) {
  MambaConfig m;
  m.num_heads = SizeIf(needed, fields, {"mamba_num_heads"});
  m.head_dim = SizeIf(needed, fields, {"mamba_head_dim"});
  m.state_size = SizeIf(needed, fields, {"ssm_state_size", "mamba_d_state"});
  m.num_groups = SizeIf(needed, fields, {"n_groups", "mamba_n_groups"});
  m.conv_kernel = static_cast<int>(fields.IntOr({"conv_kernel", "mamba_d_conv"}, 4, 2, 256));
  m.use_conv_bias = fields.BoolOr({"use_conv_bias", "mamba_conv_bias"}, true);
  m.use_bias = fields.BoolOr({"use_bias"}, false);
  ReadTimeStepLimit(fields, &m);
  if (needed) CheckDivides(fields, "n_groups", m.num_groups, "mamba_num_heads", m.num_heads);
  const int inner = Product(fields, "mamba_num_heads x mamba_head_dim", m.num_heads, m.head_dim);
  Product(fields, "mamba state of a sequence", inner, m.state_size);
  const int shared = Product(fields, "n_groups x ssm_state_size", m.num_groups, m.state_size);
  Product(fields, "mamba in_proj", 2 * (int64_t{inner} + shared) + m.num_heads, 1);
  if (fields.TextOr({"mamba_hidden_act"}, "silu") != "silu") fields.Unsupported("mamba_hidden_act", "want silu");
  return m;
}

void CheckRouting(ConfigFields& fields, const MoeConfig& moe) {
  CheckDivides(fields, "n_group", moe.num_groups, "n_routed_experts", moe.num_experts);
  if (moe.top_k_groups > moe.num_groups) {
    fields.Fail("topk_group", absl::StrCat(moe.top_k_groups, " is more than n_group ", moe.num_groups));
  }
  const int64_t eligible = int64_t{moe.num_experts} / std::max(1, moe.num_groups) * moe.top_k_groups;
  if (moe.top_k > eligible) {
    fields.Fail("num_experts_per_tok",
                absl::StrCat(moe.top_k, " is more than the ", eligible, " experts to choose from"));
  }
}

MoeConfig ReadMoe(ConfigFields& fields, bool needed) {
  MoeConfig moe;
  const int64_t least = needed ? 1 : 0;
  moe.num_experts = static_cast<int>(fields.IntOr({"n_routed_experts", "num_local_experts"}, 0, least, kMaxExperts));
  moe.top_k = static_cast<int>(fields.IntOr({"num_experts_per_tok"}, 0, least, kMaxExperts));
  if (needed && moe.num_experts == 0) fields.Fail("n_routed_experts", "is missing");
  if (needed && moe.top_k == 0) fields.Fail("num_experts_per_tok", "is missing");
  moe.intermediate_size = SizeIf(needed, fields, {"moe_intermediate_size"});
  moe.num_shared_experts = static_cast<int>(fields.IntOr({"n_shared_experts"}, 0, 0, kMaxExperts));
  const bool shared = needed && moe.num_shared_experts > 0;
  const int width = SizeIf(shared, fields, {"moe_shared_expert_intermediate_size"});
  moe.shared_intermediate_size = Product(fields, "moe_shared_expert_intermediate_size", moe.num_shared_experts, width);
  if (const auto latent = fields.OptionalInt({"moe_latent_size"}, 1, kMaxSize); latent.has_value()) {
    moe.latent_size = static_cast<int>(*latent);
  }
  moe.routed_scaling_factor = static_cast<float>(fields.FloatOr({"routed_scaling_factor"}, 1.0, 1e-6, 1e6));
  moe.num_groups = static_cast<int>(fields.IntOr({"n_group"}, 1, 1, kMaxExperts));
  moe.top_k_groups = static_cast<int>(fields.IntOr({"topk_group"}, 1, 1, kMaxExperts));
  moe.norm_top_k_prob = fields.BoolOr({"norm_topk_prob"}, true);
  if (needed) CheckRouting(fields, moe);
  return moe;
}

// What a puzzle's block may say of its own; whatever else it says must be what the model says.
void CheckBlock(ConfigFields& fields, const Json& block, const Json& model) {
  const std::set<std::string_view> own = {"block_type", "moe_intermediate_size", "num_experts_per_tok", "n_routed_experts",
                                          "n_shared_experts", "moe_shared_expert_intermediate_size", "moe_latent_size",
                                          "intermediate_size"};
  for (const auto& [field, value] : block.items()) {
    const bool same = value.is_null() || (model.contains(field) && model[field] == value);
    if (own.count(field) == 0 && !same) {
      fields.Unsupported(absl::StrCat("block_configs.", field), absl::StrCat(Shown(value), " is not supported in one block"));
    }
  }
}

// The widths and experts of each block: its own fields before the model's.
void ReadBlocks(ConfigFields& fields, const Json& config, NemotronHConfig* c) {
  c->mlp.bias = fields.BoolOr({"mlp_bias"}, false);
  c->moe = ReadMoe(fields, false);  // what blocks may leave unsaid
  Json shared = config;
  shared.erase("block_configs");
  for (size_t i = 0; i < c->layers.size() && fields.status().ok(); ++i) {
    const Json& block = config["block_configs"][i];
    CheckBlock(fields, block, config);
    Json merged = shared;
    for (const auto& [field, value] : block.items()) merged[field] = value;
    ConfigFields own(merged, absl::StrCat(fields.where(), ": block_configs[", i, "]"));
    if (c->layers[i] == LayerKind::kMoe) c->moes.push_back(ReadMoe(own, true));
    if (c->layers[i] == LayerKind::kMlp) c->mlp.intermediate_sizes.push_back(Size(own, {"intermediate_size"}));
    fields.Adopt(own.status());
  }
  fields.Ignore({"mtp_block_configs", "mtp_n_routed_experts", "mtp_hybrid_override_pattern", "mtp_layers_block_type",
                 "hybrid_override_pattern", "layers_block_type", "intermediate_size"});
}

void ReadWidths(ConfigFields& fields, const Json& config, NemotronHConfig* c) {
  if (IsPuzzle(*c)) return ReadBlocks(fields, config, c);
  RefuseBlocks(fields);
  c->mlp = ReadMlp(fields, static_cast<size_t>(std::count(c->layers.begin(), c->layers.end(), LayerKind::kMlp)));
  c->moe = ReadMoe(fields, HasKind(*c, LayerKind::kMoe));
  c->moes.assign(static_cast<size_t>(std::count(c->layers.begin(), c->layers.end(), LayerKind::kMoe) +
                                     std::count(c->mtp_layers.begin(), c->mtp_layers.end(), LayerKind::kMoe)),
                 c->moe);
}

void IgnoreNemotronH(ConfigFields& fields) {
  IgnoreCommon(fields);
  // The attention has no positions; time_step_min and the like are for initialisation; the rest is training's.
  fields.Ignore({"rope_theta",
                 "rope_scaling",
                 "rope_parameters",
                 "partial_rotary_factor",
                 "time_step_min",
                 "time_step_max",
                 "time_step_floor",
                 "mamba_dt_min",
                 "mamba_dt_max",
                 "mamba_dt_init_floor",
                 "expand",
                 "mamba_expand",
                 "chunk_size",
                 "mamba_chunk_size",
                 "mamba_proj_bias",
                 "mamba_ssm_cache_dtype",
                 "moe_shared_expert_overlap",
                 "residual_in_fp32",
                 "rescale_prenorm_residual",
                 "num_logits_to_keep",
                 "use_mamba_kernels",
                 "layer_norm_epsilon",
                 "norm_eps",
                 "rms_norm_eps"});
}

}  // namespace

absl::StatusOr<NemotronHConfig> ParseNemotronHConfig(const Json& config, const Json& generation,
                                                     const std::string& path) {
  ConfigFields fields(config, path);
  ConfigFields generated(generation, GenerationPath(path));
  NemotronHConfig c{.model_type = fields.TextOr({"model_type"}, "nemotron_h")};
  c.vocab_size = Size(fields, {"vocab_size"});
  c.hidden_size = Size(fields, {"hidden_size"});
  c.max_position_embeddings = static_cast<int>(fields.IntOr({"max_position_embeddings"}, 4096, 1, kMaxSize));
  c.tie_word_embeddings = fields.BoolOr({"tie_word_embeddings"}, false);
  c.norm_eps =
      static_cast<float>(fields.FloatOr({"layer_norm_epsilon", "norm_eps", "rms_norm_eps"}, 1e-5, 0.0, kMaxEps));
  c.layers = ReadLayers(fields, c);
  c.num_nextn_predict_layers = static_cast<int>(fields.IntOr({"num_nextn_predict_layers"}, 0, 0, 16));
  if (!IsPuzzle(c)) c.mtp_layers = ReadMtpLayers(fields, c.num_nextn_predict_layers);
  if (std::count(c.mtp_layers.begin(), c.mtp_layers.end(), LayerKind::kMlp) > 0) {
    fields.Unsupported("mtp_layers_block_type", "a dense block in the draft head is not supported");
  }
  c.attention = ReadAttention(fields, HasKind(c, LayerKind::kAttention));
  c.mamba = ReadMamba(fields, HasKind(c, LayerKind::kMamba));
  ReadWidths(fields, config, &c);
  if (fields.TextOr({"mlp_hidden_act"}, "relu2") != "relu2") fields.Unsupported("mlp_hidden_act", "want relu2");
  RefuseUnsupported(fields);
  RefuseWindow(fields);
  c.eos_token_ids = EosTokenIds(fields, generated, c.vocab_size);
  c.bos_token_id = BosTokenId(fields, c.vocab_size);
  IgnoreNemotronH(fields);
  RETURN_IF_ERROR(fields.status());
  RETURN_IF_ERROR(generated.status());
  c.unknown_fields = fields.Unknown();
  return c;
}

absl::StatusOr<std::string> ReadModelType(const Checkpoint& checkpoint) {
  if (checkpoint.gguf() != nullptr) return checkpoint.gguf()->GetString("general.architecture");
  ConfigFields fields(checkpoint.config(), ConfigPath(checkpoint));
  const std::string type = fields.TextOr({"model_type"}, "");
  if (type.empty()) fields.Fail("model_type", "is missing");
  RETURN_IF_ERROR(fields.status());
  return type;
}

absl::StatusOr<NemotronHConfig> ReadNemotronHConfig(const Checkpoint& checkpoint) {
  if (checkpoint.gguf() != nullptr) {
    return absl::UnimplementedError(
        absl::StrCat(checkpoint.path(), ": general.architecture: nemotron_h in GGUF is not supported"));
  }
  RETURN_IF_ERROR(ReadQuantization(checkpoint).status());
  return ParseNemotronHConfig(checkpoint.config(), checkpoint.generation_config(), ConfigPath(checkpoint));
}

}  // namespace braid
