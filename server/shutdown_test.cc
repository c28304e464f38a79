#include "server/shutdown.h"

#include <csignal>
#include <unistd.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace braid {
namespace {

TEST(ShutdownSignal, WaitReturnsAtTheFirstSignal) {
  ShutdownSignal signal;
  kill(getpid(), SIGTERM);
  signal.Wait();
}

TEST(ShutdownSignal, WaitReturnsWhenWoken) {
  ShutdownSignal signal;
  std::thread waker([&] { signal.Wake(); });
  signal.Wait();
  waker.join();
}

TEST(ShutdownSignalDeathTest, TheSecondSignalEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ShutdownSignal signal;
        kill(getpid(), SIGINT);
        signal.Wait();
        kill(getpid(), SIGTERM);
        pause();
      },
      testing::KilledBySignal(SIGTERM), testing::_);
}

}  // namespace
}  // namespace braid
