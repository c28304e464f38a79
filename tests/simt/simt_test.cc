// The emulation runs right kernels rightly and ends the process at wrong ones: one deliberately wrong kernel for each
// check.
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/cuda_device.cuh"

namespace braid::cuda {
namespace {

using simt::TheCounters;

// Values in device memory.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& values) : size_(values.size()) {
    void* data = nullptr;
    EXPECT_EQ(cudaMalloc(&data, size_ * sizeof(T)), cudaSuccess);
    data_ = static_cast<T*>(data);
    EXPECT_EQ(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
  }
  ~OnDevice() { cudaFree(data_); }
  OnDevice(const OnDevice&) = delete;
  T* data() const { return data_; }
  std::vector<T> Read() const {
    std::vector<T> values(size_);
    EXPECT_EQ(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

 private:
  T* data_;
  size_t size_;
};

std::vector<float> Count(size_t n) {
  std::vector<float> values(n);
  std::iota(values.begin(), values.end(), 0.0f);
  return values;
}

// Launches a kernel of one block over a copy of `in` and returns what it wrote over zeros.
template <class Kernel>
std::vector<float> RunOn(Kernel* kernel, const std::vector<float>& in, size_t out_size, LaunchConfig config) {
  const OnDevice<float> x(in), y(std::vector<float>(out_size, 0.0f));
  Launch(kernel, config, x.data(), y.data());
  return y.Read();
}

__global__ void SumBlock(const float* x, float* y) {
  BRAID_SHARED(float, slots, 32);
  const float sum = BlockSum<float>(x[threadIdx.x], slots), max = BlockMax(x[threadIdx.x], slots);
  if (threadIdx.x == 0) y[blockIdx.x] = sum + 1000 * max;
}

TEST(Simt, ReducesOverBlocksOfEverySize) {
  for (unsigned warps : {1u, 2u, 7u, 32u}) {
    const unsigned n = 32 * warps;
    const auto y = RunOn(SumBlock, Count(n), 3, {.grid = 3, .block = n});
    for (float sum : y) EXPECT_EQ(sum, n * (n - 1) / 2 + 1000 * (n - 1));
  }
}

__global__ void WriteIndices(const float*, float* y) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  y[block * blockDim.x * blockDim.y * blockDim.z + thread] = 1.0f + thread;
}

TEST(Simt, VisitsEveryThreadOfEveryBlock) {
  const auto y = RunOn(WriteIndices, {0}, 24 * 32, {.grid = dim3(2, 3, 4), .block = dim3(4, 2, 4)});
  for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], 1.0f + i % 32);
}

// ---- races

template <bool kBarrier>
__global__ void ReverseThroughShared(const float* x, float* y) {
  BRAID_SHARED(float, tile, 64);
  tile[threadIdx.x] = x[threadIdx.x];
  if (kBarrier) __syncthreads();
  y[threadIdx.x] = tile[63 - threadIdx.x];
}

TEST(Simt, CatchesMissingBarrier) {
  EXPECT_EQ(RunOn(ReverseThroughShared<true>, Count(64), 64, {.block = 64})[0], 63);
  EXPECT_DEATH(RunOn(ReverseThroughShared<false>, Count(64), 64, {.block = 64}), "simt_test.cc.*race on shared memory");
}

template <bool kBarrier>
__global__ void ReuseTile(const float* x, float* y) {
  BRAID_SHARED(float, tile, 64);
  for (int round = 0; round < 2; ++round) {
    tile[threadIdx.x] = x[threadIdx.x] + round;
    __syncthreads();
    y[threadIdx.x] = tile[(threadIdx.x + 32) % 64];
    if (kBarrier) __syncthreads();
  }
}

TEST(Simt, CatchesWriteOverWhatOthersStillRead) {
  EXPECT_EQ(RunOn(ReuseTile<true>, Count(64), 64, {.block = 64})[0], 33);
  EXPECT_DEATH(RunOn(ReuseTile<false>, Count(64), 64, {.block = 64}), "race on shared memory");
}

