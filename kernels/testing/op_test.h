// What tests of operations share: the backends of this machine, matrices with strides, weights in every format.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu_backend.h"
#include "kernels/float_types.h"

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

// Measures, reserves and runs `walk`.
inline void RunWalk(Backend& backend, const std::function<void(Ops&)>& walk) {
  backend.ReserveScratch(backend.MeasureScratch(walk));
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

inline constexpr DType kWeightFormats[] = {DType::kF32,  DType::kF16,  DType::kBF16,
                                           DType::kQ8_0, DType::kQ4_0, DType::kQ4_1};

// Owns random weights in a checkpoint's format; block codes take every value.
class StoredWeight {
 public:
  StoredWeight(DType dtype, int64_t rows, int64_t cols, uint32_t seed)
      : dtype_(dtype), rows_(rows), cols_(cols), bytes_(DTypeBytes(dtype, rows * cols)) {
    std::mt19937 random(seed);
    const DTypeBlock block = BlockOf(dtype);
    for (size_t at = 0; at < bytes_.size(); at += block.bytes) FillBlock(random, bytes_.data() + at);
  }

  WeightPart part() const { return {dtype_, rows_, cols_, bytes_}; }
  std::byte* data() { return bytes_.data(); }

 private:
  template <class T>
  static void Put(T value, std::byte* at) { std::memcpy(at, &value, sizeof(T)); }

  void FillBlock(std::mt19937& random, std::byte* at) {
    std::normal_distribution<float> normal;
    const float value = normal(random);
    switch (dtype_) {
      case DType::kF32: return Put(value, at);
      case DType::kF16: return Put(ToF16(value).bits, at);
      case DType::kBF16: return Put(ToBf16(value).bits, at);
      default: break;
    }
    const int num_scales = dtype_ == DType::kQ4_1 ? 2 : 1;
    Put(ToF16(0.01f + 0.1f * std::abs(value)).bits, at);
    if (num_scales == 2) Put(ToF16(-0.3f * normal(random)).bits, at + 2);
    for (int i = 2 * num_scales; i < BlockOf(dtype_).bytes; ++i) at[i] = static_cast<std::byte>(random() & 255);
  }

  DType dtype_;
  int64_t rows_, cols_;
  std::vector<std::byte> bytes_;
};

inline std::unique_ptr<PackedWeight> PackOrDie(Backend& backend, const WeightSource& source) {
  auto packed = backend.Pack(source);
  EXPECT_TRUE(packed.ok()) << packed.status();
  return std::move(*packed);
}

}  // namespace braid::testing
