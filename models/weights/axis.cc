#include "models/weights/axis.h"

#include <algorithm>

#include "kernels/base/errors.h"

namespace braid {

Axis::Axis(int64_t stored, std::vector<Run> runs) : stored_(stored) {
  for (const Run& run : runs) {
    CHECK(run.begin >= 0 && run.begin <= run.end && run.end <= stored) << run.begin << ".." << run.end << " of " << stored;
    kept_ += run.size();
    if (!runs_.empty() && runs_.back().end == run.begin) runs_.back().end = run.end;
    else if (run.size() > 0) runs_.push_back(run);
  }
  if (runs_.empty()) runs_.push_back({0, 0});
}

Axis Axis::Within(int64_t stored, int64_t before) const {
  std::vector<Run> runs = runs_;
  for (Run& run : runs) run = {run.begin + before, run.end + before};
  return Axis(stored, std::move(runs));
}

Axis Axis::Spread(int64_t step, int64_t at) const {
  std::vector<Run> runs;
  for (const Run& run : runs_) {
    for (int64_t i = run.begin; i < run.end; ++i) runs.push_back({i * step + at, i * step + at + 1});
  }
  return Axis(stored_ * step, std::move(runs));
}

Axis Joined(const std::vector<Axis>& parts) {
  int64_t stored = 0;
  std::vector<Axis::Run> runs;
  for (const Axis& part : parts) {
    for (const Axis::Run& run : part.runs()) runs.push_back({run.begin + stored, run.end + stored});
    stored += part.stored();
  }
  return Axis(stored, std::move(runs));
}

std::vector<int64_t> Borders(int64_t size, int64_t grain, int ranks) {
  const int64_t units = (size + grain - 1) / grain;
  std::vector<int64_t> borders;
  for (int rank = 0; rank <= ranks; ++rank) borders.push_back(std::min(size, units * rank / ranks * grain));
  return borders;
}

}  // namespace braid
