// config.json and GGUF metadata as typed structs: every field checked for type and range before anything is allocated.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/moe/moe.h"
#include "kernels/norm/norm.h"
#include "models/rope_config.h"
#include "models/weights/checkpoint.h"

namespace braid {

inline constexpr int64_t kMaxSize = int64_t{1} << 24;  // of one dimension of a weight
inline constexpr int64_t kMaxLayers = 4096;

struct MambaConfig {
  int num_heads = 0, head_dim = 0, state_size = 0, num_groups = 0, conv_kernel = 0;
  bool use_conv_bias = true;
  bool use_bias = false;       // in_proj and out_proj
  float time_step_min = 0.0f;  // clamp after softplus
  float time_step_max = std::numeric_limits<float>::infinity();
  GatePlace gate_place = GatePlace::kBeforeNorm;
  // Multipliers of what in_proj makes: gate, x, B, C, dt; and of all that the mixer adds.
  std::array<float, 5> in_factors = {1, 1, 1, 1, 1};
  float out_factor = 1.0f;
  int inner_size() const { return num_heads * head_dim; }
  int conv_size() const { return inner_size() + 2 * num_groups * state_size; }
};

struct MoeConfig {
  int num_experts = 0, top_k = 0, num_shared_experts = 0;
  int intermediate_size = 0;         // of one routed expert
  int shared_intermediate_size = 0;  // of all shared experts together; 0 when there is none
  std::optional<int> latent_size;    // width the routed experts work on; hidden_size when absent
  float routed_scaling_factor = 1.0f;
  int num_groups = 1, top_k_groups = 1;
  bool norm_top_k_prob = true;
  RouteScoring scoring = RouteScoring::kSigmoid;
};

// Llama, and those that differ from it by an option each.
struct LlamaConfig {
  std::string model_type;  // "llama", "qwen3"
  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int max_position_embeddings = 0;
  float rms_norm_eps = 1e-5f;
  bool tie_word_embeddings = false;
  bool attention_bias = false;  // of q, k and v
  bool output_bias = false;     // of the attention's output
  bool qk_norm = false;         // RMSNorm of each head of q and k, before rotation
  std::vector<int> windows;     // one a layer: positions that a query sees, 0 for all
  std::vector<bool> is_moe;     // one a layer: experts instead of the gated MLP
  MoeConfig moe;
  bool mlp_bias = false;
  RopeConfig rope;
  std::vector<int32_t> eos_token_ids;  // config.json and generation_config.json together, sorted
  std::optional<int32_t> bos_token_id;
  std::vector<std::string> unknown_fields;  // of config.json, for a debug log
};

// Llama with layers whose attention and MLP differ in size, are one matrix instead, or are left out.
struct NemotronNasConfig {
  enum class Part { kMixer, kMatrix, kNone };
  struct Block {
    Part attention = Part::kMixer, mlp = Part::kMixer;
    int num_kv_heads = 0;       // of kMixer
    int intermediate_size = 0;  // of kMixer
  };
  LlamaConfig llama;            // but for the sizes that are the blocks'
  std::vector<Block> blocks;    // one a layer
};

enum class LayerKind { kMamba, kAttention, kMlp, kMoe };

struct NemotronHConfig {
  std::string model_type = "nemotron_h";
  int vocab_size = 0;
  int hidden_size = 0;
  int max_position_embeddings = 0;
  bool tie_word_embeddings = false;
  float norm_eps = 1e-5f;
  std::vector<LayerKind> layers;

  struct Attention {
    int num_heads = 0, num_kv_heads = 0, head_dim = 0;
  } attention;

  struct Mlp {
    std::vector<int> intermediate_sizes;  // one for each kMlp layer, in their order
    bool bias = false;                    // also of the shared expert and the latent projections
  } mlp;

  MambaConfig mamba;
  MoeConfig moe;                // what holds where a layer does not say otherwise
  std::vector<MoeConfig> moes;  // one for each kMoe layer, of `layers` and then of `mtp_layers`

