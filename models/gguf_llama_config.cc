#include "models/gguf_llama_config.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "models/weights/checked_size.h"

namespace braid {
namespace {

// An integer key in [min, max].
absl::StatusOr<int> GgufInt(const GgufFile& gguf, const std::string& key, int64_t min, int64_t max) {
  ASSIGN_OR_RETURN(const uint32_t value, gguf.GetU32(key));
  if (value >= min && value <= max) return static_cast<int>(value);
  return absl::InvalidArgumentError(absl::StrCat(gguf.path(), ": ", key, ": ", value, " is not in ", min, "..", max));
}

absl::StatusOr<int> GgufIntOr(const GgufFile& gguf, const std::string& key, int missing, int64_t min, int64_t max) {
  return gguf.Has(key) ? GgufInt(gguf, key, min, max) : missing;
}

absl::StatusOr<float> GgufFloatOr(const GgufFile& gguf, const std::string& key, float missing, float min, float max) {
  if (!gguf.Has(key)) return missing;
  ASSIGN_OR_RETURN(const float value, gguf.GetF32(key));
  if (value >= min && value <= max) return value;
  return absl::InvalidArgumentError(absl::StrCat(gguf.path(), ": ", key, ": ", value, " is not in ", min, "..", max));
}

// A key of the file's architecture: "llama.context_length".
std::string Key(const GgufFile& gguf, const char* name) {
  const absl::StatusOr<std::string> architecture = gguf.GetString("general.architecture");
  return absl::StrCat(architecture.ok() ? *architecture : "llama", ".", name);
}

absl::Status GgufUnsupported(const GgufFile& gguf, const std::string& key, const std::string& what) {
  return absl::UnimplementedError(absl::StrCat(gguf.path(), ": ", key, ": ", what));
}

absl::StatusOr<int> GgufVocabSize(const GgufFile& gguf) {
  if (gguf.Has(Key(gguf, "vocab_size"))) return GgufInt(gguf, Key(gguf, "vocab_size"), 1, kMaxSize);
  ASSIGN_OR_RETURN(const GgufArray tokens, gguf.GetArray("tokenizer.ggml.tokens"));
  if (tokens.count >= 1 && tokens.count <= static_cast<uint64_t>(kMaxSize)) return static_cast<int>(tokens.count);
  return absl::InvalidArgumentError(
      absl::StrCat(gguf.path(), ": tokenizer.ggml.tokens: ", tokens.count, " is not in 1..", kMaxSize));
}

// rope_freqs.weight [head_dim / 2]: how llama3 scaling is written in GGUF files.
absl::StatusOr<std::vector<float>> FrequencyDivisors(const GgufFile& gguf, int head_dim) {
  const auto found = gguf.tensors().find("rope_freqs.weight");
  if (found == gguf.tensors().end()) return std::vector<float>();
  const StoredTensor& tensor = found->second;
  if (tensor.dtype != DType::kF32 || tensor.shape != Shape{head_dim / 2}) {
    return absl::InvalidArgumentError(absl::StrCat(gguf.path(), ": rope_freqs.weight: ", DTypeName(tensor.dtype), " ",
                                                   ShapeString(tensor.shape), ", want F32 [", head_dim / 2, "]"));
  }
  std::vector<float> divisors(tensor.bytes.size() / sizeof(float));
  std::memcpy(divisors.data(), tensor.bytes.data(), tensor.bytes.size());
  const bool ok = std::all_of(divisors.begin(), divisors.end(), [](float d) { return d >= 1e-6f && d <= 1e6f; });
  if (!ok)
    return absl::InvalidArgumentError(absl::StrCat(gguf.path(), ": rope_freqs.weight: a divisor not in 1e-6..1e6"));
  return divisors;
}

absl::StatusOr<RopeConfig> ReadGgufRope(const GgufFile& gguf, int head_dim) {
  RopeConfig rope{.adjacent_pairs = Key(gguf, "") == "llama."};  // the converter reorders rows in llama files only
  ASSIGN_OR_RETURN(rope.theta, GgufFloatOr(gguf, Key(gguf, "rope.freq_base"), 10'000.0f, 1.0f, 1e12f));
  ASSIGN_OR_RETURN(const int rotary_dim, GgufIntOr(gguf, Key(gguf, "rope.dimension_count"), head_dim, 1, kMaxSize));
  if (rotary_dim != head_dim) {
    return GgufUnsupported(gguf, Key(gguf, "rope.dimension_count"), absl::StrCat(rotary_dim, ", want head_dim ", head_dim));
  }
  ASSIGN_OR_RETURN(rope.frequency_divisors, FrequencyDivisors(gguf, head_dim));
  std::string type = gguf.Has(Key(gguf, "rope.scale_linear")) ? "linear" : "none";
  if (gguf.Has(Key(gguf, "rope.scaling.type"))) {
    ASSIGN_OR_RETURN(type, gguf.GetString(Key(gguf, "rope.scaling.type")));
  }
  if (type == "none") return rope;
  if (type != "linear")
    return GgufUnsupported(gguf, Key(gguf, "rope.scaling.type"), absl::StrCat(Quoted(type), ", want none or linear"));
  rope.kind = RopeKind::kLinear;
  const std::string old_key = Key(gguf, "rope.scale_linear");
  const std::string key = gguf.Has(old_key) ? old_key : Key(gguf, "rope.scaling.factor");
  ASSIGN_OR_RETURN(rope.factor, GgufFloatOr(gguf, key, 1.0f, 1e-3f, 1e6f));
  return rope;
}

// The ids that end a turn or a text, as far as the file names them.
absl::StatusOr<std::vector<int32_t>> GgufEosTokenIds(const GgufFile& gguf, int vocab_size) {
  std::set<int32_t> ids;
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    if (!gguf.Has(key)) continue;
    ASSIGN_OR_RETURN(const int id, GgufInt(gguf, key, 0, vocab_size - 1));
    ids.insert(id);
  }
  return std::vector<int32_t>(ids.begin(), ids.end());
}

// Keys of windows, and in a llama file of a mixture of experts: a file with them is another model.
absl::Status RefuseUnsupported(const GgufFile& gguf) {
  for (const char* name : {"expert_count", "attention.sliding_window"}) {
    const std::string key = Key(gguf, name);
    if (key == "qwen3moe.expert_count") continue;
    ASSIGN_OR_RETURN(const int value, GgufIntOr(gguf, key, 0, 0, std::numeric_limits<int32_t>::max()));
    if (value != 0) return GgufUnsupported(gguf, key, absl::StrCat(value, ", want 0"));
  }
  return absl::OkStatus();
}

std::vector<std::string> UnknownKeys(const GgufFile& gguf) {
  static constexpr std::string_view kKnown[] = {"vocab_size",
                                                "context_length",
                                                "embedding_length",
                                                "block_count",
                                                "feed_forward_length",
                                                "expert_count",
                                                "expert_used_count",
                                                "expert_feed_forward_length",
                                                "attention.head_count",
                                                "attention.head_count_kv",
                                                "attention.key_length",
                                                "attention.value_length",
                                                "attention.layer_norm_rms_epsilon",
                                                "attention.sliding_window",
                                                "rope.freq_base",
                                                "rope.dimension_count",
                                                "rope.scaling.type",
                                                "rope.scaling.factor",
                                                "rope.scale_linear"};
  std::vector<std::string> unknown;
  const std::string prefix = Key(gguf, "");
  for (const auto& [key, value] : gguf.metadata()) {
    if (!absl::StartsWith(key, prefix)) continue;
    const std::string_view name = std::string_view(key).substr(prefix.size());
    if (std::find(std::begin(kKnown), std::end(kKnown), name) == std::end(kKnown)) unknown.push_back(Printable(key));
  }
  return unknown;
}

absl::Status ReadGgufHeads(const GgufFile& gguf, LlamaConfig* c) {
  ASSIGN_OR_RETURN(c->num_heads, GgufInt(gguf, Key(gguf, "attention.head_count"), 1, kMaxSize));
  ASSIGN_OR_RETURN(c->num_kv_heads, GgufIntOr(gguf, Key(gguf, "attention.head_count_kv"), c->num_heads, 1, kMaxSize));
  const bool explicit_dim = gguf.Has(Key(gguf, "attention.key_length"));
  ASSIGN_OR_RETURN(c->head_dim,
                   GgufIntOr(gguf, Key(gguf, "attention.key_length"), c->hidden_size / c->num_heads, 1, kMaxSize));
  ASSIGN_OR_RETURN(const int value_dim, GgufIntOr(gguf, Key(gguf, "attention.value_length"), c->head_dim, 1, kMaxSize));
  if (value_dim != c->head_dim) return GgufUnsupported(gguf, Key(gguf, "attention.value_length"), "differs from key_length");
  const bool fits = explicit_dim || c->hidden_size % c->num_heads == 0;
  const bool small = int64_t{c->num_heads} * c->head_dim <= kMaxSize;
  if (fits && small && c->num_heads % c->num_kv_heads == 0 && c->head_dim >= 2 && c->head_dim % 2 == 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(gguf.path(), ": ", Key(gguf, "attention.head_count"), ": ", c->num_heads,
                                                 " heads, ", c->num_kv_heads, " for keys, of ", c->head_dim, " in ",
                                                 c->hidden_size, ": want whole groups of even heads"));
}

absl::StatusOr<MoeConfig> ReadGgufMoe(const GgufFile& gguf) {
  constexpr int kMaxExperts = 65'536;
  MoeConfig moe{.scoring = RouteScoring::kSoftmax};
  ASSIGN_OR_RETURN(moe.num_experts, GgufInt(gguf, Key(gguf, "expert_count"), 1, kMaxExperts));
  ASSIGN_OR_RETURN(moe.top_k, GgufInt(gguf, Key(gguf, "expert_used_count"), 1, moe.num_experts));
  ASSIGN_OR_RETURN(moe.intermediate_size, GgufInt(gguf, Key(gguf, "expert_feed_forward_length"), 1, kMaxSize));
  moe.norm_top_k_prob = true;
  return moe;
}

}  // namespace

absl::StatusOr<LlamaConfig> ReadGgufLlama(const GgufFile& gguf) {
  RETURN_IF_ERROR(RefuseUnsupported(gguf));
  ASSIGN_OR_RETURN(const std::string architecture, gguf.GetString("general.architecture"));
  LlamaConfig c{.model_type = architecture};
  ASSIGN_OR_RETURN(c.vocab_size, GgufVocabSize(gguf));
  ASSIGN_OR_RETURN(c.hidden_size, GgufInt(gguf, Key(gguf, "embedding_length"), 1, kMaxSize));
  const bool is_moe = architecture == "qwen3moe";
  ASSIGN_OR_RETURN(c.intermediate_size, GgufIntOr(gguf, Key(gguf, "feed_forward_length"), 0, is_moe ? 0 : 1, kMaxSize));
  if (c.intermediate_size == 0 && !is_moe) {
    return absl::InvalidArgumentError(absl::StrCat(gguf.path(), ": ", Key(gguf, "feed_forward_length"), ": is missing"));
  }
  ASSIGN_OR_RETURN(c.num_layers, GgufInt(gguf, Key(gguf, "block_count"), 1, kMaxLayers));
  ASSIGN_OR_RETURN(c.max_position_embeddings, GgufInt(gguf, Key(gguf, "context_length"), 1, kMaxSize));
  RETURN_IF_ERROR(ReadGgufHeads(gguf, &c));
  ASSIGN_OR_RETURN(c.rms_norm_eps, GgufFloatOr(gguf, Key(gguf, "attention.layer_norm_rms_epsilon"), 1e-5f, 0.0f, 1.0f));
  ASSIGN_OR_RETURN(c.rope, ReadGgufRope(gguf, c.head_dim));
  c.tie_word_embeddings = !gguf.tensors().contains("output.weight");
  c.attention_bias = gguf.tensors().contains("blk.0.attn_q.bias");
  c.output_bias = gguf.tensors().contains("blk.0.attn_output.bias");
  c.windows.assign(c.num_layers, 0);
  c.qk_norm = gguf.tensors().contains("blk.0.attn_q_norm.weight");
  for (int i = 0; i < c.num_layers; ++i) {
    c.is_moe.push_back(is_moe && gguf.tensors().contains(absl::StrCat("blk.", i, ".ffn_gate_inp.weight")));
  }
  if (is_moe) {
    ASSIGN_OR_RETURN(c.moe, ReadGgufMoe(gguf));
  }
  c.mlp_bias = gguf.tensors().contains("blk.0.ffn_up.bias");
  ASSIGN_OR_RETURN(c.eos_token_ids, GgufEosTokenIds(gguf, c.vocab_size));
  if (gguf.Has("tokenizer.ggml.bos_token_id")) {
    ASSIGN_OR_RETURN(c.bos_token_id, GgufInt(gguf, "tokenizer.ggml.bos_token_id", 0, c.vocab_size - 1));
  }
  c.unknown_fields = UnknownKeys(gguf);
  return c;
}

}  // namespace braid
