#include "kernels/base/team.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <string>

#include "kernels/base/errors.h"
#include "kernels/base/run_delay.h"

namespace braid {
namespace {

// About 10 us: longer than any operation's imbalance, shorter than a scheduler tick.
constexpr int kSpins = 4000;

// Of walks between two looks at how long members had to wait for their cores.
constexpr int64_t kWindowNs = 60'000'000;

inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits until `word` differs from `old`: spins, then parks on the futex behind atomic::wait. Returns the new value.
uint32_t WaitForChange(const std::atomic<uint32_t>& word, uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    const uint32_t now = word.load(std::memory_order_acquire);
    if (now != old) return now;
    Pause();
  }
  word.wait(old, std::memory_order_acquire);
  return word.load(std::memory_order_acquire);
}

int64_t NowNs() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

// Of the process's main thread: members' own masks are narrower once they are pinned.
bool AllowedCpus(cpu_set_t* allowed) { return sched_getaffinity(getpid(), sizeof(*allowed), allowed) == 0; }

void PinTo(std::thread::native_handle_type thread, int nth) {
  cpu_set_t allowed;
  if (!AllowedCpus(&allowed)) return;
  for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || seen++ != nth) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    pthread_setaffinity_np(thread, sizeof(one), &one);
    return;
  }
}

void Unpin(std::thread::native_handle_type thread) {
  cpu_set_t allowed;
  if (AllowedCpus(&allowed)) pthread_setaffinity_np(thread, sizeof(allowed), &allowed);
}

int AffinityCpus() {
  cpu_set_t allowed;
  return AllowedCpus(&allowed) ? CPU_COUNT(&allowed) : 1;
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

Team::Team(int size, bool own_cores) : size_(size), own_cores_(own_cores && size > 1), barrier_(size), team_size_(size) {
  CHECK(size >= 1 && size <= Round::kMostActive) << "threads: " << size;
  for (int i = 1; i < size; ++i) workers_.emplace_back([this, i] { Work(i); });
  Place(size);
}

Team::~Team() {
  stop_ = true;
  Publish(1);
  for (std::thread& worker : workers_) worker.join();
}

void Team::Run(const std::function<void(const Share&)>& walk) {
  const int64_t begin_ns = own_cores_ ? NowNs() : 0;
  const int active = team_size_.active();
  reads_delay_ = own_cores_ && window_ns_ >= kWindowNs;
  if (active > 1) {
    walk_ = &walk;
    barrier_.SetMembers(active);
    unfinished_.store(active - 1, std::memory_order_relaxed);
    Publish(active);
  }
  Walk(walk, {0, active, &barrier_});
  AwaitWorkers();
  if (own_cores_) Observe(NowNs() - begin_ns);
}

void Team::Publish(int active) {
  const Round last{round_.load(std::memory_order_relaxed)};
  round_.store(last.Next(active).word, std::memory_order_release);
  round_.notify_all();
}

void Team::AwaitWorkers() {
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

// A member that stands by sees the rounds it is not in, or misses some: it walks only in those whose word counts it in,
// and those wait for it.
void Team::Work(int index) {
  for (Round round;;) {
    round.word = WaitForChange(round_, round.word);
    if (stop_) return;
    if (index >= round.active()) continue;
    Walk(*walk_, {index, round.active(), &barrier_});
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_all();
  }
}

void Team::Walk(const std::function<void(const Share&)>& walk, const Share& share) {
  walk(share);
  if (!reads_delay_) return;
  thread_local RunDelayMeter meter;
  const int64_t delay_ns = meter.TakeNs();
  int64_t longest = longest_delay_ns_.load(std::memory_order_relaxed);
  while (longest < delay_ns && !longest_delay_ns_.compare_exchange_weak(longest, delay_ns)) {
  }
}

void Team::Observe(int64_t wall_ns) {
  window_ns_ += wall_ns;
  if (!reads_delay_) return;
  const int before = team_size_.active();
  team_size_.Observe(window_ns_, longest_delay_ns_.exchange(0));
  window_ns_ = 0;
  if (team_size_.active() != before) Place(team_size_.active());
}

// A full team keeps to its cores; a smaller one goes where there is room.
void Team::Place(int active) {
  if (!own_cores_) return;
  const bool pins = active == size_ && AffinityCpus() >= size_;
  for (int i = 1; i < size_; ++i) pins ? PinTo(workers_[i - 1].native_handle(), i) : Unpin(workers_[i - 1].native_handle());
}

int UsableCpus() {
  const double cpus = std::min<double>(AffinityCpus(), QuotaCpus());
  return std::max(1, static_cast<int>(std::floor(cpus)));
}

}  // namespace braid
