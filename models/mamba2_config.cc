// The configuration of Mamba-2 in transformers' spelling.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "models/config_parts.h"
#include "models/weights/quantization.h"

namespace braid {
namespace {

using namespace config;

MambaConfig ReadMixer(ConfigFields& fields, int hidden_size) {
  MambaConfig m{.num_heads = Size(fields, {"num_heads"}),
                .head_dim = Size(fields, {"head_dim"}),
                .state_size = Size(fields, {"state_size"}),
                .num_groups = Size(fields, {"n_groups"}),
                .conv_kernel = static_cast<int>(fields.IntOr({"conv_kernel"}, 4, 2, 256)),
                .use_conv_bias = fields.BoolOr({"use_conv_bias"}, true),
                .use_bias = fields.BoolOr({"use_bias"}, false)};
  ReadTimeStepLimit(fields, &m);
  CheckDivides(fields, "n_groups", m.num_groups, "num_heads", m.num_heads);
  const int inner = Product(fields, "num_heads x head_dim", m.num_heads, m.head_dim);
  Product(fields, "state of a sequence", inner, m.state_size);
  const int shared = Product(fields, "n_groups x state_size", m.num_groups, m.state_size);
  Product(fields, "in_proj", 2 * (int64_t{inner} + shared) + m.num_heads, 1);
  const double expand = fields.FloatOr({"expand"}, 2.0, 0.01, 1e3);
  if (std::floor(expand * hidden_size) != inner) {
    fields.Fail("expand", absl::StrCat(expand, " x hidden_size ", hidden_size, " is not num_heads x head_dim ", inner));
  }
  return m;
}

}  // namespace

absl::StatusOr<Mamba2Config> ParseMamba2Config(const Json& config, const Json& generation, const std::string& path) {
  constexpr int kContext = 131'072;  // there are no positions; something must bound a sequence
  ConfigFields fields(config, path);
  ConfigFields generated(generation, GenerationPath(path));
  Mamba2Config c;
  c.vocab_size = Size(fields, {"vocab_size"});
  c.hidden_size = Size(fields, {"hidden_size"});
  c.num_layers = static_cast<int>(fields.Int({"num_hidden_layers"}, 1, kMaxLayers));
  c.max_position_embeddings = static_cast<int>(fields.IntOr({"max_position_embeddings"}, kContext, 1, kMaxSize));
  c.norm_eps = static_cast<float>(fields.FloatOr({"layer_norm_epsilon"}, 1e-5, 0.0, kMaxEps));
  c.tie_word_embeddings = fields.BoolOr({"tie_word_embeddings"}, false);
  c.mamba = ReadMixer(fields, c.hidden_size);
  if (fields.TextOr({"hidden_act"}, "silu") != "silu") fields.Unsupported("hidden_act", "want silu");
  if (!fields.BoolOr({"rms_norm"}, true)) fields.Unsupported("rms_norm", "want true");
  RefuseUnsupported(fields);
  RefuseBlocks(fields);
  c.eos_token_ids = EosTokenIds(fields, generated, c.vocab_size);
  IgnoreCommon(fields);
  // For initialisation and training; the residual stream is f32 in any case.
  fields.Ignore({"bos_token_id", "chunk_size", "residual_in_fp32", "rescale_prenorm_residual", "time_step_floor",
                 "time_step_max", "time_step_min", "time_step_rank"});
  RETURN_IF_ERROR(fields.status());
  RETURN_IF_ERROR(generated.status());
  c.unknown_fields = fields.Unknown();
  return c;
}

absl::StatusOr<Mamba2Config> ReadMamba2Config(const Checkpoint& checkpoint) {
  if (checkpoint.gguf() != nullptr) {
    return absl::UnimplementedError(
        absl::StrCat(checkpoint.path(), ": general.architecture: mamba2 in GGUF is not supported"));
  }
  RETURN_IF_ERROR(ReadQuantization(checkpoint).status());
  return ParseMamba2Config(checkpoint.config(), checkpoint.generation_config(), ConfigPath(checkpoint));
}

}  // namespace braid
