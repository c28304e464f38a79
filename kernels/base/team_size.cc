#include "kernels/base/team_size.h"

#include <algorithm>

namespace braid {
namespace {

constexpr int64_t kFirstWaitNs = 500'000'000, kLongestWaitNs = 16'000'000'000;
constexpr int64_t kTrialNs = 100'000'000;  // so long a trial must go well

}  // namespace

void TeamSize::Observe(int64_t wall_ns, int64_t delay_ns) {
  since_change_ns_ += wall_ns;
  if (delay_ns > wall_ns / 3 && active_ > 1) {
    until_trial_ns_ = on_trial_ ? std::min(2 * until_trial_ns_, kLongestWaitNs) : kFirstWaitNs;
    return Change(active_ - 1, false);
  }
  if (on_trial_ && since_change_ns_ >= kTrialNs) {
    on_trial_ = false;
    until_trial_ns_ = kFirstWaitNs;
  }
  if (active_ < most_ && !on_trial_ && since_change_ns_ >= until_trial_ns_) Change(active_ + 1, true);
}

void TeamSize::Change(int active, bool on_trial) {
  active_ = active;
  on_trial_ = on_trial;
  since_change_ns_ = 0;
}

}  // namespace braid
