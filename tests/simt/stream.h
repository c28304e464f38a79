// The line of work behind the runtime's streams; kernels join it by Enqueue. Thread: any, one at a time.
#pragma once

#include <functional>

#include "tests/simt/cuda_runtime_api.h"

namespace braid::simt {

// Puts work at the end of the line, or into the recording of `stream` while there is one.
void Enqueue(cudaStream_t stream, std::function<void()> work);

// How often the runtime was asked for something since the process began: what a step may not do is counted here.
struct Counters {
  int64_t allocations = 0, waits = 0, launches = 0, copies_in = 0, copies_out = 0, replays = 0;
};
Counters& TheCounters();

// The next allocation of device memory fails, as if the device were full.
void FailNextAllocation();
// The next wait answers cudaErrorLaunchFailure, and so does all that follows.
void FailDevice();

}  // namespace braid::simt
