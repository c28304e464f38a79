// What tests of operations share: the backends of this machine, matrices with strides, weights in every format.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu_backend.h"
#include "kernels/float_types.h"
#include "kernels/testing/device_arguments.h"

namespace braid::testing {

// Runs `body(isa)` for every instruction set that we have kernels for; names those that the machine lacks.
template <class Body>
void ForEachIsa(const Body& body) {
  for (const CpuIsa& isa : AllCpuIsas()) {
    SCOPED_TRACE(isa.name);
    if (isa.supported()) {
      body(std::string(isa.name));
    } else {
      ::testing::Test::RecordProperty(isa.name, "skipped");
      std::printf("[  SKIPPED ] this machine lacks %s\n", isa.name);
    }
  }
}

inline std::unique_ptr<Backend> MakeCpu(const std::string& isa, int threads) {
  auto backend = MakeCpuBackend(isa, threads, /*pin=*/false);
  EXPECT_TRUE(backend.ok()) << backend.status();
  return std::move(*backend);
}

// The CUDA device, or its emulation, for arguments in the host's memory; null, and said so, where there is none.
inline Backend* Cuda(Precision precision = Precision::kFull) {
  static const auto make = [](Precision wanted) -> Backend* {
    auto backend = MakeCudaBackend(wanted);
    if (backend.ok()) return new DeviceArgumentBackend(*std::move(backend));
    std::printf("[  SKIPPED ] %s\n", backend.status().ToString().c_str());
    return nullptr;
  };
  static Backend* const full = make(Precision::kFull);
  static Backend* const bf16 = make(Precision::kBf16);
  return precision == Precision::kFull ? full : bf16;
}

// Measures, reserves and runs `walk`.
inline void RunWalk(Backend& backend, const std::function<void(Ops&)>& walk) {
  EXPECT_TRUE(backend.ReserveScratch(backend.MeasureScratch(walk)).ok());
  backend.Run(walk);
}

// Owns rows of floats that lie `padding` elements apart from each other; the gaps hold a mark that must survive.
class Matrix {
 public:
  static constexpr float kMark = 12345.0f;

  Matrix(int64_t rows, int64_t cols, int64_t padding = 0)
      : rows_(rows), cols_(cols), stride_(cols + padding), values_(rows * stride_ + 1, kMark) {}

  static Matrix Random(int64_t rows, int64_t cols, uint32_t seed, int64_t padding = 0) {
    Matrix matrix(rows, cols, padding);
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) matrix.at(i, j) = normal(random);
    }
    return matrix;
  }

  float& at(int64_t i, int64_t j) { return values_[i * stride_ + j]; }
  float at(int64_t i, int64_t j) const { return values_[i * stride_ + j]; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  const float* row(int64_t i) const { return values_.data() + i * stride_; }
  TensorView view() { return {values_.data(), DType::kF32, rows_, cols_, stride_}; }
  // Row `i` alone.
  TensorView row_view(int64_t i) { return {values_.data() + i * stride_, DType::kF32, 1, cols_, stride_}; }

  // Whether nothing was written between and behind the rows.
  bool gaps_intact() const {
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = cols_; j < stride_; ++j) {
        if (at(i, j) != kMark) return false;
      }
    }
    return values_.back() == kMark;
  }

 private:
  int64_t rows_, cols_, stride_;
  std::vector<float> values_;
};

// Compares bits, so that NaN equals itself and 0 differs from -0.
inline bool SameBits(const float* a, const float* b, int64_t count) { return count == 0 || std::memcmp(a, b, 4 * count) == 0; }
inline bool SameBits(const Matrix& a, const Matrix& b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return false;
  for (int64_t i = 0; i < a.rows(); ++i) {
    if (!SameBits(a.row(i), b.row(i), a.cols())) return false;
  }
  return true;
}

inline constexpr DType kWeightFormats[] = {
    DType::kF32,  DType::kF16,  DType::kBF16,   DType::kF8E4M3,       DType::kNVFP4, DType::kMXFP4,
    DType::kQ8_0, DType::kQ4_0, DType::kQ4_1,   DType::kQ5_0,         DType::kQ5_1,  DType::kIQ4_NL,
    DType::kQ2_K, DType::kQ3_K, DType::kQ4_K,   DType::kQ5_K,         DType::kQ6_K,  DType::kMXFP4Blocks,
    DType::kInt4, DType::kInt8};

// The least multiple of what the format's rows consist of that is not below `cols`.
inline int64_t ColsFor(DType dtype, int64_t cols) {
  const int64_t unit = dtype == DType::kNVFP4 ? 16 : dtype == DType::kMXFP4 ? 32 : BlockOf(dtype).elements;
  return (cols + unit - 1) / unit * unit;
}

// How the weights of F8_E4M3 share scales; 0 rows: only one for all.
struct ScaleBlock {
  int64_t rows, cols;
};

