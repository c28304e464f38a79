#include "kernels/base/team.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

namespace braid {
namespace {

// About 10 us: longer than any operation's imbalance, shorter than a scheduler tick.
constexpr int kSpins = 4000;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits until `word` differs from `old`: spins, then parks on the futex behind atomic::wait.
void WaitForChange(const std::atomic<uint32_t>& word, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    if (word.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  word.wait(old, std::memory_order_acquire);
}

void PinTo(std::thread::native_handle_type thread, int nth) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || seen++ != nth) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    pthread_setaffinity_np(thread, sizeof(one), &one);
    return;
  }
}

int AffinityCpus() {
  cpu_set_t allowed;
  return sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
}

// The cgroup v2 quota in CPUs; infinity when there is none.
double QuotaCpus() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return INFINITY;
  return std::strtod(quota.c_str(), nullptr) / period;
}

}  // namespace

void Barrier::Wait() {
  const uint32_t generation = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
    arrived_.store(0, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    return;
  }
  WaitForChange(generation_, generation);
}

Team::Team(int size, bool pin) : size_(size), barrier_(size) {
  for (int i = 1; i < size; ++i) workers_.emplace_back([this, i] { Work(i); });
  if (!pin || size < 2 || AffinityCpus() < size) return;
  for (int i = 1; i < size; ++i) PinTo(workers_[i - 1].native_handle(), i);
}

Team::~Team() {
  stop_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Team::Run(const std::function<void(const Share&)>& walk) {
  if (size_ > 1) {
    walk_ = &walk;
    unfinished_.store(size_ - 1, std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }
  walk(Share{0, size_, &barrier_});
  for (int spins = 0;;) {
    const int left = unfinished_.load(std::memory_order_acquire);
    if (left == 0) return;
    if (++spins < kSpins) {
      Pause();
    } else {
      unfinished_.wait(left, std::memory_order_acquire);
    }
  }
}

void Team::Work(int index) {
  for (uint32_t round = 0;; ++round) {
    WaitForChange(round_, round);
    if (stop_) return;
    (*walk_)(Share{index, size_, &barrier_});
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_all();
  }
}

int UsableCpus() {
  const double cpus = std::min<double>(AffinityCpus(), QuotaCpus());
  return std::max(1, static_cast<int>(std::floor(cpus)));
}

}  // namespace braid
