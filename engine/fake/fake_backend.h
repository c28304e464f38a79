// A backend that computes nothing and draws tokens without looking at logits: what is left of a step is the host's work.
#pragma once

#include <chrono>
#include <vector>

#include "kernels/backend.h"

namespace braid {

// Draws evenly among `ids` by seed, choice and place in the output (greedy rows: without the seed), within the row's
// mask and lists; logprobs are those of that distribution. Thread: the engine's.
class FakeBackend final : public Backend {
 public:
  // `ids`: at least one. Steps end `step` apart at least, evenly while the host keeps up; 0: at once.
  FakeBackend(std::vector<int32_t> ids, std::chrono::microseconds step);

  std::string Name() const override { return "fake"; }
  // Has no use for weights.
  absl::StatusOr<std::unique_ptr<PackedWeight>> Pack(const WeightSource& source) override;
  void Run(const std::function<void(Ops&)>& walk) override;
  void RunBatch(const RaggedBatch& batch, int64_t max_rows, const BatchWalk& walk) override;
  size_t MeasureScratch(const std::function<void(Ops&)>& walk) override;
  absl::Status ReserveScratch(size_t bytes) override;

 private:
  class FakeOps;

  const std::vector<int32_t> ids_;
  const std::chrono::microseconds step_;
  std::chrono::steady_clock::time_point step_end_;
  Bytes scratch_ = Bytes(64);  // never null: null means measuring
};

}  // namespace braid
