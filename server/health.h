// Whether the engine still moves.
#pragma once

#include <cstdint>
#include <mutex>

#include "engine/step_stats.h"

namespace braid {

// Thread: any.
class EngineHealth {
 public:
  explicit EngineHealth(int64_t limit_ns) : limit_ns_(limit_ns) {}

  // Returns false when the engine has had work for longer than the limit without ending a step. `now_ns` is the engine
  // clock's. Judges by what it saw at earlier calls, so it wants to be asked now and then.
  bool IsLive(const EngineStats& stats, int64_t now_ns);

 private:
  const int64_t limit_ns_;
  std::mutex mutex_;
  uint64_t steps_ = 0;
  int64_t moved_ns_ = -1;  // when it was last seen idle or with a new step
};

}  // namespace braid
