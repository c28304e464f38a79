#include "models/model_config.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "models/gguf_llama_config.h"
#include "models/weights/checked_size.h"
#include "models/weights/config_fields.h"
#include "models/weights/quantization.h"

namespace braid {
namespace {

constexpr int64_t kMaxExperts = 65'536;
constexpr int64_t kMaxEosIds = 1024;
constexpr double kMaxEps = 1.0;

int Size(ConfigFields& fields, ConfigFields::Names names) { return static_cast<int>(fields.Int(names, 1, kMaxSize)); }

// A size that only some layers need: when none does, it is checked if it is there, and may be missing.
int SizeIf(bool needed, ConfigFields& fields, ConfigFields::Names names) {
  return needed ? Size(fields, names) : static_cast<int>(fields.IntOr(names, 0, 0, kMaxSize));
}

// a * b as a size.
int Product(ConfigFields& fields, std::string_view field, int64_t a, int64_t b) {
  if (a * b > kMaxSize) fields.Fail(field, absl::StrCat(a, " x ", b, " is more than ", kMaxSize));
  return static_cast<int>(std::min(a * b, kMaxSize));
}

void CheckDivides(ConfigFields& fields, std::string_view field, int part, const char* whole_field, int whole) {
  if (part < 1 || whole % part != 0) {
    fields.Fail(field, absl::StrCat(part, " does not divide ", whole_field, " ", whole));
  }
}

// Adds the token ids in `field`: a number, a list of them, or nothing.
void AddTokenIds(ConfigFields& fields, std::string_view field, int vocab_size, std::set<int32_t>* ids) {
  const Json* value = fields.Find({field});
  if (value == nullptr) return;
  const Json list = value->is_array() ? *value : Json::array({*value});
  if (list.size() > kMaxEosIds) return fields.Fail(field, absl::StrCat(list.size(), " ids, at most ", kMaxEosIds));
  for (const Json& id : list) {
    if (!id.is_number_integer() || id < 0 || id >= vocab_size) {
      return fields.Fail(field, absl::StrCat(Shown(id), " is no token id in 0..", vocab_size - 1));
    }
    ids->insert(id.get<int32_t>());
  }
}

// eos_token_id of both documents together: chat checkpoints list the end of a turn only in the second.
std::vector<int32_t> EosTokenIds(ConfigFields& config, ConfigFields& generation, int vocab_size) {
  std::set<int32_t> ids;
  AddTokenIds(config, "eos_token_id", vocab_size, &ids);
  AddTokenIds(generation, "eos_token_id", vocab_size, &ids);
  return {ids.begin(), ids.end()};
}

std::optional<int32_t> BosTokenId(ConfigFields& fields, int vocab_size) {
  const std::optional<int64_t> id = fields.OptionalInt({"bos_token_id"}, 0, vocab_size - 1);
  if (!id.has_value()) return std::nullopt;
  return static_cast<int32_t>(*id);
}

// What every family refuses rather than computes wrongly.
void RefuseUnsupported(ConfigFields& fields) {
  fields.Ignore({"quantization_config"});  // quantization.h reads it
  if (fields.Find({"sliding_window"}) != nullptr && fields.BoolOr({"use_sliding_window"}, true)) {
    fields.Unsupported("sliding_window", "windowed attention is not supported, want null");
  }
  for (std::string_view field : {"attention_chunk_size", "no_rope_layers", "block_configs"}) {
    if (fields.Find({field}) != nullptr) fields.Unsupported(field, "is not supported, want null");
  }
}

// What a configuration holds that a forward pass does not need.
void IgnoreCommon(ConfigFields& fields) {
  fields.Ignore({"_name_or_path",
                 "architectures",
                 "attention_dropout",
                 "attn_implementation",
                 "auto_map",
                 "chunk_size_feed_forward",
                 "dtype",
                 "head_dim",
                 "hidden_dropout",
                 "id2label",
                 "initializer_range",
                 "is_encoder_decoder",
                 "label2id",
                 "model_type",
                 "num_hidden_layers",
                 "output_attentions",
                 "output_hidden_states",
                 "pad_token_id",
                 "pretraining_tp",
                 "return_dict",
                 "torch_dtype",
                 "transformers_version",
                 "unk_token_id",
                 "use_cache",
                 "use_sliding_window"});
}

std::string GenerationPath(const std::string& config_path) {
  const size_t slash = config_path.rfind('/');
  return absl::StrCat(slash == std::string::npos ? "" : config_path.substr(0, slash + 1), "generation_config.json");
}

// ---- rotary positions ----

std::optional<RopeKind> RopeKindNamed(std::string_view name) {
  if (name == "default") return RopeKind::kDefault;
  if (name == "linear") return RopeKind::kLinear;
  if (name == "llama3") return RopeKind::kLlama3;
  return std::nullopt;
}

void ReadLlama3Scaling(ConfigFields& fields, RopeConfig* rope) {
  rope->low_freq_factor = static_cast<float>(fields.FloatOr({"low_freq_factor"}, 1.0, 1e-3, 1e6));
  rope->high_freq_factor = static_cast<float>(fields.FloatOr({"high_freq_factor"}, 4.0, 1e-3, 1e6));
  rope->original_max_position = Size(fields, {"original_max_position_embeddings"});
  if (rope->high_freq_factor <= rope->low_freq_factor) {
    fields.Fail("high_freq_factor",
                absl::StrCat(rope->high_freq_factor, " is not above low_freq_factor ", rope->low_freq_factor));
  }
}

// One object of rope_parameters or rope_scaling.
RopeConfig ReadScaling(ConfigFields& fields) {
  RopeConfig rope;
  const std::string type = fields.TextOr({"rope_type", "type"}, "default");
  const std::optional<RopeKind> kind = RopeKindNamed(type);
  if (!kind.has_value()) {
    fields.Unsupported("rope_type", absl::StrCat(Quoted(type), " is not supported; default, linear and llama3 are"));
    return rope;
  }
  rope.kind = *kind;
  if (fields.FloatOr({"partial_rotary_factor"}, 1.0, 0.0, 1.0) != 1.0) {
    fields.Unsupported("partial_rotary_factor", "want 1");
  }
  if (rope.kind == RopeKind::kDefault) return rope;
  if (fields.Find({"factor"}) == nullptr) fields.Fail("factor", "is missing");
  rope.factor = static_cast<float>(fields.FloatOr({"factor"}, 1.0, 1e-3, 1e6));
  if (rope.kind == RopeKind::kLlama3) ReadLlama3Scaling(fields, &rope);
  return rope;
}

// rope_parameters {rope_type, rope_theta, ...}, or rope_theta beside rope_scaling {rope_type | type, ...}.
RopeConfig ReadRope(ConfigFields& config) {
  constexpr double kMinTheta = 1.0, kMaxTheta = 1e12, kTheta = 10'000.0;
  const double outer_theta = config.FloatOr({"rope_theta"}, kTheta, kMinTheta, kMaxTheta);
  const std::string field = config.Find({"rope_parameters"}) != nullptr ? "rope_parameters" : "rope_scaling";
  const Json* scaling = config.Find({field});
  config.Ignore({"rope_scaling"});
  RopeConfig rope;
  rope.theta = static_cast<float>(outer_theta);
  if (scaling == nullptr) return rope;
  if (!scaling->is_object()) {
    config.Fail(field, absl::StrCat(Shown(*scaling), " is no object"));
    return rope;
  }
  ConfigFields fields(*scaling, "");
  rope = ReadScaling(fields);
  rope.theta = static_cast<float>(fields.FloatOr({"rope_theta"}, outer_theta, kMinTheta, kMaxTheta));
  if (const absl::Status status = fields.status(); !status.ok()) {
    const std::string inner(status.message().substr(2));  // behind the empty place's ": "
    const size_t colon = inner.find(": ");
    const std::string name = absl::StrCat(field, ".", inner.substr(0, colon)), what = inner.substr(colon + 2);
    absl::IsUnimplemented(status) ? config.Unsupported(name, what) : config.Fail(name, what);
  }
  return rope;
}

// ---- nemotron_h ----

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

// The list wins over the string.
std::vector<LayerKind> ReadLayers(ConfigFields& fields) {
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

void ReadTimeStepLimit(ConfigFields& fields, NemotronHConfig::Mamba* mamba) {
  const Json* value = fields.Find({"time_step_limit", "mamba_dt_limit"});
  if (value == nullptr) return;
  const bool pair = value->is_array() && value->size() == 2;
  const std::optional<double> min = pair ? NumberIn((*value)[0]) : std::nullopt;
  const std::optional<double> max = pair ? NumberIn((*value)[1]) : std::nullopt;
  if (!min.has_value() || !max.has_value() || !std::isfinite(*min) || *min < 0 || *max <= *min) {
    return fields.Fail("time_step_limit",
                       absl::StrCat(WriteJson(*value).substr(0, 64), " is no [min, max] with 0 <= min < max"));
  }
  mamba->time_step_min = static_cast<float>(*min);
  mamba->time_step_max = static_cast<float>(*max);  // above f32's range: infinity, no limit
}

NemotronHConfig::Mamba ReadMamba(ConfigFields& fields, bool needed) {
  NemotronHConfig::Mamba m;
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

void CheckRouting(ConfigFields& fields, const NemotronHConfig::Moe& moe) {
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

NemotronHConfig::Moe ReadMoe(ConfigFields& fields, bool needed) {
  NemotronHConfig::Moe moe;
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

std::string ConfigPath(const Checkpoint& checkpoint) { return absl::StrCat(checkpoint.path(), "/config.json"); }

// The factor by which llama3 scaling changes a frequency: long wavelengths are stretched, short ones are kept.
double Llama3Scale(const RopeConfig& rope, double frequency) {
  const double turns = rope.original_max_position * frequency / (2.0 * std::numbers::pi);  // in the original length
  if (turns < rope.low_freq_factor) return 1.0 / rope.factor;
  if (turns > rope.high_freq_factor) return 1.0;
  const double smooth = (turns - rope.low_freq_factor) / (double{rope.high_freq_factor} - rope.low_freq_factor);
  return (1.0 - smooth) / rope.factor + smooth;
}

double Scale(const RopeConfig& rope, double frequency) {
  switch (rope.kind) {
    case RopeKind::kNone:
      return 0.0;
    case RopeKind::kDefault:
      return 1.0;
    case RopeKind::kLinear:
      return 1.0 / rope.factor;
    case RopeKind::kLlama3:
      return Llama3Scale(rope, frequency);
  }
  return 1.0;
}

}  // namespace

std::vector<float> InverseFrequencies(const RopeConfig& rope, int rotary_dim) {
  CHECK(rotary_dim > 0 && rotary_dim % 2 == 0) << rotary_dim;
  CHECK(rope.frequency_divisors.empty() || static_cast<int>(rope.frequency_divisors.size()) == rotary_dim / 2);
  std::vector<float> frequencies(rotary_dim / 2);
  for (int i = 0; i < rotary_dim / 2; ++i) {
    double frequency = std::pow(static_cast<double>(rope.theta), -2.0 * i / rotary_dim);
    frequency *= Scale(rope, frequency);
    if (!rope.frequency_divisors.empty()) frequency /= rope.frequency_divisors[i];
    frequencies[i] = static_cast<float>(frequency);
  }
  return frequencies;
}

absl::StatusOr<LlamaConfig> ParseLlamaConfig(const Json& config, const Json& generation, const std::string& path) {
  ConfigFields fields(config, path);
  ConfigFields generated(generation, GenerationPath(path));
  LlamaConfig c;
  c.vocab_size = Size(fields, {"vocab_size"});
  c.hidden_size = Size(fields, {"hidden_size"});
  c.intermediate_size = Size(fields, {"intermediate_size"});
  c.num_layers = static_cast<int>(fields.Int({"num_hidden_layers"}, 1, kMaxLayers));
  c.num_heads = Size(fields, {"num_attention_heads"});
  c.num_kv_heads = static_cast<int>(fields.IntOr({"num_key_value_heads"}, c.num_heads, 1, kMaxSize));
  CheckDivides(fields, "num_key_value_heads", c.num_kv_heads, "num_attention_heads", c.num_heads);
  const bool explicit_dim = fields.Find({"head_dim"}) != nullptr;
  if (!explicit_dim) CheckDivides(fields, "num_attention_heads", c.num_heads, "hidden_size", c.hidden_size);
  c.head_dim = static_cast<int>(fields.IntOr({"head_dim"}, c.hidden_size / c.num_heads, 2, kMaxSize));
  if (c.head_dim % 2 != 0) fields.Fail("head_dim", absl::StrCat(c.head_dim, " is odd, and its halves rotate together"));
  Product(fields, "num_attention_heads x head_dim", c.num_heads, c.head_dim);
  c.max_position_embeddings = static_cast<int>(fields.IntOr({"max_position_embeddings"}, 2048, 1, kMaxSize));
  c.rms_norm_eps = static_cast<float>(fields.FloatOr({"rms_norm_eps"}, 1e-6, 0.0, kMaxEps));
  c.tie_word_embeddings = fields.BoolOr({"tie_word_embeddings"}, false);
  c.attention_bias = fields.BoolOr({"attention_bias"}, false);
  c.mlp_bias = fields.BoolOr({"mlp_bias"}, false);
  c.rope = ReadRope(fields);
  if (fields.TextOr({"hidden_act"}, "silu") != "silu") fields.Unsupported("hidden_act", "want silu");
  if (fields.FloatOr({"partial_rotary_factor"}, 1.0, 0.0, 1.0) != 1.0)
    fields.Unsupported("partial_rotary_factor", "want 1");
  RefuseUnsupported(fields);
  c.eos_token_ids = EosTokenIds(fields, generated, c.vocab_size);
  c.bos_token_id = BosTokenId(fields, c.vocab_size);
  IgnoreCommon(fields);
  RETURN_IF_ERROR(fields.status());
  RETURN_IF_ERROR(generated.status());
  c.unknown_fields = fields.Unknown();
  return c;
}

absl::StatusOr<NemotronHConfig> ParseNemotronHConfig(const Json& config, const Json& generation,
                                                     const std::string& path) {
  ConfigFields fields(config, path);
  ConfigFields generated(generation, GenerationPath(path));
  NemotronHConfig c;
  c.vocab_size = Size(fields, {"vocab_size"});
  c.hidden_size = Size(fields, {"hidden_size"});
  c.max_position_embeddings = static_cast<int>(fields.IntOr({"max_position_embeddings"}, 4096, 1, kMaxSize));
  c.tie_word_embeddings = fields.BoolOr({"tie_word_embeddings"}, false);
  c.norm_eps =
      static_cast<float>(fields.FloatOr({"layer_norm_epsilon", "norm_eps", "rms_norm_eps"}, 1e-5, 0.0, kMaxEps));
  c.layers = ReadLayers(fields);
  c.num_nextn_predict_layers = static_cast<int>(fields.IntOr({"num_nextn_predict_layers"}, 0, 0, 16));
  c.mtp_layers = ReadMtpLayers(fields, c.num_nextn_predict_layers);
  if (std::count(c.mtp_layers.begin(), c.mtp_layers.end(), LayerKind::kMlp) > 0) {
    fields.Unsupported("mtp_layers_block_type", "a dense block in the draft head is not supported");
  }
  c.attention = ReadAttention(fields, HasKind(c, LayerKind::kAttention));
  c.mlp = ReadMlp(fields, static_cast<size_t>(std::count(c.layers.begin(), c.layers.end(), LayerKind::kMlp)));
  c.mamba = ReadMamba(fields, HasKind(c, LayerKind::kMamba));
  c.moe = ReadMoe(fields, HasKind(c, LayerKind::kMoe));
  if (fields.TextOr({"mlp_hidden_act"}, "relu2") != "relu2") fields.Unsupported("mlp_hidden_act", "want relu2");
  RefuseUnsupported(fields);
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

absl::StatusOr<LlamaConfig> ReadLlamaConfig(const Checkpoint& checkpoint) {
  if (checkpoint.gguf() != nullptr) return ReadGgufLlama(*checkpoint.gguf());
  RETURN_IF_ERROR(ReadQuantization(checkpoint).status());
  return ParseLlamaConfig(checkpoint.config(), checkpoint.generation_config(), ConfigPath(checkpoint));
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
