// The configurations of Bamba, Falcon-H1 and Granite (dense, of experts, hybrid), which spell most fields alike.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "models/config_parts.h"
#include "models/weights/quantization.h"

namespace braid {
namespace {

using namespace config;

constexpr double kMinFactor = 1e-6, kMaxFactor = 1e6;

bool IsFalcon(const HybridConfig& c) { return c.model_type == "falcon_h1"; }
bool IsBamba(const HybridConfig& c) { return c.model_type == "bamba"; }
bool IsGraniteHybrid(const HybridConfig& c) { return c.model_type == "granitemoehybrid"; }

float Factor(ConfigFields& fields, std::string_view field) {
  return static_cast<float>(fields.FloatOr({field}, 1.0, kMinFactor, kMaxFactor));
}

// The list of `N` factors in `field`; ones when it is missing.
template <size_t N>
std::array<float, N> Factors(ConfigFields& fields, std::string_view field) {
  std::array<float, N> factors;
  factors.fill(1.0f);
  const Json* list = fields.Find({field});
  if (list == nullptr) return factors;
  if (!list->is_array() || list->size() != N) {
    fields.Fail(field, absl::StrCat("is no list of ", N, " numbers"));
    return factors;
  }
  for (size_t i = 0; i < N; ++i) {
    const std::optional<double> value = NumberIn((*list)[i]);
    if (!value.has_value() || !(*value >= kMinFactor && *value <= kMaxFactor)) {
      fields.Fail(field, absl::StrCat(Shown((*list)[i]), " is no number in ", kMinFactor, "..", kMaxFactor));
    } else {
      factors[i] = static_cast<float>(*value);
    }
  }
  return factors;
}

LayerKind KindNamed(ConfigFields& fields, const Json& word) {
  const std::string_view name = word.is_string() ? word.get_ref<const std::string&>() : std::string_view();
  if (name == "mamba" || name == "linear_attention") return LayerKind::kMamba;
  if (name != "attention" && name != "full_attention") {
    fields.Fail("layer_types", absl::StrCat(Shown(word), " is neither mamba nor attention"));
  }
  return LayerKind::kAttention;
}

void ReadAttentionIndices(ConfigFields& fields, HybridConfig* c) {
  const Json* indices = fields.Find({"attn_layer_indices"});
  if (indices == nullptr) return;
  if (!indices->is_array()) return fields.Fail("attn_layer_indices", absl::StrCat(Shown(*indices), " is no list"));
  for (const Json& index : *indices) {
    if (!index.is_number_integer() || index < 0 || index >= static_cast<int64_t>(c->layers.size())) {
      return fields.Fail("attn_layer_indices", absl::StrCat(Shown(index), " is no layer in 0..", c->layers.size() - 1));
    }
    c->layers[index.get<size_t>()] = LayerKind::kAttention;
  }
}

// One a layer: Bamba names those of attention, Granite's hybrids all; the other Granites have attention alone.
void ReadLayers(ConfigFields& fields, HybridConfig* c) {
  const auto layers = static_cast<size_t>(fields.Int({"num_hidden_layers"}, 1, kMaxLayers));
  c->side_by_side = IsFalcon(*c);
  const bool mamba = IsFalcon(*c) || IsBamba(*c) || IsGraniteHybrid(*c);
  c->layers.assign(layers, mamba ? LayerKind::kMamba : LayerKind::kAttention);
  if (IsBamba(*c)) return ReadAttentionIndices(fields, c);
  if (IsFalcon(*c)) return fields.Ignore({"attn_layer_indices", "layers_block_type", "layer_types"});
  const Json* types = fields.Find({"layer_types", "layers_block_type"});
  if (types == nullptr) return;
  if (!types->is_array() || types->size() != layers) {
    return fields.Fail("layer_types", absl::StrCat("is no list of ", layers, " layers"));
  }
  for (size_t i = 0; i < layers; ++i) c->layers[i] = KindNamed(fields, (*types)[i]);
  if (!IsGraniteHybrid(*c) && std::count(c->layers.begin(), c->layers.end(), LayerKind::kMamba) > 0) {
    fields.Fail("layer_types", "names mamba in a model of attention alone");
  }
}

void ReadHeads(ConfigFields& fields, HybridConfig* c) {
  c->num_heads = Size(fields, {"num_attention_heads"});
  c->num_kv_heads = static_cast<int>(fields.IntOr({"num_key_value_heads"}, c->num_heads, 1, kMaxSize));
  CheckDivides(fields, "num_key_value_heads", c->num_kv_heads, "num_attention_heads", c->num_heads);
  const bool given = fields.Find({"head_dim"}) != nullptr;
  if (!given) CheckDivides(fields, "num_attention_heads", c->num_heads, "hidden_size", c->hidden_size);
  c->head_dim = static_cast<int>(fields.IntOr({"head_dim"}, std::max(2, c->hidden_size / c->num_heads), 2, kMaxSize));
  if (c->head_dim % 2 != 0) fields.Fail("head_dim", absl::StrCat(c->head_dim, " is odd, and its halves rotate together"));
  Product(fields, "num_attention_heads x head_dim", c->num_heads, c->head_dim);
  c->attention_bias = fields.BoolOr({"attention_bias"}, false);
}

// Granite's hybrids rotate only where position_embedding_type says so; Bamba half of each head.
void ReadPositions(ConfigFields& fields, HybridConfig* c) {
  c->rope = ReadRope(fields);
  if (IsBamba(*c)) {
    c->rope.partial = 0.5f;
    const int64_t rotary = fields.IntOr({"attn_rotary_emb"}, c->head_dim / 2, 1, kMaxSize);
    if (rotary != c->head_dim / 2) {
      fields.Unsupported("attn_rotary_emb", absl::StrCat(rotary, ", want half of head_dim ", c->head_dim));
    }
  } else if (IsGraniteHybrid(*c)) {
    const std::string type = fields.TextOr({"position_embedding_type"}, "nope");
    if (type != "rope" && type != "nope") fields.Unsupported("position_embedding_type", "want rope, nope or null");
    if (type != "rope") c->rope = {.kind = RopeKind::kNone};
  }
  if (static_cast<int>(c->rope.partial * static_cast<float>(c->head_dim)) % 2 != 0) {
    fields.Fail("partial_rotary_factor", "leaves an odd number to rotate");
  }
}

int InnerSize(ConfigFields& fields, const HybridConfig& c) {
  const std::optional<int64_t> inner = fields.OptionalInt({"mamba_d_ssm"}, 1, kMaxSize);
  const int64_t expand = fields.IntOr({"mamba_expand"}, 2, 1, 1024);
  return inner.has_value() ? static_cast<int>(*inner) : Product(fields, "mamba_expand x hidden_size", expand, c.hidden_size);
}

void ReadMamba(ConfigFields& fields, HybridConfig* c) {
  MambaConfig& m = c->mamba;
  const int inner = InnerSize(fields, *c);
  m.num_heads = Size(fields, {"mamba_n_heads"});
  const Json* head_dim = fields.Find({"mamba_d_head"});
  const bool automatic = head_dim == nullptr || (head_dim->is_string() && *head_dim == "auto");
  m.head_dim = automatic ? std::max(1, inner / m.num_heads) : Size(fields, {"mamba_d_head"});
  m.state_size = Size(fields, {"mamba_d_state"});
  m.num_groups = static_cast<int>(fields.IntOr({"mamba_n_groups"}, 1, 1, kMaxSize));
  m.conv_kernel = static_cast<int>(fields.IntOr({"mamba_d_conv"}, 4, 2, 256));
  m.use_conv_bias = fields.BoolOr({"mamba_conv_bias"}, true);
  m.use_bias = fields.BoolOr({"mamba_proj_bias"}, false);
  ReadTimeStepLimit(fields, &m);
  CheckDivides(fields, "mamba_n_groups", m.num_groups, "mamba_n_heads", m.num_heads);
  if (Product(fields, "mamba_n_heads x mamba_d_head", m.num_heads, m.head_dim) != inner) {
    fields.Fail("mamba_d_head", absl::StrCat(m.head_dim, " x mamba_n_heads ", m.num_heads, " is not the inner size ", inner));
  }
  Product(fields, "mamba state of a sequence", inner, m.state_size);
  const int shared = Product(fields, "mamba_n_groups x mamba_d_state", m.num_groups, m.state_size);
  Product(fields, "mamba in_proj", 2 * (int64_t{inner} + shared) + m.num_heads, 1);
}

void ReadGraniteFactors(ConfigFields& fields, HybridConfig* c) {
  c->embedding_factor = Factor(fields, "embedding_multiplier");
  c->residual_factor = Factor(fields, "residual_multiplier");
  c->score_scale = Factor(fields, "attention_multiplier");
  c->logits_factor = 1.0f / Factor(fields, "logits_scaling");
}

void ReadFalconFactors(ConfigFields& fields, HybridConfig* c) {
  c->embedding_factor = Factor(fields, "embedding_multiplier");
  c->logits_factor = Factor(fields, "lm_head_multiplier");
  const float in = Factor(fields, "attention_in_multiplier");
  c->query_factor = in;
  c->key_factor = in * Factor(fields, "key_multiplier");
  c->value_factor = in * Factor(fields, "attention_out_multiplier");
  const auto [gate, down] = Factors<2>(fields, "mlp_multipliers");
  c->gate_factor = gate;
  c->mlp_factor = down;
  c->mamba.in_factors = Factors<5>(fields, "ssm_multipliers");
  const float ssm_in = Factor(fields, "ssm_in_multiplier");
  for (float& factor : c->mamba.in_factors) factor *= ssm_in;
  c->mamba.out_factor = Factor(fields, "ssm_out_multiplier");
  const bool norm = fields.BoolOr({"mamba_rms_norm"}, false), before = fields.BoolOr({"mamba_norm_before_gate"}, true);
  c->mamba.gate_place = !norm ? GatePlace::kWithoutNorm : before ? GatePlace::kBehindNorm : GatePlace::kBeforeNorm;
  for (const char* field : {"attention_bias", "projectors_bias", "mamba_proj_bias"}) {
    if (fields.BoolOr({field}, false)) fields.Unsupported(field, "want false");
  }
}

// Granite: intermediate_size is an expert's width where there are experts, shared_intermediate_size that of the MLP
// beside them.
void ReadGraniteWidths(ConfigFields& fields, HybridConfig* c) {
  if (c->model_type == "granite") return;
  const int width = c->intermediate_size;
  c->intermediate_size = static_cast<int>(fields.IntOr({"shared_intermediate_size"}, IsGraniteHybrid(*c) ? 1024 : 0, 0, kMaxSize));
  c->moe = {.num_experts = static_cast<int>(fields.IntOr({"num_local_experts"}, 8, IsGraniteHybrid(*c) ? 0 : 1, kMaxExperts)),
            .intermediate_size = width,
            .latent_size = {},
            .scoring = RouteScoring::kSoftmax};
  c->moe.top_k = static_cast<int>(fields.IntOr({"num_experts_per_tok"}, 2, 0, kMaxExperts));
  if (c->moe.num_experts > 0 && (c->moe.top_k < 1 || c->moe.top_k > c->moe.num_experts)) {
    fields.Fail("num_experts_per_tok", absl::StrCat(c->moe.top_k, " of ", c->moe.num_experts, " experts"));
  }
  if (c->moe.num_experts == 0 && c->intermediate_size == 0) {
    fields.Fail("shared_intermediate_size", "0, and there are no experts either");
  }
}

void ReadKind(ConfigFields& fields, HybridConfig* c) {
  const bool granite = !IsFalcon(*c) && !IsBamba(*c);
  if (granite) ReadGraniteWidths(fields, c);
  if (granite) ReadGraniteFactors(fields, c);
  if (IsFalcon(*c)) ReadFalconFactors(fields, c);
  if (std::count(c->layers.begin(), c->layers.end(), LayerKind::kMamba) > 0) ReadMamba(fields, c);
}

// For initialisation and training, or of Mamba where there is none.
void Ignore(ConfigFields& fields) {
  IgnoreCommon(fields);
  fields.Ignore({"attn_rotary_emb", "bos_token_id", "init_method", "logits_to_keep", "mamba_chunk_size", "mamba_conv_bias",
                 "mamba_d_conv", "mamba_d_head", "mamba_d_state", "mamba_expand", "mamba_n_groups", "mamba_n_heads",
                 "mamba_proj_bias", "mamba_use_mlp", "mlp_expansion_factor", "normalization_function",
                 "num_logits_to_keep", "output_router_logits", "position_embedding_type", "router_aux_loss_coef",
                 "rope_theta", "z_loss_coefficient"});
}

}  // namespace

absl::StatusOr<HybridConfig> ParseHybridConfig(const Json& config, const Json& generation, const std::string& path) {
  ConfigFields fields(config, path);
  ConfigFields generated(generation, GenerationPath(path));
  HybridConfig c;
  c.model_type = fields.TextOr({"model_type"}, "granite");
  c.vocab_size = Size(fields, {"vocab_size"});
  c.hidden_size = Size(fields, {"hidden_size"});
  c.intermediate_size = Size(fields, {"intermediate_size"});
  c.max_position_embeddings = static_cast<int>(fields.IntOr({"max_position_embeddings"}, 2048, 1, kMaxSize));
  c.norm_eps = static_cast<float>(fields.FloatOr({"rms_norm_eps"}, 1e-5, 0.0, kMaxEps));
  c.tie_word_embeddings = fields.BoolOr({"tie_word_embeddings"}, false);
  ReadLayers(fields, &c);
  ReadHeads(fields, &c);
  ReadPositions(fields, &c);
  ReadKind(fields, &c);
  if (fields.TextOr({"hidden_act"}, "silu") != "silu") fields.Unsupported("hidden_act", "want silu");
  if (fields.BoolOr({"mlp_bias"}, false)) fields.Unsupported("mlp_bias", "want false");
  RefuseUnsupported(fields);
  RefuseBlocks(fields);
  RefuseWindow(fields);
  c.eos_token_ids = EosTokenIds(fields, generated, c.vocab_size);
  Ignore(fields);
  RETURN_IF_ERROR(fields.status());
  RETURN_IF_ERROR(generated.status());
  c.unknown_fields = fields.Unknown();
  return c;
}

absl::StatusOr<HybridConfig> ReadHybridConfig(const Checkpoint& checkpoint) {
  if (checkpoint.gguf() != nullptr) {
    return absl::UnimplementedError(absl::StrCat(checkpoint.path(), ": general.architecture: not supported in GGUF"));
  }
  RETURN_IF_ERROR(ReadQuantization(checkpoint).status());
  return ParseHybridConfig(checkpoint.config(), checkpoint.generation_config(), ConfigPath(checkpoint));
}

}  // namespace braid
