// The configuration of Llama and of those that differ from it by an option each: GPT-OSS, Mistral, Mixtral,
// Nemotron, Qwen 2 and 3.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "models/config_parts.h"
#include "models/gguf_llama_config.h"
#include "models/weights/checked_size.h"
#include "models/weights/quantization.h"

namespace braid {
namespace {

using namespace config;

bool IsQwen(const LlamaConfig& c) { return c.model_type.starts_with("qwen"); }
bool IsGptOss(const LlamaConfig& c) { return c.model_type == "gpt_oss"; }
// Models of experts alone, whose width is intermediate_size.
bool HasOnlyExperts(const LlamaConfig& c) { return c.model_type == "mixtral" || IsGptOss(c); }

// Which layers of `c` have the window: those that layer_types names, or else those from max_window_layers on; GPT-OSS's
// every other.
std::vector<bool> WindowedLayers(ConfigFields& fields, const LlamaConfig& c) {
  const bool by_layer = c.model_type == "qwen2" || c.model_type == "qwen3" || IsGptOss(c);
  const int64_t first = fields.IntOr({"max_window_layers"}, by_layer ? 28 : 0, 0, kMaxLayers);
  std::vector<bool> windowed(c.num_layers, !by_layer);
  const Json* types = fields.Find({"layer_types"});
  if (!by_layer) return windowed;
  if (types == nullptr) {
    for (int i = 0; i < c.num_layers; ++i) windowed[i] = IsGptOss(c) ? i % 2 == 0 : i >= first;
    return windowed;
  }
  if (!types->is_array() || types->size() != windowed.size()) {
    fields.Fail("layer_types", absl::StrCat("is no list of ", c.num_layers, " layers"));
    return windowed;
  }
  for (size_t i = 0; i < windowed.size(); ++i) {
    const Json& type = (*types)[i];
    const std::string_view name = type.is_string() ? type.get_ref<const std::string&>() : std::string_view();
    windowed[i] = name == "sliding_attention";
    if (!windowed[i] && name != "full_attention") {
      fields.Fail("layer_types", absl::StrCat(Shown(type), " is neither sliding_attention nor full_attention"));
    }
  }
  return windowed;
}

// One a layer; Qwen's configurations name a window that they then switch off.
std::vector<int> ReadWindows(ConfigFields& fields, const LlamaConfig& c) {
  std::vector<int> windows(c.num_layers, 0);
  if (c.model_type == "llama" || c.model_type == "nemotron") {
    RefuseWindow(fields);
    return windows;
  }
  const bool used = fields.BoolOr({"use_sliding_window"}, !IsQwen(c));
  const int window = static_cast<int>(fields.IntOr({"sliding_window"}, IsGptOss(c) ? 128 : 0, 1, kMaxSize));
  const std::vector<bool> windowed = WindowedLayers(fields, c);
  for (int i = 0; i < c.num_layers; ++i) windows[i] = used && windowed[i] ? window : 0;
  return windows;
}

// One a layer: all of Mixtral's and GPT-OSS's; of Qwen's every decoder_sparse_step-th that mlp_only_layers does not name.
std::vector<bool> ReadMoeLayers(ConfigFields& fields, const LlamaConfig& c) {
  std::vector<bool> is_moe(c.num_layers, HasOnlyExperts(c));
  if (c.model_type != "qwen3_moe") return is_moe;
  const int64_t step = fields.IntOr({"decoder_sparse_step"}, 1, 1, kMaxLayers);
  for (int i = 0; i < c.num_layers; ++i) is_moe[i] = (i + 1) % step == 0;
  const Json* dense = fields.Find({"mlp_only_layers"});
  if (dense == nullptr) return is_moe;
  if (!dense->is_array()) fields.Fail("mlp_only_layers", absl::StrCat(Shown(*dense), " is no list of layers"));
  for (const Json& layer : *dense) {
    if (layer.is_number_integer() && layer >= 0 && layer < c.num_layers) {
      is_moe[layer.get<int>()] = false;
    } else {
      fields.Fail("mlp_only_layers", absl::StrCat(Shown(layer), " is no layer in 0..", c.num_layers - 1));
    }
  }
  return is_moe;
}

MoeConfig ReadMoe(ConfigFields& fields, const LlamaConfig& c) {
  MoeConfig moe{.scoring = RouteScoring::kSoftmax};
  moe.num_experts = static_cast<int>(fields.Int({"num_experts", "num_local_experts"}, 1, kMaxExperts));
  moe.top_k = static_cast<int>(fields.Int({"num_experts_per_tok"}, 1, moe.num_experts));
  moe.intermediate_size = HasOnlyExperts(c) ? c.intermediate_size : Size(fields, {"moe_intermediate_size"});
  moe.norm_top_k_prob = HasOnlyExperts(c) || fields.BoolOr({"norm_topk_prob"}, false);
  return moe;
}

void ReadHeads(ConfigFields& fields, LlamaConfig* c) {
  c->num_heads = Size(fields, {"num_attention_heads"});
  c->num_kv_heads = static_cast<int>(fields.IntOr({"num_key_value_heads"}, c->num_heads, 1, kMaxSize));
  CheckDivides(fields, "num_key_value_heads", c->num_kv_heads, "num_attention_heads", c->num_heads);
  const bool explicit_dim = fields.Find({"head_dim"}) != nullptr;
  if (!explicit_dim) CheckDivides(fields, "num_attention_heads", c->num_heads, "hidden_size", c->hidden_size);
  c->head_dim = static_cast<int>(fields.IntOr({"head_dim"}, c->hidden_size / c->num_heads, 2, kMaxSize));
  if (c->head_dim % 2 != 0) {
    fields.Fail("head_dim", absl::StrCat(c->head_dim, " is odd, and its halves rotate together"));
  }
  Product(fields, "num_attention_heads x head_dim", c->num_heads, c->head_dim);
  const bool bias = fields.BoolOr({"attention_bias"}, IsGptOss(*c));
  c->attention_bias = bias || c->model_type == "qwen2";
  c->output_bias = bias && c->model_type != "qwen2";
  c->qk_norm = c->model_type.starts_with("qwen3");
}

}  // namespace

absl::StatusOr<LlamaConfig> ParseLlamaConfig(const Json& config, const Json& generation, const std::string& path) {
  ConfigFields fields(config, path);
  ConfigFields generated(generation, GenerationPath(path));
  LlamaConfig c{.model_type = fields.TextOr({"model_type"}, "llama")};
  const bool nemotron = c.model_type == "nemotron";
  c.vocab_size = Size(fields, {"vocab_size"});
  c.hidden_size = Size(fields, {"hidden_size"});
  c.num_layers = static_cast<int>(fields.Int({"num_hidden_layers"}, 1, kMaxLayers));
  ReadHeads(fields, &c);
  c.windows = ReadWindows(fields, c);
  c.is_moe = ReadMoeLayers(fields, c);
  const bool all_moe = std::count(c.is_moe.begin(), c.is_moe.end(), false) == 0;
  c.intermediate_size = SizeIf(!all_moe || HasOnlyExperts(c), fields, {"intermediate_size"});
  if (std::count(c.is_moe.begin(), c.is_moe.end(), true) > 0) c.moe = ReadMoe(fields, c);
  c.max_position_embeddings = static_cast<int>(fields.IntOr({"max_position_embeddings"}, 2048, 1, kMaxSize));
  c.rms_norm_eps = static_cast<float>(fields.FloatOr({"rms_norm_eps", "norm_eps", "layer_norm_epsilon"}, nemotron ? 1e-5 : 1e-6, 0.0, kMaxEps));
  c.tie_word_embeddings = fields.BoolOr({"tie_word_embeddings"}, false);
  c.mlp_bias = fields.BoolOr({"mlp_bias"}, false);
  c.rope = ReadRope(fields);
  const char* const activation = nemotron ? "relu2" : "silu";
  if (fields.TextOr({"hidden_act"}, activation) != activation) {
    fields.Unsupported("hidden_act", absl::StrCat("want ", activation));
  }
  if (nemotron && static_cast<int>(c.rope.partial * static_cast<float>(c.head_dim)) % 2 != 0) {
    fields.Fail("partial_rotary_factor", "leaves an odd number to rotate");
  }
  if (!nemotron && c.rope.partial != 1.0f) fields.Unsupported("partial_rotary_factor", "want 1");
  RefuseUnsupported(fields);
  RefuseBlocks(fields);
  c.eos_token_ids = EosTokenIds(fields, generated, c.vocab_size);
  c.bos_token_id = BosTokenId(fields, c.vocab_size);
  IgnoreCommon(fields);
  if (IsGptOss(c) && fields.FloatOr({"swiglu_limit"}, 7.0, 0.0, 1e6) != 7.0) {
    fields.Unsupported("swiglu_limit", "want 7");
  }
  fields.Ignore({"experts_per_token", "initial_context_length", "output_router_logits", "router_aux_loss_coef",
                 "router_jitter_noise"});
  RETURN_IF_ERROR(fields.status());
  RETURN_IF_ERROR(generated.status());
  c.unknown_fields = fields.Unknown();
  return c;
}

absl::StatusOr<LlamaConfig> ReadLlamaConfig(const Checkpoint& checkpoint) {
  if (checkpoint.gguf() != nullptr) return ReadGgufLlama(*checkpoint.gguf());
  RETURN_IF_ERROR(ReadQuantization(checkpoint).status());
  return ParseLlamaConfig(checkpoint.config(), checkpoint.generation_config(), ConfigPath(checkpoint));
}

}  // namespace braid
