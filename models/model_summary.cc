#include "models/model_summary.h"

#include "models/model.h"
#include "models/weights/quantization.h"

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
  for (const FormatBytes& format : BytesByFormat(checkpoint)) {
    summary.parameters += format.parameters;
    summary.bytes_by_format.emplace_back(format.format, format.bytes);
  }
  return summary;
}

}  // namespace braid
