#include "scheduler/waiting_line.h"

#include "kernels/base/errors.h"

namespace braid {

Sequence& WaitingLine::front() const {
  CHECK(!line_.empty());
  return *line_.begin()->second;
}

void WaitingLine::Add(Sequence& sequence) {
  const bool added = line_.emplace(PlaceOf(sequence), &sequence).second;
  CHECK(added) << "sequence " << sequence.id << " waits already";
}

void WaitingLine::Remove(const Sequence& sequence) {
  const size_t removed = line_.erase(PlaceOf(sequence));
  CHECK_EQ(removed, 1u) << "sequence " << sequence.id << " does not wait";
}

}  // namespace braid
