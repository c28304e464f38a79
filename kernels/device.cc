#include "kernels/device.h"

#include <cuda_runtime_api.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/base/log.h"

namespace braid::device {
namespace {

// Pinned memory through which whole copies go, half by half: one is filled while the other is under way.
constexpr size_t kStagingBytes = size_t{8} << 20;

// Thread: any, one at a time per instance.
struct Staging {
  Stream stream;
  Bytes halves[2];
  Event done[2];

  Staging() {
    for (Bytes& half : halves) {
      absl::StatusOr<Bytes> pinned = AllocatePinned(kStagingBytes);
      CHECK(pinned.ok()) << pinned.status();
      half = *std::move(pinned);
    }
  }
};

Staging& TheStaging() {
  static thread_local Staging staging;
  return staging;
}

using Hear = std::function<void(const absl::Status&)>;
// Thread: the one that runs the device.
Hear& TheHearer() {
  static auto* const hearer = new Hear;
  return *hearer;
}

void FreeDeviceBytes(std::byte* data, size_t) { Require(cudaFree(data), "cudaFree"); }
void FreePinnedBytes(std::byte* data, size_t) { Require(cudaFreeHost(data), "cudaFreeHost"); }

int Attribute(cudaDeviceAttr attribute) {
  int value = 0;
  Require(cudaDeviceGetAttribute(&value, attribute, 0), "cudaDeviceGetAttribute");
  return value;
}

}  // namespace

void Require(int error, const char* what) {
  if (error == cudaSuccess) return;
  const char* const words = cudaGetErrorString(static_cast<cudaError_t>(error));
  Log(LogLevel::kError, "the CUDA device failed", {{"call", what}, {"error", words}});
  // What hears may meet the error again.
  if (const Hear hear = std::exchange(TheHearer(), nullptr)) {
    hear(absl::InternalError(absl::StrCat("the CUDA device failed: ", words)));
  }
  _exit(kDeviceErrorExit);
}

void OnFailure(std::function<void(const absl::Status&)> hear) { TheHearer() = std::move(hear); }

absl::Status FindDevice() {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess || count == 0) {
    return absl::NotFoundError(absl::StrCat("--device: cuda: no CUDA device can be used (",
                                            error == cudaSuccess ? "none is there" : cudaGetErrorString(error),
                                            "); --device cpu needs none"));
  }
  return absl::OkStatus();
}

std::string DeviceName() {
  cudaDeviceProp properties;
  Require(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  return absl::StrCat("sm_", Attribute(cudaDevAttrComputeCapabilityMajor),
                      Attribute(cudaDevAttrComputeCapabilityMinor), " ", properties.name);
}

int NumProcessors() {
  static const int processors = Attribute(cudaDevAttrMultiProcessorCount);
  return processors;
}

MemoryInfo Memory() {
  size_t free_bytes = 0, total_bytes = 0;
  Require(cudaMemGetInfo(&free_bytes, &total_bytes), "cudaMemGetInfo");
  return {static_cast<int64_t>(free_bytes), static_cast<int64_t>(total_bytes)};
}

absl::StatusOr<Bytes> Allocate(size_t bytes) {
  void* data = nullptr;
  if (bytes == 0) return Bytes();
  if (const cudaError_t error = cudaMalloc(&data, bytes); error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it is answered, and no longer pending
    return absl::ResourceExhaustedError(
        absl::StrCat("the CUDA device has ", Memory().free_bytes, " bytes left, of which ", bytes,
                     " were wanted in one piece; lower --memory, --max-sequences or --max-tokens-per-step, or take a"
                     " smaller or more quantized model"));
  } else {
    Require(error, "cudaMalloc");
  }
  Require(cudaMemset(data, 0, bytes), "cudaMemset");
  // Streams that do not wait for the default one may use it at once.
  Require(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  return Bytes(static_cast<std::byte*>(data), bytes, FreeDeviceBytes);
}

absl::StatusOr<Bytes> AllocatePinned(size_t bytes) {
  void* data = nullptr;
  if (bytes == 0) return Bytes();
  if (const cudaError_t error = cudaMallocHost(&data, bytes); error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    return absl::ResourceExhaustedError(absl::StrCat("the host has no ", bytes, " bytes that can be pinned"));
  } else {
    Require(error, "cudaMallocHost");
  }
  std::memset(data, 0, bytes);
  return Bytes(static_cast<std::byte*>(data), bytes, FreePinnedBytes);
}

void Upload(const void* host, void* device, size_t bytes) {
  Staging& staging = TheStaging();
  const auto* from = static_cast<const std::byte*>(host);
  auto* to = static_cast<std::byte*>(device);
  for (int half = 0; bytes > 0; half = 1 - half) {
    const size_t part = std::min(bytes, kStagingBytes);
    staging.done[half].Wait();
    std::memcpy(staging.halves[half].data(), from, part);
    staging.stream.CopyIn(staging.halves[half].data(), to, part);
    staging.done[half].Record(staging.stream);
    from += part;
    to += part;
    bytes -= part;
  }
  staging.stream.Wait();
}

void Download(const void* device, void* host, size_t bytes) {
  Require(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost), "cudaMemcpy");
}

Stream::Stream() { Require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate"); }
Stream::~Stream() { cudaStreamDestroy(stream_); }
void Stream::Wait() { Require(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

void Stream::CopyIn(const void* pinned, void* device, size_t bytes) {
  Require(cudaMemcpyAsync(device, pinned, bytes, cudaMemcpyHostToDevice, stream_), "cudaMemcpyAsync in");
}
void Stream::CopyOut(const void* device, void* pinned, size_t bytes) {
  Require(cudaMemcpyAsync(pinned, device, bytes, cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync out");
}
void Stream::CopyWithin(const void* from, void* to, size_t bytes) {
  Require(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "cudaMemcpyAsync");
}

void Stream::BeginRecording() {
  Require(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
}
cudaGraphExec_t Stream::EndRecording() {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t recording = nullptr;
  Require(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
  Require(cudaGraphInstantiate(&recording, graph, 0), "cudaGraphInstantiate");
  Require(cudaGraphDestroy(graph), "cudaGraphDestroy");
  return recording;
}
void Stream::Replay(cudaGraphExec_t recording) { Require(cudaGraphLaunch(recording, stream_), "cudaGraphLaunch"); }

void Forget(cudaGraphExec_t recording) { Require(cudaGraphExecDestroy(recording), "cudaGraphExecDestroy"); }

Event::Event() { Require(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate"); }
Event::~Event() { cudaEventDestroy(event_); }
void Event::Record(const Stream& stream) { Require(cudaEventRecord(event_, stream.get()), "cudaEventRecord"); }
void Event::Wait() { Require(cudaEventSynchronize(event_), "cudaEventSynchronize"); }

}  // namespace braid::device
