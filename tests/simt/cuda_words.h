// kernels/cuda_device.cuh's words on the host; kernels/cuda_words.cuh has the same for the GPU.
#pragma once

#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "kernels/float_types.h"
#include "tests/simt/cuda_runtime.h"
#include "tests/simt/device_memory.h"

namespace braid::cuda {

// ---- shared memory

// An element of shared memory: reads and writes are seen by the race check.
template <class T>
class SharedRef {
 public:
  SharedRef(simt::SharedRange range, T* at) : range_(range), at_(at) {}
  operator T() const {  // NOLINT: stands for a T
    simt::Touch(range_, at_, sizeof(T), simt::Access::kRead);
    return *at_;
  }
  const SharedRef& operator=(const T& value) const {
    simt::Touch(range_, at_, sizeof(T), simt::Access::kWrite);
    *at_ = value;
    return *this;
  }
  const SharedRef& operator=(const SharedRef& other) const { return *this = static_cast<T>(other); }
  const SharedRef& operator+=(const T& value) const { return *this = static_cast<T>(static_cast<T>(*this) + value); }
  const SharedRef& operator-=(const T& value) const { return *this = static_cast<T>(static_cast<T>(*this) - value); }
  const SharedRef& operator*=(const T& value) const { return *this = static_cast<T>(static_cast<T>(*this) * value); }

 private:
  simt::SharedRange range_;
  T* at_;
};

template <class T>
class SharedPtr {
 public:
  SharedPtr(simt::SharedRange range, T* at) : range_(range), at_(at) {}
  SharedRef<T> operator[](int64_t i) const { return {range_, at_ + i}; }
  SharedRef<T> operator*() const { return {range_, at_}; }
  SharedPtr operator+(int64_t i) const { return {range_, at_ + i}; }
  SharedPtr operator-(int64_t i) const { return {range_, at_ - i}; }
  SharedPtr& operator+=(int64_t i) { return *this = *this + i; }
  T* raw() const { return at_; }
  const simt::SharedRange& range() const { return range_; }

