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

using Mixer = std::variant<Mamba2Block, AttentionBlock, MlpBlock, GatedMlpBlock, MoeBlock>;

// x += mixer(norm(x))
struct DecoderLayer {
  Norm norm;
  Mixer mixer;
};

// Walks the layers over the residual x [tokens, hidden]; h [tokens, hidden] is for their normed inputs.
void WalkLayers(Ops& op, const RaggedBatch& batch, const CacheView& cache, const Rotary& rotary,
                std::span<const DecoderLayer> layers, TensorView h, TensorView x);

struct DecoderParts {
  TokenHead head;
  Rotary rotary;                     // of all attention layers
  std::vector<DecoderLayer> layers;  // attention and Mamba mixers take the caches of ModelInfo in order, each of its kind
};

// Loads a decoder whose parts `bind` finds in the checkpoint; the loader's first error otherwise.
absl::StatusOr<std::unique_ptr<Model>> LoadDecoder(const Checkpoint& checkpoint, Backend& backend,
                                                   const LoadProgress& progress, ModelInfo info,
                                                   const std::function<DecoderParts(const WeightLoader&)>& bind);

}  // namespace braid