template <bool kSync>
__global__ void SwapWithinWarp(const float* x, float* y) {
  BRAID_SHARED(float, tile, 32);
  tile[threadIdx.x] = x[threadIdx.x];
  if (kSync) __syncwarp();
  y[threadIdx.x] = tile[threadIdx.x ^ 1];
}

TEST(Simt, CatchesMissingWarpBarrier) {
  EXPECT_EQ(RunOn(SwapWithinWarp<true>, Count(32), 32, {.block = 32})[0], 1);
  EXPECT_DEATH(RunOn(SwapWithinWarp<false>, Count(32), 32, {.block = 32}), "race on shared memory");
}

template <bool kAtomic>
__global__ void CountInShared(const float*, float* y) {
  BRAID_SHARED(int, counter, 1);
  if (threadIdx.x == 0) counter[0] = 0;
  __syncthreads();
  if (kAtomic) {
    SharedAtomicAdd(counter, 1);
  } else {
    counter[0] += 1;
  }
  __syncthreads();
  y[threadIdx.x] = static_cast<float>(counter[0]);
}

TEST(Simt, AtomicsDoNotRaceAndPlainAdditionsDo) {
  EXPECT_EQ(RunOn(CountInShared<true>, {0}, 96, {.block = 96})[95], 96);
  EXPECT_DEATH(RunOn(CountInShared<false>, {0}, 96, {.block = 96}), "race on shared memory");
}

// ---- bounds, alignment, initial values

__global__ void ReadBehind(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x + 1]; }

TEST(Simt, CatchesReadBehindDeviceBuffer) {
  EXPECT_DEATH(RunOn(ReadBehind, Count(32), 32, {.block = 32}), "out of bounds of device memory: byte 128 of a buffer of 128");
}

__global__ void WriteBefore(const float*, float* y) { y[-1] = 1; }

TEST(Simt, CatchesWriteBeforeDeviceBuffer) {
  EXPECT_DEATH(RunOn(WriteBefore, {0}, 32, {.block = 1}), "before a device buffer of 128 was written");
}

__global__ void ReadBehindShared(const float*, float* y) {
  BRAID_SHARED(float, tile, 32);
  tile[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x + 1];
}

TEST(Simt, CatchesReadBehindSharedArray) {
  EXPECT_DEATH(RunOn(ReadBehindShared, {0}, 32, {.block = 32}), "out of bounds of shared memory: 4 bytes at 128 of 128");
}

__global__ void LoadFour(const float* x, float* y) { y[0] = LoadVec<4>(x + 1).v[0]; }

TEST(Simt, CatchesMisalignedVector) {
  EXPECT_DEATH(RunOn(LoadFour, Count(8), 1, {.block = 1}), "an access of 16 bytes at address");
}

__global__ void ReadFreshShared(const float*, float* y) {
  BRAID_SHARED(float, tile, 1);
  y[0] = tile[0];
  y[1] = DynamicShared<float>()[3];
}

TEST(Simt, FreshSharedMemoryIsNaN) {
  const auto y = RunOn(ReadFreshShared, {0}, 2, {.block = 1, .shared_bytes = 16});
  EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1]));
}

TEST(Simt, CatchesHostPointerAmongArguments) {
  const std::vector<float> host(32);
  const OnDevice<float> y(std::vector<float>(32, 0.0f));
  EXPECT_DEATH(Launch(ReadBehind, {.block = 32}, host.data(), y.data()), "simt_test.cc.*which is no device memory");
}

TEST(Simt, CatchesHostReadingDeviceMemory) {
  const OnDevice<float> x(Count(4));
  x.Read();
  EXPECT_DEATH(std::printf("%f", *const_cast<volatile float*>(x.data())), "the host touched device memory");
}

// ---- lanes that meet

