#include "models/model_summary.h"

#include "models/model.h"

namespace braid {

absl::StatusOr<ModelSummary> Summarize(const Checkpoint& checkpoint, DType kv_dtype, int state_grid) {
  ASSIGN_OR_RETURN(ModelInfo info, ReadModelInfo(checkpoint));
  for (MambaStateLayout& layer : info.cache.mamba) layer.grid = state_grid;
  ModelSummary summary{.family = info.family,
                       .layers_by_kind = info.layers_by_kind,
                       .kv_bytes_per_token = info.cache.KvBytesPerToken(kv_dtype),
                       .state_bytes_per_sequence = info.cache.StateBytesPerSequence(),
                       .max_model_len = info.max_model_len,
                       .vocab_size = info.vocab_size};
  for (const auto& [dtype, bytes] : checkpoint.BytesByType()) {
    const DTypeBlock block = BlockOf(dtype);
    summary.parameters += bytes / block.bytes * block.elements;
    summary.bytes_by_format.emplace_back(DTypeName(dtype), bytes);
  }
  return summary;
}

}  // namespace braid
