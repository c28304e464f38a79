// A model: what it keeps, and its forward pass in terms of operations.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
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
};

// Immutable after load. Thread: any number of walkers.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;

  // Runs the batch through all layers, reading and writing `cache`, and leaves the final normed hidden vectors of
  // batch.logit_rows in `hidden` [logit_rows, hidden_size].
  virtual void Forward(Ops& op, const RaggedBatch& batch, const CacheView& cache, TensorView hidden) const = 0;

  // logits [rows, vocab_size] of final hidden vectors [rows, hidden_size].
  virtual void Logits(Ops& op, TensorView hidden, TensorView logits) const = 0;

  virtual int64_t weight_bytes() const = 0;  // packed, in memory
};

// Called with the bytes of the checkpoint packed so far.
using LoadProgress = std::function<void(int64_t done_bytes, int64_t total_bytes)>;

// Loads the model in `checkpoint` by its architecture's name; weights are packed by `backend`.
absl::StatusOr<std::unique_ptr<Model>> LoadModel(const Checkpoint& checkpoint, Backend& backend,
                                                 const LoadProgress& progress);

// Reads the same facts from the configuration alone.
absl::StatusOr<ModelInfo> ReadModelInfo(const Checkpoint& checkpoint);

}  // namespace braid
