// What every family of decoders is once its tensors are bound: token rows in, layers that each add to the residual,
// final norm and logits out.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "models/blocks/attention_block.h"
#include "models/blocks/mamba2_block.h"
#include "models/blocks/mlp_block.h"
#include "models/blocks/moe_block.h"
#include "models/blocks/token_head.h"

namespace braid {

using Mixer = std::variant<Mamba2Block, AttentionBlock, MlpBlock, GatedMlpBlock, MoeBlock, MatrixBlock>;

// x += mixer(norm(x))
struct DecoderLayer {
  Norm norm;  // without weights: the mixer reads what the one before it read, and they stand side by side
  Mixer mixer;
};

// Walks the layers over the residual x [tokens, hidden]; h [tokens, hidden] is for their normed inputs. Several ranks sum
// once for the mixers behind each norm.
void WalkLayers(Ops& op, const RaggedBatch& batch, const CacheView& cache, const Rotary& rotary,
                std::span<const DecoderLayer> layers, RankPlace place, TensorView h, TensorView x);

struct DecoderParts {
  TokenHead head;
  Rotary rotary;                     // of all attention layers
  std::vector<DecoderLayer> layers;  // attention and Mamba mixers take the caches of ModelInfo in order, each of its kind
};

// What a decoder's own tensors are called; layer i's names begin with `layers` and i.
struct DecoderNames {
  std::string embedding = "model.embed_tokens.weight";
  std::string final_norm = "model.norm";
  std::string layers = "model.layers.";
  std::string output = "lm_head.weight";
  std::string first_norm = "input_layernorm", second_norm = "post_attention_layernorm";  // of a layer of two mixers

  static DecoderNames Backbone(const WeightLoader& w);
};

struct DecoderShape {
  int vocab_size = 0, hidden_size = 0;
  int num_layers = 0;  // of the checkpoint, each of which may be several of ours
  bool tied = false;   // the output is the embedding
};
template <class Config>
DecoderShape ShapeOf(const Config& config, size_t num_layers) {
  return {config.vocab_size, config.hidden_size, static_cast<int>(num_layers), config.tie_word_embeddings};
}

// What every family says of itself; its caches are for the caller to add.
template <class Config>
ModelInfo DecoderInfo(std::string family, const Config& config, std::vector<std::pair<std::string, int>> layers_by_kind) {
  return {.family = std::move(family),
          .layers_by_kind = std::move(layers_by_kind),
          .vocab_size = config.vocab_size,
          .hidden_size = config.hidden_size,
          .max_model_len = config.max_position_embeddings,
          .eos_token_ids = config.eos_token_ids,
          .cache = {},
          .draft_head = {}};
}

// What a family says of its own: the norm called `name` under `w`, and what layer `index` adds to `layers`.
using NormBinder = std::function<Norm(const WeightLoader& w, const std::string& name)>;
using LayerBinder = std::function<void(const WeightLoader& w, int index, std::vector<DecoderLayer>& layers)>;

// Reads both ends and all layers; stops at the loader's first error. Without positions: `rotary` is the caller's.
DecoderParts BindDecoder(const WeightLoader& w, const DecoderShape& shape, const DecoderNames& names,
                         const NormBinder& norm, const LayerBinder& layer);

// The same where every layer is two mixers, each behind its norm.
struct MixerPair {
  Mixer first, second;  // attention, and MLP or experts
};
using PairBinder = std::function<MixerPair(const WeightLoader& w, int index)>;
DecoderParts BindDecoder(const WeightLoader& w, const DecoderShape& shape, const DecoderNames& names,
                         const NormBinder& norm, const PairBinder& pair);

// Unimplemented when the embedding or an expert has ordered inputs, which only Linear gathers. `path` stands before it.
absl::Status CheckOrders(const std::string& path, const Weight& embedding, std::span<const DecoderLayer> layers);

// Loads a decoder whose parts `bind` finds in the checkpoint; the loader's first error otherwise.
absl::StatusOr<std::unique_ptr<Model>> LoadDecoder(const Checkpoint& checkpoint, Backend& backend,
                                                   const LoadProgress& progress, ModelInfo info,
                                                   const std::function<DecoderParts(const WeightLoader&)>& bind);

}  // namespace braid
