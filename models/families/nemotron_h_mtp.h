// The draft head of Nemotron 3: joins the embedding of a token with the hidden vector before it, then layers as the
// model's own (reference: Megatron's multi-token prediction; the one stored depth serves every further draft).
#pragma once

#include "models/families/nemotron_h.h"

namespace braid {

// What the head keeps, if the checkpoint has one that we can run: K and V of its attention layers, and the last final
// hidden vectors as raw rows of a convolution.
std::optional<CacheLayout> NemotronHMtpCache(const Checkpoint& checkpoint, const NemotronHConfig& config);

absl::StatusOr<std::unique_ptr<DraftHead>> LoadNemotronHMtp(const Checkpoint& checkpoint, Backend& backend,
                                                            const LoadProgress& progress, const Model& model);

}  // namespace braid
