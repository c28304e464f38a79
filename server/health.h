// Whether the engine still moves.
#pragma once

#include <cstdint>

#include "engine/step_stats.h"

namespace braid {

// False when a step has been running for longer than `limit_ns`. `now_ns` is the engine clock's.
bool EngineMoves(const EngineStats& stats, int64_t now_ns, int64_t limit_ns);

}  // namespace braid
