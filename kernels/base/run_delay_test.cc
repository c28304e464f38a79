#include "kernels/base/run_delay.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace braid {
namespace {

void PinToFirstCpu() {
  cpu_set_t allowed, one;
  ASSERT_EQ(sched_getaffinity(getpid(), sizeof(allowed), &allowed), 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
}

void BurnUntil(const std::atomic<bool>& done) {
  while (!done.load(std::memory_order_relaxed)) {
  }
}

TEST(RunDelay, CountsWhatANeighbourOnTheSameCoreTakes) {
  if (access("/proc/thread-self/schedstat", R_OK) != 0) GTEST_SKIP() << "the system has no schedstat";
  std::atomic<bool> done{false};
  int64_t taken = 0;
  std::thread neighbour([&] {
    PinToFirstCpu();
    BurnUntil(done);
  });
  std::thread measured([&] {
    PinToFirstCpu();
    RunDelayMeter meter;
    EXPECT_EQ(meter.TakeNs(), 0);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (taken < 20'000'000 && std::chrono::steady_clock::now() < end) taken += meter.TakeNs();
  });
  measured.join();
  done = true;
  neighbour.join();
  EXPECT_GE(taken, 20'000'000);
}

}  // namespace
}  // namespace braid
