// Lets tests whose arguments lie in the host's memory run on a backend with memory of its own: each operation's
// arguments are copied into buffers of exactly their size, and what it may write is copied back.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <list>
#include <vector>

#include "kernels/backend.h"

namespace braid::testing {

// Host memory lent to one operation.
class Loans {
 public:
  explicit Loans(Backend& backend) : backend_(backend) {}

  template <class T>
  T* Take(T* host, int64_t count, bool back = false) {
    if (host == nullptr) return nullptr;
    for (Loan& loan : loans_) {
      if (loan.host == host) return loan.back |= back, loan.memory.as<T>();
    }
    auto memory = backend_.Allocate(sizeof(T) * std::max<int64_t>(count, 1));
    CHECK(memory.ok()) << memory.status();
    const size_t bytes = sizeof(T) * count;
    backend_.Upload(host, memory->data(), bytes);
    loans_.push_back({*std::move(memory), const_cast<std::remove_const_t<T>*>(host), bytes, back});
    return loans_.back().memory.as<T>();
  }
  TensorView Take(TensorView view, bool back = false) {
    const int64_t count = view.rows == 0 ? 0 : (view.rows - 1) * view.stride + view.cols;
    view.data = Take(view.f32(), count, back);
    return view;
  }
  KvLayer Take(KvLayer cache, const RaggedBatch& batch, bool back) {
    int64_t blocks = 0;
    for (const SequenceSpan& span : batch.sequences) {
      for (int i = 0; i < span.num_blocks; ++i) blocks = std::max<int64_t>(blocks, span.blocks[i] + 1);
    }
    cache.data = Take(cache.data, blocks * cache.block_bytes(), back);
    return cache;
  }
  StateLayer Take(StateLayer state, const MambaStateLayout& layout, const RaggedBatch& batch) {
    int64_t last = 0;
    for (const SequenceSpan& span : batch.sequences) last = std::max<int64_t>(last, span.state_slot);
    state.data = Take(state.data, last * state.slot_stride + layout.words(), true);
    return state;
  }
  // After the operation: what it may have written.
  void GiveBack() {
    for (const Loan& loan : loans_) {
      if (loan.back) backend_.Download(loan.memory.data(), loan.host, loan.bytes);
    }
    loans_.clear();
  }

 private:
  struct Loan {
    Bytes memory;
    void* host;
    size_t bytes;
    bool back;
  };
  Backend& backend_;
  std::deque<Loan> loans_;
};

// Thread: the walk's. Batches are kept until it ends.
class DeviceArgumentOps final : public Ops {
 public:
  DeviceArgumentOps(Ops& ops, Backend& backend) : Ops(Scratch()), ops_(ops), loans_(backend) { scratch_ = ops.scratch(); }
  ~DeviceArgumentOps() override { ops_.scratch() = scratch_; }

