#include "kernels/base/run_delay.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

namespace braid {

RunDelayMeter::RunDelayMeter() : file_(open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)) {}

RunDelayMeter::~RunDelayMeter() {
  if (file_ >= 0) close(file_);
}

int64_t RunDelayMeter::TakeNs() {
  char text[96];
  const ssize_t length = file_ < 0 ? -1 : pread(file_, text, sizeof(text) - 1, 0);
  if (length <= 0) return 0;
  text[length] = '\0';
  char* after_run_time = nullptr;
  std::strtoll(text, &after_run_time, 10);
  const int64_t now_ns = std::strtoll(after_run_time, nullptr, 10);
  const int64_t taken = last_ns_ < 0 ? 0 : now_ns - last_ns_;
  last_ns_ = now_ns;
  return taken;
}

}  // namespace braid
