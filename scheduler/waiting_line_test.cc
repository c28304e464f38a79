#include "scheduler/waiting_line.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace braid {
namespace {

TEST(WaitingLine, PriorityThenPreemptedThenArrival) {
  struct Row {
    SequenceId id;
    int priority;
    int preemptions;
    int64_t arrival_ns;
  };
  const std::vector<Row> rows = {{1, 1, 0, 5}, {2, 0, 0, 9}, {3, 0, 0, 7}, {4, 0, 2, 8}, {5, 1, 1, 9}, {6, 0, 0, 7}};
  std::vector<std::unique_ptr<Sequence>> sequences;
  WaitingLine line;
  for (const Row& row : rows) {
    const SequenceOrder order = {.priority = row.priority, .arrival_ns = row.arrival_ns, .ticket = row.id};
    sequences.push_back(std::make_unique<Sequence>(SequenceArrival{.id = row.id, .prompt = {1}}, order, 2));
    sequences.back()->num_preemptions = row.preemptions;
    line.Add(*sequences.back());
  }
  std::vector<SequenceId> ids;
  while (!line.empty()) {
    ids.push_back(line.front().id);
    line.Remove(line.front());
  }
  EXPECT_EQ(ids, (std::vector<SequenceId>{4, 3, 6, 2, 5, 1}));
}

TEST(WaitingLine, LeavesFromAnywhere) {
  Sequence first({.id = 1, .prompt = {1}}, {.ticket = 1}, 2), second({.id = 2, .prompt = {1}}, {.ticket = 2}, 2);
  WaitingLine line;
  line.Add(first);
  line.Add(second);
  line.Remove(second);
  EXPECT_EQ(line.size(), 1u);
  EXPECT_EQ(line.front().id, 1u);
}

}  // namespace
}  // namespace braid