// Owns random weights in a checkpoint's format; block codes take every value, scales beside codes too.
class StoredWeight {
 public:
  // F8_E4M3 has a scale for each row.
  StoredWeight(DType dtype, int64_t rows, int64_t cols, uint32_t seed)
      : StoredWeight(dtype, rows, cols, seed,
                     {1, dtype == DType::kNVFP4   ? 16
                         : dtype == DType::kMXFP4 ? 32
                                                  : std::max<int64_t>(cols, 1)}) {}

  StoredWeight(DType dtype, int64_t rows, int64_t cols, uint32_t seed, ScaleBlock scale_block)
      : dtype_(dtype), rows_(rows), cols_(cols), bytes_(DTypeBytes(dtype, rows * cols)) {
    std::mt19937 random(seed);
    const DTypeBlock block = BlockOf(dtype);
    for (size_t at = 0; at < bytes_.size(); at += block.bytes) FillBlock(random, bytes_.data() + at);
    if (dtype == DType::kF8E4M3 || dtype == DType::kNVFP4 || dtype == DType::kMXFP4) FillScales(random, scale_block);
  }

  WeightPart part() const {
    WeightPart part{dtype_, rows_, cols_, bytes_, scales_};
    part.scales.bytes = scale_bytes_;
    return part;
  }
  std::byte* data() { return bytes_.data(); }

 private:
  template <class T>
  static void Put(T value, std::byte* at) { std::memcpy(at, &value, sizeof(T)); }
  static void PutF16(float value, std::byte* at) { Put(ToF16(value).bits, at); }

  // Where a format's f16 scale stands, and whether its minimum stands behind it.
  struct ScalePlace {
    int offset;
    bool has_min;
  };
  static ScalePlace PlaceOf(DType dtype) {
    switch (dtype) {
      case DType::kQ4_1:
      case DType::kQ5_1:
      case DType::kQ4_K:
      case DType::kQ5_K: return {0, true};
      case DType::kQ2_K: return {80, true};
      case DType::kQ3_K: return {108, false};
      case DType::kQ6_K: return {208, false};
      default: return {0, false};
    }
  }

  void FillBlock(std::mt19937& random, std::byte* at) {
    std::normal_distribution<float> normal;
    const float value = normal(random);
    switch (dtype_) {
      case DType::kF32: return Put(value, at);
      case DType::kF16: return PutF16(value, at);
      case DType::kBF16: return Put(ToBf16(value).bits, at);
      default: break;
    }
    for (int i = 0; i < BlockOf(dtype_).bytes; ++i) at[i] = static_cast<std::byte>(random() & 255);
    if (dtype_ == DType::kF8E4M3 && (at[0] & std::byte{0x7f}) == std::byte{0x7f}) at[0] = std::byte{0};  // no NaN
    if (dtype_ == DType::kMXFP4Blocks) at[0] = static_cast<std::byte>(124 + random() % 5);
    if (BlockOf(dtype_).elements < 32 || dtype_ == DType::kMXFP4Blocks) return;
    const ScalePlace place = PlaceOf(dtype_);
    if (dtype_ == DType::kInt4) at[2] &= std::byte{15};  // its zero
    PutF16(0.01f + 0.1f * std::abs(value), at + place.offset);
    if (place.has_min) PutF16(-0.3f * normal(random), at + place.offset + 2);
  }

  void FillScales(std::mt19937& random, ScaleBlock block) {
    scales_ = {.dtype = DType::kF32, .block_rows = block.rows, .block_cols = block.cols, .global = 0.37f};
    if (dtype_ == DType::kNVFP4) scales_.dtype = DType::kF8E4M3;
    if (dtype_ == DType::kMXFP4) scales_.dtype = DType::kF8E8M0;
    if (block.rows == 0) return;
    const int64_t down = (rows_ + block.rows - 1) / block.rows, across = (cols_ + block.cols - 1) / block.cols;
    const int size = BlockOf(scales_.dtype).bytes;
    scale_bytes_.resize(static_cast<size_t>(down * across * size));
    for (size_t at = 0; at < scale_bytes_.size(); at += size) {
      if (size == 4) Put(0.01f + static_cast<float>(random() % 1000) / 1000, scale_bytes_.data() + at);
      if (dtype_ == DType::kNVFP4) scale_bytes_[at] = static_cast<std::byte>(random() % 0x7f);  // subnormals too
      if (dtype_ == DType::kMXFP4) scale_bytes_[at] = static_cast<std::byte>(122 + random() % 8);
    }
  }

  DType dtype_;
  int64_t rows_, cols_;
  std::vector<std::byte> bytes_, scale_bytes_;
  WeightScales scales_;
};

inline std::unique_ptr<PackedWeight> PackOrDie(Backend& backend, const WeightSource& source) {
  auto packed = backend.Pack(source);
  EXPECT_TRUE(packed.ok()) << packed.status();
  return std::move(*packed);
}

}  // namespace braid::testing
