// How many members of a team walk: fewer while other programs keep some of them from their cores. A member that waits
// for a core makes all others wait at every barrier, so one busy neighbour costs a full team far more than the core it
// takes; a team without that member loses only the core.
#pragma once

#include <cstdint>

namespace braid {

// Thread: one.
class TeamSize {
 public:
  explicit TeamSize(int most) : most_(most), active_(most) {}

  int active() const { return active_; }

  // Tells of `wall_ns` of walks, in which the member that had to wait longest for a core waited `delay_ns`. One member
  // goes when that is over a third. After a time one comes back on trial: after 0.5 s at first, after twice as long,
  // at most 16 s, with every trial that fails. A member alone waits for no other, so its own delay counts for nothing.
  void Observe(int64_t wall_ns, int64_t delay_ns);

 private:
  void Change(int active, bool on_trial);

  const int most_;
  int active_;
  int64_t since_change_ns_ = 0;  // of walks
  int64_t until_trial_ns_ = 0;
  bool on_trial_ = false;
};

}  // namespace braid
