// Element types, shapes and views. A TensorView borrows bytes; a Tensor owns them, zeroed and aligned to 64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/inlined_vector.h"
#include "kernels/base/errors.h"

namespace braid {

enum class DType : uint8_t {
  kF32, kF16, kBF16, kF64, kI64, kI32, kI16, kI8, kU8, kBool, kF8E4M3, kF8E5M2, kF8E8M0,
  // Blocks of 32 elements along the last dimension, GGUF layout.
  kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kIQ4_NL, kMXFP4Blocks,
  // The same, of our own making: a scale and a zero beside 4- or 8-bit codes (quantize/block_formats.h).
  kInt4, kInt8,
  // Blocks of 256.
  kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K,
  // E2M1 codes, two to a byte, the first in the low half; their scales lie in tensors of their own: E4M3 for each 16
  // elements of a row and one f32, or E8M0 for each 32.
  kNVFP4, kMXFP4,
};
inline constexpr int kNumDTypes = static_cast<int>(DType::kMXFP4) + 1;

const char* DTypeName(DType dtype);

// Elements and bytes of the type's smallest unit: {1, 4} for f32, {32, 18} for Q4_0.
struct DTypeBlock {
  int elements;
  int bytes;
};
DTypeBlock BlockOf(DType dtype);

// Bytes of `elements` elements, which must be whole blocks.
int64_t DTypeBytes(DType dtype, int64_t elements);

// Dimensions, outermost first.
using Shape = absl::InlinedVector<int64_t, 4>;
int64_t NumElements(const Shape& shape);
std::string ShapeString(const Shape& shape);  // "[2, 64]"

// A dense row-major matrix [rows, cols] in memory that somebody else owns; a vector is one row.
// Rows may lie `stride` elements apart.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  static TensorView Of(float* data, int64_t rows, int64_t cols) { return {data, DType::kF32, rows, cols, cols}; }
  float* f32() const { return static_cast<float*>(data); }
  float* row(int64_t i) const { return static_cast<float*>(data) + i * stride; }
  // Columns [begin, begin + count) of every row.
  TensorView Columns(int64_t begin, int64_t count) const;
};

// Gives memory back the way it was taken.
struct FreeBytes {
  void (*free)(std::byte* data, size_t size) = nullptr;
  size_t size = 0;
  void operator()(std::byte* data) const { free(data, size); }
};

// Owns bytes. Made by size they are zeroed memory of the host, aligned to a cache line, on huge pages where the kernel
// grants them; a backend's may lie on its device.
class Bytes {
 public:
  Bytes() = default;
  explicit Bytes(size_t size);
  // Takes `data` over.
  Bytes(std::byte* data, size_t size, void (*free)(std::byte* data, size_t size)) : data_(data, {free, size}), size_(size) {}
  std::byte* data() const { return data_.get(); }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_.get());
  }
  size_t size() const { return size_; }

 private:
  std::unique_ptr<std::byte, FreeBytes> data_;
  size_t size_ = 0;
};

}  // namespace braid