 private:
  simt::SharedRange range_;
  T* at_;
};

template <class To, class From>
SharedPtr<To> SharedCast(SharedPtr<From> at) {
  return {at.range(), reinterpret_cast<To*>(at.raw())};
}

#define BRAID_SHARED(type, name, count)                                                                     \
  static const char name##_key = 0;                                                                         \
  const ::braid::cuda::SharedPtr<type> name = ::braid::cuda::StaticSharedArray<type>(&name##_key, (count))

template <class T>
SharedPtr<T> StaticSharedArray(const void* key, size_t count) {
  const simt::SharedRange range = simt::StaticShared(key, sizeof(T) * count);
  return {range, reinterpret_cast<T*>(range.begin)};
}

template <class T>
SharedPtr<T> DynamicShared() {
  const simt::SharedRange range = simt::DynamicShared();
  return {range, reinterpret_cast<T*>(range.begin)};
}

// ---- vectors

inline void CheckAligned(const void* at, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(at) % bytes != 0) simt::Fail("an access of %zu bytes at address %p", bytes, at);
}

template <int N, class T>
Vec<T, N> LoadVec(const T* at) {
  static_assert(sizeof(Vec<T, N>) <= 16);
  CheckAligned(at, sizeof(Vec<T, N>));
  Vec<T, N> value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}
template <int N, class T>
void StoreVec(T* at, const Vec<T, N>& value) {
  static_assert(sizeof(Vec<T, N>) <= 16);
  CheckAligned(at, sizeof(value));
  std::memcpy(at, &value, sizeof(value));
}
template <int N, class T>
Vec<std::remove_const_t<T>, N> LoadVec(SharedPtr<T> at) {
  CheckAligned(at.raw(), sizeof(T) * N);
  simt::Touch(at.range(), at.raw(), sizeof(T) * N, simt::Access::kRead);
  return LoadVec<N>(at.raw());
}
template <int N, class T>
void StoreVec(SharedPtr<T> at, const Vec<T, N>& value) {
  CheckAligned(at.raw(), sizeof(value));
  simt::Touch(at.range(), at.raw(), sizeof(value), simt::Access::kWrite);
  StoreVec<N>(at.raw(), value);
}

template <class T>
T SharedAtomicAdd(SharedPtr<T> at, T value) {
  simt::Touch(at.range(), at.raw(), sizeof(T), simt::Access::kAtomic);
  return std::exchange(*at.raw(), static_cast<T>(*at.raw() + value));
}
template <class T>
T SharedAtomicMax(SharedPtr<T> at, T value) {
  simt::Touch(at.range(), at.raw(), sizeof(T), simt::Access::kAtomic);
  return std::exchange(*at.raw(), std::max(*at.raw(), value));
}

// ---- small floats

inline float Widen(float x) { return x; }
inline float Widen(Bf16 x) { return ToFloat(x); }
inline float Widen(F16 x) { return ToFloat(x); }
inline float Widen(E4m3 x) { return ToFloat(x); }

// The nearest E4M3, the even one of two; what is past 448 becomes 448.
inline E4m3 RoundToE4m3(float x) {
  const uint8_t sign = std::signbit(x) ? 0x80 : 0;
  if (std::isnan(x)) return {0x7f};
  const float magnitude = std::fabs(x);
  if (magnitude >= 448.0f) return {static_cast<uint8_t>(sign | 0x7e)};
  const int exponent = std::max(magnitude > 0 ? std::ilogb(magnitude) : -6, -6);
  const float steps = std::nearbyint(std::ldexp(magnitude, 3 - exponent));  // of 2^(exponent - 3)
  const int code = (exponent + 7) * 8 + static_cast<int>(steps) - 8;
  return {static_cast<uint8_t>(sign | std::min(code, 0x7e))};
}

template <class T>
T Narrow(float x) {
  if constexpr (std::is_same_v<T, Bf16>) return ToBf16(x);
  if constexpr (std::is_same_v<T, F16>) return ToF16(x);
  if constexpr (std::is_same_v<T, E4m3>) return RoundToE4m3(x);
  if constexpr (std::is_same_v<T, float>) return x;
}

// ---- tensor cores

// d [16, 8] += a [16, K] b [K, 8] in the fragments of mma.sync: a lane's word holds the elements of T that lie side by
// side along k. Their products are exact in f32.
template <class T>
struct Fragments {
  static constexpr int kPerWord = 4 / static_cast<int>(sizeof(T)), kDepth = 8 * kPerWord;
  struct In {
    uint32_t a[4], b[2];
    float d[4];
  };

  static float Element(uint32_t word, int i) {
    T element;
    std::memcpy(&element, reinterpret_cast<const std::byte*>(&word) + static_cast<size_t>(i) * sizeof(T), sizeof(T));
    return Widen(element);
  }
  static In Of(const simt::Exchange& exchange, int lane) {
    In in;
    std::memcpy(&in, exchange.in[lane], sizeof(in));
    return in;
  }
  static void Multiply(simt::Exchange& exchange) {
    float a[16][kDepth], b[kDepth][8];
    for (int lane = 0; lane < 32; ++lane) {
      const In in = Of(exchange, lane);
      const int group = lane / 4, k = lane % 4 * kPerWord;
      for (int i = 0; i < kPerWord; ++i) {
        for (int word = 0; word < 4; ++word) {
          a[group + word % 2 * 8][k + word / 2 * (kDepth / 2) + i] = Element(in.a[word], i);
        }
        for (int word = 0; word < 2; ++word) b[k + word * (kDepth / 2) + i][group] = Element(in.b[word], i);
      }
    }
    for (int lane = 0; lane < 32; ++lane) {
      In in = Of(exchange, lane);
      for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < kDepth; ++k) in.d[i] += a[row][k] * b[k][column];
      }
      std::memcpy(exchange.out[lane], in.d, sizeof(in.d));
    }
  }
};

