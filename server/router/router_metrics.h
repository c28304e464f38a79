// What a router counts, and its /metrics.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "server/router/worker_table.h"

namespace braid {

// Thread: any.
struct RouterCounters {
  std::atomic<int> in_flight{0};
  std::atomic<uint64_t> answered{0};      // requests that a worker answered, whatever it said
  std::atomic<uint64_t> failed{0};        // ended with an error of ours
  std::atomic<uint64_t> left{0};          // clients that went away
  std::atomic<uint64_t> retried{0};       // sent again, before anything was told
  std::atomic<uint64_t> resumed{0};       // streams that went on at another worker
  std::atomic<uint64_t> prefilled{0};     // sent with a process to compute the prompt
};

// In Prometheus' text format 0.0.4.
std::string RouterMetrics(const RouterCounters& counters, const WorkerTable& workers);

}  // namespace braid