  int num_nextn_predict_layers = 0;   // MTP depths stored
  std::vector<LayerKind> mtp_layers;  // blocks of one depth
  std::vector<int32_t> eos_token_ids;
  std::optional<int32_t> bos_token_id;
  std::vector<std::string> unknown_fields;
};

struct Mamba2Config {
  int vocab_size = 0;
  int hidden_size = 0;
  int num_layers = 0;
  int max_position_embeddings = 0;
  bool tie_word_embeddings = false;
  float norm_eps = 1e-5f;
  MambaConfig mamba;
  std::vector<int32_t> eos_token_ids;
  std::vector<std::string> unknown_fields;
};

// Mamba-2 and attention, each followed by a gated MLP or gated experts: Bamba, Falcon-H1, Granite.
struct HybridConfig {
  std::string model_type;
  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;        // of the gated MLP; 0: none
  int num_heads = 0, num_kv_heads = 0, head_dim = 0;
  int max_position_embeddings = 0;
  bool tie_word_embeddings = false;
  bool attention_bias = false;      // of q, k, v and the output
  float norm_eps = 1e-5f;
  std::vector<LayerKind> layers;    // kMamba or kAttention: what comes first in each
  bool side_by_side = false;        // or both, of one input, in all
  RopeConfig rope;
  MambaConfig mamba;
  MoeConfig moe;                    // no experts: none
  // Multipliers of what the embedding, each mixer, q, k and v, gates, the MLP and the output make.
  float embedding_factor = 1, residual_factor = 1, query_factor = 1, key_factor = 1, value_factor = 1;
  float gate_factor = 1, mlp_factor = 1, logits_factor = 1;
  std::optional<float> score_scale; // 1 / sqrt(head_dim) when absent
  std::vector<int32_t> eos_token_ids;
  std::vector<std::string> unknown_fields;
};

struct BloomConfig {
  int vocab_size = 0;
  int hidden_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int max_position_embeddings = 0;
  bool tie_word_embeddings = true;
  float norm_eps = 1e-5f;
  std::vector<int32_t> eos_token_ids;
  std::vector<std::string> unknown_fields;
  int head_dim() const { return hidden_size / num_heads; }
};

// Returns what the checkpoint calls its architecture: config.json's model_type or GGUF's general.architecture.
absl::StatusOr<std::string> ReadModelType(const Checkpoint& checkpoint);

// Returns the typed configuration, or an error "<file>: <field>: <what>".
absl::StatusOr<LlamaConfig> ReadLlamaConfig(const Checkpoint& checkpoint);
absl::StatusOr<NemotronNasConfig> ReadNemotronNasConfig(const Checkpoint& checkpoint);
absl::StatusOr<NemotronHConfig> ReadNemotronHConfig(const Checkpoint& checkpoint);
absl::StatusOr<Mamba2Config> ReadMamba2Config(const Checkpoint& checkpoint);
absl::StatusOr<HybridConfig> ReadHybridConfig(const Checkpoint& checkpoint);
absl::StatusOr<BloomConfig> ReadBloomConfig(const Checkpoint& checkpoint);

// The same from the documents themselves; `path` (of config.json) is for messages.
absl::StatusOr<LlamaConfig> ParseLlamaConfig(const Json& config, const Json& generation, const std::string& path);
absl::StatusOr<NemotronNasConfig> ParseNemotronNasConfig(const Json& config, const Json& generation,
                                                         const std::string& path);
absl::StatusOr<NemotronHConfig> ParseNemotronHConfig(const Json& config, const Json& generation,
                                                     const std::string& path);
absl::StatusOr<Mamba2Config> ParseMamba2Config(const Json& config, const Json& generation, const std::string& path);
absl::StatusOr<HybridConfig> ParseHybridConfig(const Json& config, const Json& generation, const std::string& path);
absl::StatusOr<BloomConfig> ParseBloomConfig(const Json& config, const Json& generation, const std::string& path);

}  // namespace braid
