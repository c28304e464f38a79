// How long a thread stood ready in a run queue while others had its core: /proc/thread-self/schedstat, second field.
#pragma once

#include <cstdint>

namespace braid {

// Reads the calling thread's own counter. Thread: the one that made it.
class RunDelayMeter {
 public:
  RunDelayMeter();
  ~RunDelayMeter();
  RunDelayMeter(const RunDelayMeter&) = delete;

  // Nanoseconds since the last call; 0 at the first one, and always where the system does not tell.
  int64_t TakeNs();

 private:
  int file_;
  int64_t last_ns_ = -1;
};

}  // namespace braid