template <class T>
void Mma(const char* name, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  typename Fragments<T>::In in;
  std::memcpy(in.a, a, sizeof(a));
  std::memcpy(in.b, b, sizeof(b));
  std::memcpy(in.d, d, sizeof(d));
  std::memcpy(d, simt::Meet(name, kFullMask, Fragments<T>::Multiply, &in, sizeof(in)), sizeof(d));
}
inline void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { Mma<Bf16>("mma.bf16", d, a, b); }
inline void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { Mma<F16>("mma.f16", d, a, b); }
inline void MmaE4m3(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { Mma<E4m3>("mma.e4m3", d, a, b); }

struct Tf32 {
  uint32_t bits;
};
inline float Widen(Tf32 x) { return std::bit_cast<float>(x.bits & ~0x1fffu); }
inline void MmaTf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { Mma<Tf32>("mma.tf32", d, a, b); }

// Lane l takes of matrix i the two elements at row l / 4, columns 2 (l % 4) and the next; turned, the roles swap.
template <bool kTurned>
void SpreadMatrices(simt::Exchange& exchange) {
  for (int lane = 0; lane < 32; ++lane) {
    uint16_t pairs[4][2];
    for (int matrix = 0; matrix < 4; ++matrix) {
      for (int i = 0; i < 2; ++i) {
        const int row = kTurned ? lane % 4 * 2 + i : lane / 4, column = kTurned ? lane / 4 : lane % 4 * 2 + i;
        std::memcpy(&pairs[matrix][i], exchange.in[matrix * 8 + row] + 2 * column, 2);
      }
    }
    std::memcpy(exchange.out[lane], pairs, sizeof(pairs));
  }
}
template <class T>
void LdMatrixX4(uint32_t (&r)[4], SharedPtr<T> row) {
  const auto mine = LoadVec<16>(SharedCast<uint8_t>(row));
  std::memcpy(r, simt::Meet("ldmatrix", kFullMask, SpreadMatrices<false>, &mine, sizeof(mine)), sizeof(r));
}
template <class T>
void LdMatrixX4Trans(uint32_t (&r)[4], SharedPtr<T> row) {
  const auto mine = LoadVec<16>(SharedCast<uint8_t>(row));
  std::memcpy(r, simt::Meet("ldmatrix.trans", kFullMask, SpreadMatrices<true>, &mine, sizeof(mine)), sizeof(r));
}

// ---- copies from device to shared memory

template <class T>
void CpAsync16(SharedPtr<T> shared, const void* global, int valid = 16) {
  CheckAligned(shared.raw(), 16);
  if (valid > 0) CheckAligned(global, 16);
  simt::CopyAsync(shared.range(), shared.raw(), global, 16, static_cast<size_t>(valid));
}
inline void CpAsyncCommit() { simt::CommitCopies(); }
template <int N>
void CpAsyncWait() {
  simt::WaitCopies(N);
}

// ---- launches

template <class T>
void CheckArgument(const LaunchConfig& config, const T& value) {
  if constexpr (std::is_pointer_v<T>) {
    if (value != nullptr && !simt::IsDevicePointer(value)) {
      simt::Fail("launch at %s:%d: an argument points to %p, which is no device memory", config.file, config.line,
                 static_cast<const void*>(value));
    }
  }
}

template <class... Params, class... Args>
void Launch(void (*kernel)(Params...), const LaunchConfig& config, Args&&... args) {
  std::tuple<std::decay_t<Params>...> values(static_cast<std::decay_t<Params>>(args)...);
  std::apply([&](const auto&... each) { (CheckArgument(config, each), ...); }, values);
  const simt::LaunchShape shape{config.grid, config.block, config.shared_bytes, config.file, config.line};
  ++simt::TheCounters().launches;
  simt::Enqueue(config.stream, [kernel, shape, values] {
    simt::RunGrid(shape, [&] { std::apply(kernel, values); });
  });
}

}  // namespace braid::cuda
