// Time as a parameter: the real clock for the daemon, a hand-wound one for tests.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace braid {

// Answers "what time is it" in nanoseconds since an arbitrary start; never goes back. Thread: any.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t NowNs() const = 0;
  double NowSeconds() const { return static_cast<double>(NowNs()) * 1e-9; }
};

class SteadyClock : public Clock {
 public:
  int64_t NowNs() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
};

// Moves only when told to.
class FakeClock : public Clock {
 public:
  int64_t NowNs() const override { return now_ns_.load(); }
  void AdvanceNs(int64_t ns) { now_ns_ += ns; }

 private:
  std::atomic<int64_t> now_ns_{0};
};

}  // namespace braid
