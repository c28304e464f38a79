// Device memory, streams, events and recorded launches as plain types: above the kernels nobody names CUDA.
//
// An error of the device is sticky: it ends the process with kDeviceErrorExit after a message, for nothing that was
// computed since can be trusted. Only memory that cannot be had is a Status.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/tensor.h"

typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
typedef struct CUgraphExec_st* cudaGraphExec_t;

namespace braid::device {

inline constexpr int kDeviceErrorExit = 71;

// Ends the process unless `error` (a cudaError_t) is cudaSuccess.
void Require(int error, const char* what);
// What hears of the error before that, on the thread that met it; null: nobody.
void OnFailure(std::function<void(const absl::Status&)> hear);

// NotFound that says why when no device can be used.
absl::Status FindDevice();
std::string DeviceName();    // "sm_90 NVIDIA H200"
int NumProcessors();         // multiprocessors of the device
struct MemoryInfo {
  int64_t free_bytes = 0, total_bytes = 0;
};
MemoryInfo Memory();

// Zeroed memory of the device, aligned to 16 at least. ResourceExhausted when there is not enough.
absl::StatusOr<Bytes> Allocate(size_t bytes);
// Zeroed memory of the host that copies run from and to without a detour.
absl::StatusOr<Bytes> AllocatePinned(size_t bytes);

// Whole copies, done when they return. Uploads go through pinned buffers.
void Upload(const void* host, void* device, size_t bytes);
void Download(const void* device, void* host, size_t bytes);

// Thread: one at a time.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }
  void Wait();
  void CopyIn(const void* pinned, void* device, size_t bytes);
  void CopyOut(const void* device, void* pinned, size_t bytes);
  void CopyWithin(const void* from, void* to, size_t bytes);
  // Everything launched between the two is recorded and not run.
  void BeginRecording();
  cudaGraphExec_t EndRecording();
  void Replay(cudaGraphExec_t recording);

 private:
  cudaStream_t stream_;
};

void Forget(cudaGraphExec_t recording);

class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  void Record(const Stream& stream);
  void Wait();  // at once when it was never recorded

 private:
  cudaEvent_t event_;
};

}  // namespace braid::device
