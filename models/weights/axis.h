// One dimension of a stored tensor, and which of its indices are kept, in which order. What a rank reads of a tensor is
// said by one of these for each dimension: there is no reading without one.
#pragma once

#include <cstdint>
#include <vector>

namespace braid {

class Axis {
 public:
  // Indices [begin, end).
  struct Run {
    int64_t begin, end;
    int64_t size() const { return end - begin; }
  };

  // `runs` lie in [0, stored).
  Axis(int64_t stored, std::vector<Run> runs);
  static Axis Part(int64_t stored, int64_t begin, int64_t end) { return Axis(stored, {{begin, end}}); }

  int64_t stored() const { return stored_; }
  int64_t kept() const { return kept_; }
  const std::vector<Run>& runs() const { return runs_; }
  // All of it, in order.
  bool is_whole() const { return runs_.size() == 1 && runs_[0].begin == 0 && runs_[0].end == stored_; }
  // As the same indices of a dimension that is `stored` long and begins `before` earlier.
  Axis Within(int64_t stored, int64_t before) const;
  // Every index as `step` ones from `at` on: index i keeps i * step + at.
  Axis Spread(int64_t step, int64_t at) const;

 private:
  int64_t stored_, kept_ = 0;
  std::vector<Run> runs_;  // none is empty, no two could be one
};

// The rule of what every rank has a copy of.
inline Axis Whole(int64_t size) { return Axis::Part(size, 0, size); }

// Dimensions that lie one behind the other in one tensor.
Axis Joined(const std::vector<Axis>& parts);

// Where `ranks` parts of [0, size) begin and end, [ranks + 1]: as even as whole multiples of `grain` allow.
std::vector<int64_t> Borders(int64_t size, int64_t grain, int ranks);

}  // namespace braid
