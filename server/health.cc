#include "server/health.h"

namespace braid {

// While it is busy, the engine shows its numbers once a step, where the step begins.
bool EngineMoves(const EngineStats& stats, int64_t now_ns, int64_t limit_ns) {
  return !stats.busy || now_ns - stats.shown_ns <= limit_ns;
}

}  // namespace braid
