// Who waits to be admitted: by priority, then those preempted, then by arrival.
#pragma once

#include <cstddef>
#include <utility>

#include "absl/container/btree_map.h"
#include "scheduler/sequence.h"

namespace braid {

// Every change costs O(log waiting), so that a long line slows no step. Borrows its sequences. Thread: engine.
class WaitingLine {
 public:
  bool empty() const { return line_.empty(); }
  size_t size() const { return line_.size(); }

  // The first of the line; there must be one.
  Sequence& front() const;

  void Add(Sequence& sequence);
  // Takes out a sequence that is in the line, wherever it stands.
  void Remove(const Sequence& sequence);

 private:
  struct Place {
    int priority;
    bool fresh;  // never preempted: behind those that were
    SequenceOrder order;
    auto operator<=>(const Place&) const = default;
  };
  static Place PlaceOf(const Sequence& sequence) {
    return {sequence.order.priority, sequence.num_preemptions == 0, sequence.order};
  }

  absl::btree_map<Place, Sequence*> line_;
};

}  // namespace braid
