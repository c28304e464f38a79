#include "server/shutdown.h"

#include <csignal>
#include <ctime>

namespace braid {
namespace {

sigset_t EndSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

constexpr timespec kPollInterval{0, 50'000'000};  // how late Wake may be noticed

}  // namespace

ShutdownSignal::ShutdownSignal() {
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t set = EndSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void ShutdownSignal::Wait() {
  const sigset_t set = EndSignals();
  while (!woken_ && sigtimedwait(&set, nullptr, &kPollInterval) < 0) {
  }
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace braid