template <int kWrong>
__global__ void ShuffleWith(const float* x, float* y) {
  const unsigned lane = threadIdx.x;
  const float value = x[lane];
  float got = 0;
  if (kWrong == 0 && lane < 8) got = __shfl_xor_sync(0xffu, value, 1);
  if (kWrong == 1 && lane < 8) got = __shfl_xor_sync(0xffu, value, 8);       // from a lane outside of the mask
  if (kWrong == 2 && lane < 8) got = __shfl_xor_sync(kFullMask, value, 1);   // the others do not come
  if (kWrong == 3) got = __shfl_xor_sync(0xffu, value, 1);                   // lanes outside of the mask do
  if (kWrong == 4) got = lane < 8 ? __shfl_up_sync(kFullMask, value, 1) : __shfl_down_sync(kFullMask, value, 1);
  y[lane] = got;
}

TEST(Simt, CatchesWrongShuffleMasks) {
  EXPECT_EQ(RunOn(ShuffleWith<0>, Count(32), 32, {.block = 32})[2], 3);
  EXPECT_DEATH(RunOn(ShuffleWith<1>, Count(32), 32, {.block = 32}), "shuffles from lane 8, which is not in mask 000000ff");
  EXPECT_DEATH(RunOn(ShuffleWith<2>, Count(32), 32, {.block = 32}), "stuck: waits in __shfl_xor_sync .mask ffffffff.*has ended");
  EXPECT_DEATH(RunOn(ShuffleWith<3>, Count(32), 32, {.block = 32}), "mask 000000ff, which leaves out its own lane");
  EXPECT_DEATH(RunOn(ShuffleWith<4>, Count(32), 32, {.block = 32}), "meet in __shfl_up_sync and in __shfl_down_sync");
}

__global__ void ShuffleAndVote(const float* x, float* y) {
  const int lane = static_cast<int>(threadIdx.x);
  const float up = __shfl_up_sync(kFullMask, x[lane], 1), down = __shfl_down_sync(kFullMask, x[lane], 1, 8);
  const float third = __shfl_sync(kFullMask, x[lane], 3, 16);
  const unsigned odd = __ballot_sync(kFullMask, lane & 1);
  const bool any = __any_sync(kFullMask, lane == 5), all = __all_sync(kFullMask, lane < 31);
  y[lane] = up + 100 * down + 10000 * third + (odd == 0xaaaaaaaau && any && !all ? 0.5f : 0.0f);
}

TEST(Simt, ShufflesStopAtTheirSegments) {
  const auto y = RunOn(ShuffleAndVote, Count(32), 32, {.block = 32});
  EXPECT_EQ(y[0], 0 + 100 * 1 + 30000 + 0.5f);
  EXPECT_EQ(y[7], 6 + 100 * 7 + 30000 + 0.5f);
  EXPECT_EQ(y[31], 30 + 100 * 31 + 190000 + 0.5f);
}

__global__ void BarrierOfSome(const float*, float* y) {
  if (threadIdx.x < 32) __syncthreads();
  y[threadIdx.x] = __shfl_xor_sync(kFullMask, 1.0f, 1);
  if (threadIdx.x >= 32) __shfl_xor_sync(threadIdx.x % 2 == 0 ? 0x3u : kFullMask, 1.0f, 1);
}

TEST(Simt, CatchesThreadsThatWaitForEachOtherInVain) {
  EXPECT_DEATH(RunOn(BarrierOfSome, {0}, 64, {.block = 64}), "simt: .*(leaves out|stuck)");
}

// ---- asynchronous copies

template <bool kWait>
__global__ void CopyIn(const float* x, float* y) {
  BRAID_SHARED(float, tile, 128);
  CpAsync16(tile + 4 * threadIdx.x, x + 4 * threadIdx.x, threadIdx.x == 31 ? 8 : 16);
  CpAsyncCommit();
  if (kWait) CpAsyncWait<0>();
  __syncthreads();
  for (int i = 0; i < 4; ++i) y[4 * threadIdx.x + i] = tile[127 - 4 * threadIdx.x - i];
  if (!kWait) CpAsyncWait<0>();
}

