// A RaggedBatch for the device: its image in memory, and how a decode batch is padded to a size that was recorded.
#pragma once

#include <vector>

#include "kernels/cuda_step.h"
#include "kernels/cuda_transfer.h"

namespace braid::cuda {

// The counts alone, with null pointers. `max_context` is the batch's own.
DeviceBatch CountsOf(const RaggedBatch& batch);

// Copies the batch to the device and remembers its spans, so that operations find them. Equal counts land at equal
// addresses as long as the batch is what a run places first.
DeviceBatch PlaceBatch(const RaggedBatch& batch, const DeviceBatch& counts, Inbound& inbound,
                       device::Stream& stream);

// A batch of which every sequence has `tokens_each` tokens and every row's logits are wanted: a step of decode. Its
// launches can be recorded and repeated.
struct DecodeShape {
  int32_t sequences = 0;
  int32_t tokens_each = 0;   // 0: not such a batch
  int32_t max_context = 0;
};
DecodeShape DecodeShapeOf(const RaggedBatch& batch);

// The least recorded shape that holds `shape`: 1, 2, 4, 8, 12, 16, 24, 32, 48, ... sequences, contexts by powers of two.
// Its rows may pass `max_rows`: then the number of sequences stays what it is.
DecodeShape LadderShape(const DecodeShape& shape, int64_t max_rows);

// A decode batch with padding sequences behind its own. Owns what it adds; borrows block tables.
class PaddedBatch {
 public:
  // Thread: its owner's; the result is valid until the next call.
  const RaggedBatch& Pad(const RaggedBatch& batch, const DecodeShape& shape);

 private:
  std::vector<int32_t> ids_, positions_, logit_rows_;
  std::vector<SequenceSpan> sequences_;
  RaggedBatch batch_;
};

}  // namespace braid::cuda
