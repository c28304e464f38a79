#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ssm/ssm.h"

namespace braid::ref {
namespace {

// One head of one sequence, walked from the slot's grid state.
class HeadWalk {
 public:
  HeadWalk(const SsmArgs& args, const SequenceSpan& span, int head)
      : args_(args), layout_(args.layout), span_(span), head_(head), group_(head / (layout_.heads / layout_.groups)) {}

  void Run() {
    LoadState();
    const int end = span_.start + span_.num_tokens, committed = span_.start + span_.num_committed;
    for (int line = span_.state_position; line < end; line += layout_.grid) {
      const int stop = std::min(line + layout_.grid, end);
      Outputs(line, stop);
      if (stop != line + layout_.grid) return;
      Fold(line, stop);
      if (stop <= committed) StoreState();
    }
  }

  // Writes this head's x and dt, and its group's B, of the rows that a later step may need.
  void WriteRing() const {
    const int end = span_.start + span_.num_tokens;
    for (int s = std::max(span_.start, StatePositionAfter(span_, layout_.grid)); s < end; ++s) {
      float* const row = RingRow(s);
      const double dt = Dt(s);
      for (int p = 0; p < layout_.head_dim; ++p) row[head_ * layout_.head_dim + p] = X(s, p);
      for (int n = 0; n < layout_.state_size; ++n) row[layout_.d_inner() + group_ * layout_.state_size + n] = B(s, n);
      row[layout_.d_inner() + layout_.d_bc() + head_] = static_cast<float>(dt);
    }
  }

 private:
  float* RingRow(int position) const {
    return args_.state.slot(span_.state_slot) + layout_.ring_offset() +
           position % layout_.ring_rows() * layout_.ring_row_words();
  }
  const float* XbcRow(int position) const { return args_.xbc.row(span_.first_row + position - span_.start); }
  float X(int s, int p) const {
    const int64_t column = int64_t{head_} * layout_.head_dim + p;
    return s < span_.start ? RingRow(s)[column] : XbcRow(s)[column];
  }
  float B(int s, int n) const {
    const int64_t column = layout_.d_inner() + int64_t{group_} * layout_.state_size + n;
    return s < span_.start ? RingRow(s)[column] : XbcRow(s)[column];
  }
  float C(int t, int n) const {
    return XbcRow(t)[layout_.d_inner() + layout_.d_bc() + int64_t{group_} * layout_.state_size + n];
  }
  double Dt(int s) const {
    if (s < span_.start) return RingRow(s)[layout_.d_inner() + layout_.d_bc() + head_];
    const double raw = double{args_.dt.row(span_.first_row + s - span_.start)[head_]} + args_.dt_bias[head_];
    const double softplus = std::max(raw, 0.0) + std::log1p(std::exp(-std::abs(raw)));
    return std::min<double>(std::max<double>(softplus, args_.dt_min), args_.dt_max);
  }

  float* StoredState() const {
    return args_.state.slot(span_.state_slot) + head_ * layout_.state_size * layout_.head_dim_padded();
  }
  double& State(int n, int p) { return state_[n * layout_.head_dim + p]; }
  void LoadState() {
    state_.assign(static_cast<size_t>(layout_.state_size) * layout_.head_dim, 0.0);
    if (span_.state_position == 0) return;
    for (int n = 0; n < layout_.state_size; ++n) {
      for (int p = 0; p < layout_.head_dim; ++p) State(n, p) = StoredState()[n * layout_.head_dim_padded() + p];
    }
  }
  void StoreState() {
    for (int n = 0; n < layout_.state_size; ++n) {
      float* const row = StoredState() + n * layout_.head_dim_padded();
      std::fill_n(row, layout_.head_dim_padded(), 0.0f);
      for (int p = 0; p < layout_.head_dim; ++p) row[p] = static_cast<float>(State(n, p));
    }
  }

  // cs of the rows [line, stop).
  std::vector<double> DecaySums(int line, int stop) const {
    std::vector<double> sums;
    double sum = 0;
    for (int s = line; s < stop; ++s) sums.push_back(sum += Dt(s) * args_.a[head_]);
    return sums;
  }

  void Outputs(int line, int stop) {
    const std::vector<double> cs = DecaySums(line, stop);
    for (int t = std::max(line, span_.start); t < stop; ++t) {
      float* const y = args_.y.row(span_.first_row + t - span_.start) + int64_t{head_} * layout_.head_dim;
      std::vector<double> factors;
      for (int s = line; s <= t; ++s) {
        double score = 0;
        for (int n = 0; n < layout_.state_size; ++n) score += double{C(t, n)} * B(s, n);
        factors.push_back(score * std::exp(cs[t - line] - cs[s - line]) * Dt(s));
      }
      for (int p = 0; p < layout_.head_dim; ++p) {
        double sum = 0;
        for (int n = 0; n < layout_.state_size; ++n) sum += C(t, n) * State(n, p);
        sum *= std::exp(cs[t - line]);
        for (int s = line; s <= t; ++s) sum += factors[s - line] * X(s, p);
        y[p] = static_cast<float>(sum + double{args_.d[head_]} * X(t, p));
      }
    }
  }

  void Fold(int line, int stop) {
    const std::vector<double> cs = DecaySums(line, stop);
    for (double& value : state_) value *= std::exp(cs.back());
    for (int s = line; s < stop; ++s) {
      const double factor = std::exp(cs.back() - cs[s - line]) * Dt(s);
      for (int n = 0; n < layout_.state_size; ++n) {
        for (int p = 0; p < layout_.head_dim; ++p) State(n, p) += factor * X(s, p) * B(s, n);
      }
    }
  }

  const SsmArgs& args_;
  const MambaStateLayout& layout_;
  const SequenceSpan& span_;
  const int head_, group_;
  std::vector<double> state_;  // [state_size, head_dim]
};

}  // namespace

void Ssm(const SsmArgs& args) {
  for (const SequenceSpan& span : args.batch->sequences) {
    for (int h = 0; h < args.layout.heads; ++h) HeadWalk(args, span, h).Run();
    for (int h = 0; h < args.layout.heads; ++h) HeadWalk(args, span, h).WriteRing();
  }
}

}  // namespace braid::ref
