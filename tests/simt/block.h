// One block of a kernel on the host: its threads are fibers of one thread of the process, each runs until it waits.
// What a GPU would do wrong silently ends the process here, with the kernel's place and the thread in the message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "tests/simt/vector_types.h"

namespace braid::simt {

inline constexpr int kWarpSize = 32;
inline constexpr int kMaxThreads = 1024;
inline constexpr size_t kMaxSharedBytes = 227 * 1024;

struct LaunchShape {
  dim3 grid, block;
  size_t dynamic_shared_bytes = 0;
  const char* file = "";  // where it was launched
  int line = 0;
};

struct Lane {
  uint3 thread_index;
  int index = 0;                // in the block
  uint32_t synced_at = 0;       // its warp's count of __syncwarp when it last took part in one
  const char* waits_at = "";    // null: does not wait
  uint32_t waits_mask = 0;
  struct Fiber* fiber = nullptr;
  bool finished = false;
  int warp() const { return index / kWarpSize; }
  int lane() const { return index % kWarpSize; }
};

struct BlockState {
  LaunchShape shape;
  uint3 block_index;
  const std::function<void()>* body = nullptr;
};

// The thread of a kernel that this thread of the process runs now; null outside kernels.
extern constinit thread_local Lane* here;
extern constinit thread_local BlockState* block;

inline Lane& Here() { return *here; }
inline BlockState& HereBlock() { return *block; }

// Ends the process. Names the place of the thread that runs, when one does.
[[noreturn]] void Fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Runs every block of a launch.
void RunGrid(const LaunchShape& shape, const std::function<void()>& body);

// __syncthreads; returns how many threads brought true.
int SyncThreads(bool vote);

// What the lanes of a mask bring and take when they meet.
struct Exchange {
  alignas(16) std::byte in[kWarpSize][64];
  alignas(16) std::byte out[kWarpSize][16];
  uint32_t mask;
};
using Finish = void (*)(Exchange&);

// Waits for all lanes of `mask` at the same operation; the last of them runs `finish`. Returns this lane's part.
const std::byte* Meet(const char* name, uint32_t mask, Finish finish, const void* in, size_t bytes);

// Meets, and orders shared memory among the lanes.
void SyncWarp(uint32_t mask);

// ---- shared memory

enum class Access : uint8_t { kRead, kWrite, kAtomic };

struct SharedRange {
  std::byte *begin, *end;
};
SharedRange DynamicShared();
// The bytes that all threads of a block know by `key`.
SharedRange StaticShared(const void* key, size_t bytes);

// Checks an access to shared memory: bounds, and whether another thread's access is ordered with it.
void Touch(const SharedRange& range, const void* at, size_t bytes, Access access);

// ---- copies into shared memory that are under way

void CopyAsync(const SharedRange& range, void* shared, const void* global, size_t bytes, size_t valid);
void CommitCopies();
void WaitCopies(int groups_left);

}  // namespace braid::simt
