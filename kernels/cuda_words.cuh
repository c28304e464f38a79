// cuda_device.cuh's words as the GPU's instructions; PTX ISA 8, sm_80 and later.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

namespace braid::cuda {

// ---- shared memory

template <class T>
using SharedPtr = T*;

template <class To, class From>
__device__ __forceinline__ To* SharedCast(From* at) {
  return reinterpret_cast<To*>(at);
}

#define BRAID_SHARED(type, name, count) __shared__ __align__(128) type name[count]

template <class T>
__device__ __forceinline__ T* DynamicShared() {
  extern __shared__ __align__(128) unsigned char braid_dynamic_shared[];
  return reinterpret_cast<T*>(braid_dynamic_shared);
}

__device__ __forceinline__ unsigned SharedAddress(const void* at) {
  return static_cast<unsigned>(__cvta_generic_to_shared(at));
}

// ---- vectors, of device and shared memory

template <int N, class T>
__device__ __forceinline__ Vec<T, N> LoadVec(const T* at) {
  return *reinterpret_cast<const Vec<T, N>*>(at);
}
template <int N, class T>
__device__ __forceinline__ void StoreVec(T* at, const Vec<T, N>& value) {
  *reinterpret_cast<Vec<T, N>*>(at) = value;
}

template <class T>
__device__ __forceinline__ T SharedAtomicAdd(T* at, T value) {
  return atomicAdd(at, value);
}
template <class T>
__device__ __forceinline__ T SharedAtomicMax(T* at, T value) {
  return atomicMax(at, value);
}

// ---- small floats, rounding to nearest even; to E4M3 with saturation at 448

__device__ __forceinline__ float Widen(float x) { return x; }
__device__ __forceinline__ float Widen(Bf16 x) { return __uint_as_float(static_cast<unsigned>(x.bits) << 16); }
__device__ __forceinline__ float Widen(F16 x) { return __half2float(__ushort_as_half(x.bits)); }
__device__ __forceinline__ float Widen(E4m3 x) {
  return __half2float(__half(__nv_cvt_fp8_to_halfraw(x.bits, __NV_E4M3)));
}
template <class T>
__device__ __forceinline__ T Narrow(float x);
template <>
__device__ __forceinline__ float Narrow<float>(float x) { return x; }
template <>
__device__ __forceinline__ Bf16 Narrow<Bf16>(float x) { return {__bfloat16_as_ushort(__float2bfloat16_rn(x))}; }
template <>
__device__ __forceinline__ F16 Narrow<F16>(float x) { return {__half_as_ushort(__float2half_rn(x))}; }
template <>
__device__ __forceinline__ E4m3 Narrow<E4m3>(float x) {
  return {static_cast<uint8_t>(__nv_cvt_float_to_fp8(x, __NV_SATFINITE, __NV_E4M3))};
}

// ---- tensor cores: d += a b, fragments as PTX lays them out (mma.sync, row.col)

// a [16, 16], b [16, 8] of bf16 or f16, d [16, 8] of f32.
__device__ __forceinline__ void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// a [16, 8], b [8, 8] of tf32: f32 bits whose low 13 are not read.
__device__ __forceinline__ void MmaTf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// a [16, 32], b [32, 8] of E4M3.
__device__ __forceinline__ void MmaE4m3([[maybe_unused]] float (&d)[4], [[maybe_unused]] const uint32_t (&a)[4],
                                        [[maybe_unused]] const uint32_t (&b)[2]) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
  asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// Four 8x8 matrices of 2-byte elements; lane l gives the address of row l % 8 of matrix l / 8.
__device__ __forceinline__ void LdMatrixX4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(row))
               : "memory");
}
__device__ __forceinline__ void LdMatrixX4Trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(row))
               : "memory");
}

// ---- copies from device to shared memory beside the arithmetic

// Copies 16 bytes, both addresses multiples of 16; of them the first `valid` (0..16) are read, the rest become zero.
__device__ __forceinline__ void CpAsync16(void* shared, const void* global, int valid = 16) {
  asm volatile("cp.async.cg.shared.global [%0],[%1],16,%2;" ::"r"(SharedAddress(shared)), "l"(global), "r"(valid)
               : "memory");
}
__device__ __forceinline__ void CpAsyncCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most N groups of this thread are under way; others' copies need a barrier behind it.
template <int N>
__device__ __forceinline__ void CpAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// ---- launches

template <class... Params, class... Args>
void Launch(void (*kernel)(Params...), const LaunchConfig& config, Args&&... args) {
  if (config.shared_bytes > 48 * 1024) {
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(config.shared_bytes));
  }
  kernel<<<config.grid, config.block, config.shared_bytes, config.stream>>>(static_cast<Params>(args)...);
  const cudaError_t error = cudaPeekAtLastError();
  CHECK(error == cudaSuccess) << "launch at " << config.file << ":" << config.line << ": " << cudaGetErrorString(error);
}

}  // namespace braid::cuda
