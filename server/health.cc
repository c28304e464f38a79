#include "server/health.h"

namespace braid {

bool EngineHealth::IsLive(const EngineStats& stats, int64_t now_ns) {
  std::lock_guard lock(mutex_);
  if (moved_ns_ < 0 || !stats.busy || stats.steps != steps_) {
    steps_ = stats.steps;
    moved_ns_ = now_ns;
  }
  return now_ns - moved_ns_ <= limit_ns_;
}

}  // namespace braid