TEST(Simt, AsynchronousCopiesArriveWhenWaitedFor) {
  const auto right = RunOn(CopyIn<true>, Count(128), 128, {.block = 32});
  EXPECT_EQ(right[127], 0);
  EXPECT_EQ(right[2], 125);
  EXPECT_EQ(right[0], 0);  // past the valid bytes
  EXPECT_DEATH(RunOn(CopyIn<false>, Count(128), 128, {.block = 32}), "race on shared memory");
}

// ---- tensor cores

// One warp multiplies a [16, depth] by b [depth, 8], elements loaded as PTX's tables say.
template <class T, int kDepth, void (*kMma)(float (&)[4], const uint32_t (&)[4], const uint32_t (&)[2])>
__global__ void MultiplyTile(const T* a, const T* b, float* y) {
  constexpr int kPerWord = 4 / sizeof(T);
  const int group = threadIdx.x / 4, k = threadIdx.x % 4 * kPerWord;
  uint32_t fa[4], fb[2];
  float d[4] = {1, 1, 1, 1};
  for (int i = 0; i < 4; ++i) std::memcpy(&fa[i], a + (group + i % 2 * 8) * kDepth + k + i / 2 * kDepth / 2, 4);
  for (int i = 0; i < 2; ++i) std::memcpy(&fb[i], b + group * kDepth + k + i * kDepth / 2, 4);
  kMma(d, fa, fb);
  for (int i = 0; i < 4; ++i) y[(group + i / 2 * 8) * 8 + threadIdx.x % 4 * 2 + i % 2] = d[i];
}

template <class T, int kDepth, void (*kMma)(float (&)[4], const uint32_t (&)[4], const uint32_t (&)[2])>
void ExpectProduct() {
  std::vector<T> a, b;
  for (int i = 0; i < 16 * kDepth; ++i) a.push_back(Narrow<T>(static_cast<float>(i * 7 % 13 - 6)));
  for (int i = 0; i < 8 * kDepth; ++i) b.push_back(Narrow<T>(static_cast<float>(i * 5 % 11 - 5)));
  const OnDevice<T> da(a), db(b);
  const OnDevice<float> y(std::vector<float>(128, 0.0f));
  Launch(MultiplyTile<T, kDepth, kMma>, {.block = 32}, da.data(), db.data(), y.data());
  const std::vector<float> got = y.Read();
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float want = 1;
      for (int k = 0; k < kDepth; ++k) want += Widen(a[row * kDepth + k]) * Widen(b[column * kDepth + k]);
      EXPECT_EQ(got[row * 8 + column], want);
    }
  }
}

TEST(Simt, MultipliesTiles) {
  ExpectProduct<Bf16, 16, MmaBf16>();
  ExpectProduct<F16, 16, MmaF16>();
  ExpectProduct<E4m3, 32, MmaE4m3>();
}

template <bool kTurned>
__global__ void LoadMatrices(const float*, float* y) {
  BRAID_SHARED(uint16_t, tile, 256);
  for (int i = threadIdx.x; i < 256; i += 32) tile[i] = static_cast<uint16_t>(i);
  __syncthreads();
  uint32_t r[4];
  if (kTurned) {
    LdMatrixX4Trans(r, tile + 8 * threadIdx.x);
  } else {
    LdMatrixX4(r, tile + 8 * threadIdx.x);
  }
  for (int i = 0; i < 4; ++i) {
    y[threadIdx.x * 8 + 2 * i] = static_cast<float>(r[i] & 0xffff);
    y[threadIdx.x * 8 + 2 * i + 1] = static_cast<float>(r[i] >> 16);
  }
}

