// What a CUDA launcher gets beside its arguments: the stream, step memory, and host values placed on the device.
//
// Every pointer and TensorView of an operation's arguments is device memory. Spans, RaggedBatch and what hangs on them
// are host memory and are placed by this class; `Check` has seen them before.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <type_traits>

#include "kernels/precision.h"
#include "kernels/ragged_batch.h"
#include "kernels/scratch.h"

typedef struct CUstream_st* cudaStream_t;

namespace braid::cuda {

// A RaggedBatch on the device. The counts are host values, and all that a launcher's choices (grid, tiles, splits) may
// depend on: a recorded step repeats them with other contents. Rows that pad a batch to a recorded size belong to no
// sequence; padding sequences have no tokens.
struct DeviceBatch {
  int32_t num_tokens = 0;                   // rows of the activations, padding included
  int32_t num_sequences = 0;                // padding included
  int32_t max_span_tokens = 0;              // no sequence has more tokens in this step
  int32_t max_context = 0;                  // every position is below it
  const int32_t* ids = nullptr;             // [num_tokens]
  const int32_t* positions = nullptr;       // [num_tokens]
  const int32_t* token_sequence = nullptr;  // [num_tokens] index of the row's sequence; -1: padding
  const SequenceSpan* sequences = nullptr;  // [num_sequences], their block tables on the device too
};

// Thread: the one that runs the walk.
class Step {
 public:
  virtual ~Step() = default;

  cudaStream_t stream() const { return stream_; }
  // Device memory for the operation; take all of it first and return when step.measuring().
  Scratch& scratch() { return *scratch_; }
  bool measuring() const { return scratch_->measuring(); }
  Precision precision() const { return precision_; }
  void set_precision(Precision precision) { precision_ = precision; }

  // The batch on the device; one copy for all operations of a walk.
  virtual const DeviceBatch& Place(const RaggedBatch& batch) = 0;

  // Host values on the device, until the walk ends. Not while a step is recorded, unless they are the batch's own, which
  // are there already.
  template <class T>
  const T* Place(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    return reinterpret_cast<const T*>(PlaceBytes(std::as_bytes(values)));
  }

  // Host values that never change, such as a block's table of weights: on the device for good, found again by content.
  // Copied when first asked for, which is before a step is recorded.
  template <class T>
  const T* Constant(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    return reinterpret_cast<const T*>(ConstantBytes(std::as_bytes(values)));
  }

  // Device memory that is copied to the host when the walk has run, in one copy for all operations; `done` sees it.
  template <class T>
  T* Result(int64_t count, std::function<void(const T*)> done) {
    static_assert(std::is_trivially_copyable_v<T>);
    return reinterpret_cast<T*>(ResultBytes(static_cast<int64_t>(sizeof(T)) * count, [done](const std::byte* bytes) {
      done(reinterpret_cast<const T*>(bytes));
    }));
  }

 protected:
  Step(cudaStream_t stream, Scratch* scratch) : stream_(stream), scratch_(scratch) {}
  virtual const std::byte* PlaceBytes(std::span<const std::byte> bytes) = 0;
  virtual const std::byte* ConstantBytes(std::span<const std::byte> bytes) = 0;
  virtual std::byte* ResultBytes(int64_t bytes, std::function<void(const std::byte*)> done) = 0;

  cudaStream_t stream_;
  Scratch* scratch_;
  Precision precision_ = Precision::kFull;
};

}  // namespace braid::cuda