  void Embedding(const EmbeddingArgs& args) override {
    With(args, [&](auto& a) { a.y = Out(a.y); }, &Ops::Embedding);
  }
  void RmsNorm(const RmsNormArgs& args) override {
    With(args, [&](auto& a) { Norm(a, a.x.cols / a.groups); }, &Ops::RmsNorm);
  }
  void LayerNorm(const LayerNormArgs& args) override {
    With(args, [&](auto& a) {
      Norm(a, a.x.cols);
      a.bias = In(a.bias, a.x.cols);
    }, &Ops::LayerNorm);
  }
  void GatedRmsNorm(const GatedRmsNormArgs& args) override {
    With(args, [&](auto& a) {
      a.gate = In(a.gate);
      Norm(a, a.x.cols);
    }, &Ops::GatedRmsNorm);
  }
  void Scale(const ScaleArgs& args) override {
    With(args, [&](auto& a) {
      a.x = In(a.x);
      a.factors = In(a.factors, a.x.cols);
      a.y = Out(a.y);
    }, &Ops::Scale);
  }
  void Linear(const LinearArgs& args) override {
    With(args, [&](auto& a) {
      a.x = In(a.x);
      a.bias = In(a.bias, a.weight->rows());
      a.y = Out(a.y);
    }, &Ops::Linear);
  }
  void RopeKvWrite(const RopeKvWriteArgs& args) override {
    With(args, [&](auto& a) {
      a.batch = WithTables(*a.batch, a.cache.block_size);
      a.q = Out(a.q);
      a.k = In(a.k);
      a.v = In(a.v);
      const size_t half = a.inverse_frequencies.size();
      a.inverse_frequencies = {In(a.inverse_frequencies.data(), static_cast<int64_t>(half)), half};
      a.cache = loans_.Take(a.cache, *a.batch, true);
    }, &Ops::RopeKvWrite);
  }
  void Attention(const AttentionArgs& args) override {
    With(args, [&](auto& a) {
      a.batch = WithTables(*a.batch, a.cache.block_size);
      a.q = In(a.q);
      a.slopes = In(a.slopes, a.heads);
      a.sinks = In(a.sinks, a.heads);
      a.cache = loans_.Take(a.cache, *a.batch, false);
      a.out = Out(a.out);
    }, &Ops::Attention);
  }
  void Conv1d(const Conv1dArgs& args) override {
    With(args, [&](auto& a) {
      a.x = In(a.x);
      a.weight = In(a.weight, a.layout.conv_dim() * a.layout.conv_kernel);
      a.bias = In(a.bias, a.layout.conv_dim());
      a.state = loans_.Take(a.state, a.layout, *a.batch);
      a.y = Out(a.y);
    }, &Ops::Conv1d);
  }
  void Ssm(const SsmArgs& args) override {
    With(args, [&](auto& a) {
      a.xbc = In(a.xbc);
      a.dt = In(a.dt);
      for (const float** values : {&a.dt_bias, &a.a, &a.d}) *values = In(*values, a.layout.heads);
      a.state = loans_.Take(a.state, a.layout, *a.batch);
      a.y = Out(a.y);
    }, &Ops::Ssm);
  }
  void Route(const RouteArgs& args) override {
    With(args, [&](auto& a) {
      a.x = In(a.x);
      a.gate = In(a.gate, a.experts * a.x.cols);
      a.bias = In(a.bias, a.experts);
      a.logit_bias = In(a.logit_bias, a.experts);
      a.expert_ids = loans_.Take(a.expert_ids, a.x.rows * a.top_k, true);
      a.expert_weights = loans_.Take(a.expert_weights, a.x.rows * a.top_k, true);
    }, &Ops::Route);
  }
  void Experts(const ExpertsArgs& args) override {
    With(args, [&](auto& a) {
      const int64_t experts = static_cast<int64_t>(a.up.size()), tokens = a.x.rows;
      a.x = In(a.x);
      a.expert_ids = In(a.expert_ids, tokens * a.top_k);
      a.expert_weights = In(a.expert_weights, tokens * a.top_k);
      a.up_bias = In(a.up_bias, experts == 0 ? 0 : experts * a.up[0]->rows());
      a.down_bias = In(a.down_bias, experts * a.y.cols);
      a.y = Out(a.y);
    }, &Ops::Experts);
  }
  void GatherRows(TensorView x, std::span<const int32_t> rows, TensorView y) override {
    ops_.scratch() = scratch_;
    if (!scratch_.measuring()) x = In(x), y = Out(y);
    ops_.GatherRows(x, rows, y);
    Finish();
  }
  void Sample(const SampleArgs& args) override {
    With(args, [&](auto& a) { a.logits = In(a.logits); }, &Ops::Sample);
  }
  void TokenLogprobs(const TokenLogprobsArgs& args) override {
    With(args, [&](auto& a) { a.logits = In(a.logits); }, &Ops::TokenLogprobs);
  }

 private:
  template <class Args, class Lend>
  void With(Args args, const Lend& lend, void (Ops::*op)(const Args&)) {
    ops_.scratch() = scratch_;
    if (!scratch_.measuring()) lend(args);
    (ops_.*op)(args);
    Finish();
  }
  void Finish() {
    scratch_ = ops_.scratch();
    loans_.GiveBack();
  }
  TensorView In(TensorView view) { return loans_.Take(view); }
  const float* In(const float* values, int64_t count) { return loans_.Take(values, count); }
  const int32_t* In(const int32_t* values, int64_t count) { return loans_.Take(values, count); }
  TensorView Out(TensorView view) { return loans_.Take(view, true); }
  template <class Args>
  void Norm(Args& args, int64_t weights) {
    args.x = In(args.x);
    args.weight = In(args.weight, weights);
    args.y = Out(args.y);
  }

  // The same batch, its tables as long as its contexts are.
  const RaggedBatch* WithTables(const RaggedBatch& batch, int block_size) {
    spans_.emplace_back(batch.sequences.begin(), batch.sequences.end());
    for (SequenceSpan& span : spans_.back()) span.num_blocks = (span.start + span.num_tokens + block_size - 1) / block_size;
    batches_.push_back(batch);
    batches_.back().sequences = spans_.back();
    return &batches_.back();
  }

  Ops& ops_;
  Loans loans_;
  std::list<std::vector<SequenceSpan>> spans_;
  std::list<RaggedBatch> batches_;
};

class DeviceArgumentBackend final : public Backend {
 public:
  explicit DeviceArgumentBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  std::string Name() const override { return inner_->Name(); }
  absl::StatusOr<std::unique_ptr<PackedWeight>> Pack(const WeightSource& source) override { return inner_->Pack(source); }
  void Run(const std::function<void(Ops&)>& walk) override {
    inner_->Run([&](Ops& ops) {
      DeviceArgumentOps wrapped(ops, *inner_);
      walk(wrapped);
    });
  }
  size_t MeasureScratch(const std::function<void(Ops&)>& walk) override {
    return inner_->MeasureScratch([&](Ops& ops) {
      DeviceArgumentOps wrapped(ops, *inner_);
      walk(wrapped);
    });
  }
  absl::Status ReserveScratch(size_t bytes) override { return inner_->ReserveScratch(bytes); }

 private:
  std::unique_ptr<Backend> inner_;
};

}  // namespace braid::testing
