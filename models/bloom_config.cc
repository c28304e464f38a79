// The configuration of BLOOM.
#include "absl/strings/str_cat.h"
#include "models/config_parts.h"
#include "models/weights/quantization.h"

namespace braid {

using namespace config;

absl::StatusOr<BloomConfig> ParseBloomConfig(const Json& config, const Json& generation, const std::string& path) {
  ConfigFields fields(config, path);
  ConfigFields generated(generation, GenerationPath(path));
  BloomConfig c;
  c.vocab_size = Size(fields, {"vocab_size"});
  c.hidden_size = Size(fields, {"hidden_size", "n_embed"});
  Product(fields, "4 x hidden_size", 4, c.hidden_size);
  c.num_layers = static_cast<int>(fields.Int({"n_layer", "num_hidden_layers"}, 1, kMaxLayers));
  c.num_heads = Size(fields, {"n_head", "num_attention_heads"});
  CheckDivides(fields, "n_head", c.num_heads, "hidden_size", c.hidden_size);
  c.max_position_embeddings = static_cast<int>(fields.IntOr({"seq_length"}, 2048, 1, kMaxSize));
  c.norm_eps = static_cast<float>(fields.FloatOr({"layer_norm_epsilon"}, 1e-5, 0.0, kMaxEps));
  c.tie_word_embeddings = fields.BoolOr({"tie_word_embeddings"}, true);
  if (fields.BoolOr({"apply_residual_connection_post_layernorm"}, false)) {
    fields.Unsupported("apply_residual_connection_post_layernorm", "want false");
  }
  RefuseUnsupported(fields);
  RefuseBlocks(fields);
  RefuseWindow(fields);
  c.eos_token_ids = EosTokenIds(fields, generated, c.vocab_size);
  IgnoreCommon(fields);
  // Of training, and of how others compute the same.
  fields.Ignore({"attention_softmax_in_fp32", "bias_dropout_fusion", "bos_token_id", "masked_softmax_fusion", "n_inner",
                 "offset_alibi", "seq_length", "skip_bias_add", "skip_bias_add_qkv", "slow_but_exact",
                 "unk_token_id"});
  RETURN_IF_ERROR(fields.status());
  RETURN_IF_ERROR(generated.status());
  c.unknown_fields = fields.Unknown();
  return c;
}

absl::StatusOr<BloomConfig> ReadBloomConfig(const Checkpoint& checkpoint) {
  if (checkpoint.gguf() != nullptr) {
    return absl::UnimplementedError(
        absl::StrCat(checkpoint.path(), ": general.architecture: bloom in GGUF is not supported"));
  }
  RETURN_IF_ERROR(ReadQuantization(checkpoint).status());
  return ParseBloomConfig(checkpoint.config(), checkpoint.generation_config(), ConfigPath(checkpoint));
}

}  // namespace braid
