// A model: what it keeps, and its forward pass in terms of operations.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "models/cache_layout.h"
#include "models/weights/checkpoint.h"

namespace braid {

// What the engine must know of a model before and after loading it.
struct ModelInfo {
  std::string family;                                      // "llama"
  std::vector<std::pair<std::string, int>> layers_by_kind; // {"attention", 30}, {"mlp", 30}
  int vocab_size = 0;                                      // embedding rows
  int hidden_size = 0;
  int max_model_len = 0;
  std::vector<int32_t> eos_token_ids;
  CacheLayout cache;
  std::optional<CacheLayout> draft_head;                   // what its draft head keeps besides; none: it has no head
};

// Immutable after load. Thread: any number of walkers.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;

  // Runs the batch through all layers, reading and writing `cache`, and leaves the final normed hidden vectors of
  // batch.logit_rows in `hidden` [logit_rows, hidden_size].
  virtual void Forward(Ops& op, const RaggedBatch& batch, const CacheView& cache, TensorView hidden) const = 0;

  // x [tokens, hidden_size] = what the first layer sees of batch.ids.
  virtual void Embed(Ops& op, const RaggedBatch& batch, TensorView x) const = 0;

  // logits [rows, vocab_size] of final hidden vectors [rows, hidden_size].
  virtual void Logits(Ops& op, TensorView hidden, TensorView logits) const = 0;

  virtual int64_t weight_bytes() const = 0;  // packed, in memory
};

// Guesses the tokens beyond the next one (multi-token prediction, arXiv:2412.19437). Its row at position t is made of the
// final hidden vector of t - 1 and the token at t, and guesses the token at t + 1; row 0 is never read. Rows are kept as
// the model's are: in the sequence's blocks, and the last hidden vectors in its state slot. Thread: any number of walkers.
class DraftHead {
 public:
  virtual ~DraftHead() = default;

  // Behind Model::Forward of the same batch: writes the rows of its tokens. `cache` is the head's own part; hidden
  // [tokens, hidden_size] holds the final hidden vectors of all tokens.
  virtual void WriteRows(Ops& op, const RaggedBatch& batch, const CacheView& cache, TensorView hidden) const = 0;

  // Leaves in `hidden` [tokens, hidden_size] what stands for the final hidden vectors of the batch's tokens: their logits
  // are the guesses. `before` holds the vectors of the positions before, which an earlier call left; without data (for
  // one token of each sequence) they are those of WriteRows. The rows written on the way are guesses too, until
  // WriteRows comes to them.
  virtual void Guess(Ops& op, const RaggedBatch& batch, const CacheView& cache, TensorView before,
                     TensorView hidden) const = 0;

  virtual int64_t weight_bytes() const = 0;
};

// Called with the bytes of the checkpoint packed so far.
using LoadProgress = std::function<void(int64_t done_bytes, int64_t total_bytes)>;

// Loads the model in `checkpoint` by its architecture's name; weights are packed by `backend`.
absl::StatusOr<std::unique_ptr<Model>> LoadModel(const Checkpoint& checkpoint, Backend& backend,
                                                 const LoadProgress& progress);

// Loads the draft head of `model`, which was loaded from the same checkpoint, says that it has one, and outlives it.
absl::StatusOr<std::unique_ptr<DraftHead>> LoadDraftHead(const Checkpoint& checkpoint, Backend& backend,
                                                         const LoadProgress& progress, const Model& model);

// Reads the same facts from the configuration alone.
absl::StatusOr<ModelInfo> ReadModelInfo(const Checkpoint& checkpoint);

}  // namespace braid
