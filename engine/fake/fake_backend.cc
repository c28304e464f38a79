#include "engine/fake/fake_backend.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "kernels/sample/philox.h"

namespace braid {
namespace {

bool Holds(std::span<const int32_t> ids, int32_t id) { return std::find(ids.begin(), ids.end(), id) != ids.end(); }

bool MayDraw(const SampleRow& row, int32_t id) {
  if (row.mask != nullptr && (row.mask[id / 32] >> (id % 32) & 1) == 0) return false;
  return (row.allowed_ids.empty() || Holds(row.allowed_ids, id)) && !Holds(row.banned_ids, id);
}

// The first of `ids` from a drawn place on that the row may have; where there is none, the first of the vocabulary.
int32_t DrawAmong(std::span<const int32_t> ids, const SampleRow& row, int32_t vocab_size) {
  const uint64_t seed = row.temperature > 0 ? row.seed : 0;
  const uint32_t draw = Philox4x32({static_cast<uint32_t>(row.output.size()), row.stream, 0, 0},
                                   {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)})[0];
  const size_t start = draw % ids.size();
  for (size_t i = 0; i < ids.size(); ++i) {
    const int32_t id = ids[(start + i) % ids.size()];
    if (MayDraw(row, id)) return id;
  }
  for (int32_t id = 0; id < vocab_size; ++id) {
    if (MayDraw(row, id)) return id;
  }
  return -1;
}

}  // namespace

class FakeBackend::FakeOps final : public Ops {
 public:
  FakeOps(std::span<const int32_t> ids, Scratch scratch)
      : Ops(scratch), ids_(ids), logprob_(-std::log(static_cast<float>(ids.size()))) {}

  void Embedding(const EmbeddingArgs&) override {}
  void RmsNorm(const RmsNormArgs&) override {}
  void LayerNorm(const LayerNormArgs&) override {}
  void GatedRmsNorm(const GatedRmsNormArgs&) override {}
  void Scale(const ScaleArgs&) override {}
  void Linear(const LinearArgs&) override {}
  void RopeKvWrite(const RopeKvWriteArgs&) override {}
  void Attention(const AttentionArgs&) override {}
  void Conv1d(const Conv1dArgs&) override {}
  void Ssm(const SsmArgs&) override {}
  void Route(const RouteArgs&) override {}
  void Experts(const ExpertsArgs&) override {}
  void GatherRows(TensorView, std::span<const int32_t>, TensorView) override {}

  void Sample(const SampleArgs& args) override {
    if (scratch_.measuring()) return;
    for (size_t i = 0; i < args.rows.size(); ++i) {
      const int32_t token = DrawAmong(ids_, args.rows[i], static_cast<int32_t>(args.logits.cols));
      args.sampled[i] = Sampled(token, args.rows[i].top_logprobs);
    }
  }

  void TokenLogprobs(const TokenLogprobsArgs& args) override {
    for (size_t i = 0; i < args.tokens.size(); ++i) args.sampled[i] = Sampled(args.tokens[i], args.top[i]);
  }

 private:
  SampledRow Sampled(int32_t token, int32_t num_top) const {
    SampledRow row{.token = token, .logprob = logprob_, .rank = num_top < 0 ? 0 : 1, .top = {}};
    if (num_top > 0) row.top = {{token, logprob_}};
    return row;
  }

  const std::span<const int32_t> ids_;
  const float logprob_;
};

FakeBackend::FakeBackend(std::vector<int32_t> ids, std::chrono::microseconds step) : ids_(std::move(ids)), step_(step) {
  CHECK(!ids_.empty());
}

absl::StatusOr<std::unique_ptr<PackedWeight>> FakeBackend::Pack(const WeightSource&) {
  return absl::UnimplementedError("the fake engine packs no weights");
}

void FakeBackend::Run(const std::function<void(Ops&)>& walk) {
  FakeOps ops(ids_, Scratch(scratch_.data(), scratch_.size()));
  walk(ops);
}

void FakeBackend::RunBatch(const RaggedBatch& batch, int64_t max_rows, const BatchWalk& walk) {
  Backend::RunBatch(batch, max_rows, walk);
  if (step_.count() == 0) return;
  step_end_ = std::max(step_end_ + step_, std::chrono::steady_clock::now());
  std::this_thread::sleep_until(step_end_);
}

size_t FakeBackend::MeasureScratch(const std::function<void(Ops&)>& walk) {
  FakeOps ops{ids_, Scratch()};
  walk(ops);
  return ops.scratch().peak();
}

absl::Status FakeBackend::ReserveScratch(size_t bytes) {
  scratch_ = Bytes(std::max<size_t>(bytes, 64));
  return absl::OkStatus();
}

}  // namespace braid