TEST(Simt, LoadsMatricesStraightAndTurned) {
  const auto straight = RunOn(LoadMatrices<false>, {0}, 256, {.block = 32});
  const auto turned = RunOn(LoadMatrices<true>, {0}, 256, {.block = 32});
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 8; ++i) {
      const int matrix = i / 2, major = lane / 4, minor = lane % 4 * 2 + i % 2;
      EXPECT_EQ(straight[lane * 8 + i], matrix * 64 + major * 8 + minor);
      EXPECT_EQ(turned[lane * 8 + i], matrix * 64 + minor * 8 + major);
    }
  }
}

TEST(Simt, E4m3RoundsToNearestEven) {
  for (int code = 0; code < 256; ++code) {
    const E4m3 x{static_cast<uint8_t>(code)};
    if (IsNan(x)) continue;
    EXPECT_EQ(Narrow<E4m3>(Widen(x)).bits, code);
    const E4m3 next{static_cast<uint8_t>(code + 1)};
    if (IsNan(next)) continue;
    const float middle = (Widen(x) + Widen(next)) / 2;
    EXPECT_EQ(Narrow<E4m3>(middle).bits, code % 2 == 0 ? code : code + 1);
  }
  EXPECT_EQ(Narrow<E4m3>(1e9f).bits, 0x7e);
}

// ---- the runtime

__global__ void AddOne(float* x) { x[threadIdx.x] += 1; }

struct Stream {
  cudaStream_t stream;
  Stream() { cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking); }
  ~Stream() { cudaStreamDestroy(stream); }
};

TEST(SimtRuntime, WorkIsDoneWhenWaitedFor) {
  const Stream s;
  const OnDevice<float> x({1});
  void* pinned = nullptr;
  cudaMallocHost(&pinned, 4);
  auto* const value = static_cast<float*>(pinned);
  *value = 0;
  Launch(AddOne, {.block = 1, .stream = s.stream}, x.data());
  cudaMemcpyAsync(pinned, x.data(), 4, cudaMemcpyDeviceToHost, s.stream);
  EXPECT_EQ(*value, 0);
  cudaStreamSynchronize(s.stream);
  EXPECT_EQ(*value, 2);
  cudaFreeHost(pinned);
}

TEST(SimtRuntime, RecordingsRepeatTheirLaunches) {
  const Stream s;
  const OnDevice<float> x({1});
  cudaStreamBeginCapture(s.stream, cudaStreamCaptureModeRelaxed);
  Launch(AddOne, {.block = 1, .stream = s.stream}, x.data());
  Launch(AddOne, {.block = 1, .stream = s.stream}, x.data());
  cudaGraph_t graph;
  cudaStreamEndCapture(s.stream, &graph);
  cudaGraphExec_t exec;
  cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  EXPECT_EQ(x.Read()[0], 1);
  for (int i = 0; i < 3; ++i) cudaGraphLaunch(exec, s.stream);
  cudaStreamSynchronize(s.stream);
  EXPECT_EQ(x.Read()[0], 7);
  cudaGraphExecDestroy(exec);
}

TEST(SimtRuntime, CatchesAsynchronousCopyFromMemoryNotPinned) {
  const Stream s;
  const OnDevice<float> x({1});
  float host = 2;
  EXPECT_DEATH(cudaMemcpyAsync(x.data(), &host, 4, cudaMemcpyHostToDevice, s.stream), "from memory not pinned");
}

TEST(SimtRuntime, CountsLaunchesAndAllocations) {
  const auto before = TheCounters();
  const OnDevice<float> x({1});
  Launch(AddOne, {.block = 1}, x.data());
  EXPECT_EQ(TheCounters().allocations - before.allocations, 1);
  EXPECT_EQ(TheCounters().launches - before.launches, 1);
}

TEST(SimtRuntime, AFullDeviceSaysSo) {
  void* data = nullptr;
  simt::FailNextAllocation();
  EXPECT_EQ(cudaMalloc(&data, 16), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&data, size_t{1} << 50), cudaErrorMemoryAllocation);
}

}  // namespace
}  // namespace braid::cuda
