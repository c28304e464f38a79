#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "tests/simt/block.h"
#include "tests/simt/device_memory.h"
#include "tests/simt/stream.h"

using Work = std::function<void()>;

struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st {
  std::vector<Work> work;
};
struct CUstream_st {
  CUgraph_st* recording = nullptr;
};
struct CUevent_st {
  int64_t ticket = 0;  // how much of the line must be done
};

namespace braid::simt {
namespace {

struct Line {
  std::recursive_mutex mutex;
  std::deque<Work> waiting;
  int64_t joined = 0, done = 0;
  Counters counters;
  bool fail_next_allocation = false;
  cudaError_t sticky = cudaSuccess;
};
Line& TheLine() {
  static auto* const line = new Line;
  return *line;
}

cudaError_t WorkUntil(int64_t ticket) {
  Line& line = TheLine();
  const std::lock_guard lock(line.mutex);
  if (line.done >= ticket) return line.sticky;
  ++line.counters.waits;
  const DeviceAccess access;
  while (line.done < ticket && line.sticky == cudaSuccess) {
    const Work work = std::move(line.waiting.front());
    line.waiting.pop_front();
    work();
    ++line.done;
  }
  return line.sticky;
}

cudaError_t WorkAll() { return WorkUntil(TheLine().joined); }

void CheckCopy(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (IsDevice(to, bytes) != to_device) Fail("a copy of %zu bytes to %p, which lies elsewhere", bytes, to);
  if (IsDevice(from, bytes) != from_device) Fail("a copy of %zu bytes from %p, which lies elsewhere", bytes, from);
}

void CheckPinned(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyHostToDevice && !IsPinned(from, bytes)) Fail("an asynchronous copy from memory not pinned");
  if (kind == cudaMemcpyDeviceToHost && !IsPinned(to, bytes)) Fail("an asynchronous copy to memory not pinned");
}

void CountCopy(cudaMemcpyKind kind) {
  if (kind == cudaMemcpyHostToDevice) ++TheLine().counters.copies_in;
  if (kind == cudaMemcpyDeviceToHost) ++TheLine().counters.copies_out;
}

cudaError_t Sticky() { return TheLine().sticky; }

}  // namespace

void Enqueue(cudaStream_t stream, std::function<void()> work) {
  Line& line = TheLine();
  const std::lock_guard lock(line.mutex);
  if (stream != nullptr && stream->recording != nullptr) {
    stream->recording->work.push_back(std::move(work));
    return;
  }
  line.waiting.push_back(std::move(work));
  ++line.joined;
}

Counters& TheCounters() { return TheLine().counters; }
void FailNextAllocation() { TheLine().fail_next_allocation = true; }
void FailDevice() { TheLine().sticky = cudaErrorLaunchFailure; }

}  // namespace braid::simt

using namespace braid::simt;  // NOLINT: these are the bodies of a C interface

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return Sticky();
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  std::strcpy(properties->name, "emulated");
  return Sticky();
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = 4; break;
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(kMaxSharedBytes); break;
  }
  return Sticky();
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  *total_bytes = DeviceBytes();
  *free_bytes = DeviceBytes() - DeviceBytesUsed();
  return Sticky();
}
cudaError_t cudaGetLastError() { return Sticky(); }
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorLaunchFailure: return "unspecified launch failure";
    default: return "an error";
  }
}

cudaError_t cudaMalloc(void** data, size_t bytes) {
  ++TheCounters().allocations;
  *data = std::exchange(TheLine().fail_next_allocation, false) ? nullptr : AllocateDevice(bytes);
  return *data != nullptr ? Sticky() : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* data) {
  if (data == nullptr) return Sticky();
  WorkAll();
  FreeDevice(data);
  return Sticky();
}
cudaError_t cudaMallocHost(void** data, size_t bytes) {
  ++TheCounters().allocations;
  *data = AllocatePinned(bytes);
  return Sticky();
}
cudaError_t cudaFreeHost(void* data) {
  if (data == nullptr) return Sticky();
  WorkAll();
  FreePinned(data);
  return Sticky();
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (const cudaError_t error = WorkAll(); error != cudaSuccess || bytes == 0) return error;
  CheckCopy(to, from, bytes, kind);
  const DeviceAccess access;
  std::memmove(to, from, bytes);
  return Sticky();
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (bytes == 0) return Sticky();
  CheckCopy(to, from, bytes, kind);
  CheckPinned(to, from, bytes, kind);
  CountCopy(kind);
  Enqueue(stream, [=] { std::memmove(to, from, bytes); });
  return Sticky();
}
cudaError_t cudaMemset(void* data, int value, size_t bytes) {
  if (const cudaError_t error = WorkAll(); error != cudaSuccess || bytes == 0) return error;
  if (!IsDevice(data, bytes)) Fail("%zu bytes at %p are set and are no device memory", bytes, data);
  if (value == 0) {
    ZeroDevice(data, bytes);
  } else {
    const DeviceAccess access;
    std::memset(data, value, bytes);
  }
  return Sticky();
}
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return Sticky();
  if (!IsDevice(data, bytes)) Fail("%zu bytes at %p are set and are no device memory", bytes, data);
  Enqueue(stream, [=] { std::memset(data, value, bytes); });
  return Sticky();
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  return Sticky();
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return Sticky();
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (stream != nullptr && stream->recording != nullptr) Fail("a stream is waited for while it is recorded");
  return WorkAll();
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return Sticky(); }
cudaError_t cudaDeviceSynchronize() { return WorkAll(); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return Sticky();
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return Sticky();
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->ticket = TheLine().joined;
  return Sticky();
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return WorkUntil(event->ticket); }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream->recording != nullptr) Fail("a stream is recorded twice");
  stream->recording = new CUgraph_st;
  return Sticky();
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = std::exchange(stream->recording, nullptr);
  return Sticky();
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new CUgraphExec_st{graph->work};
  return Sticky();
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return Sticky();
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  WorkAll();
  delete exec;
  return Sticky();
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  ++TheCounters().replays;
  for (const Work& work : exec->work) Enqueue(stream, work);
  return Sticky();
}
