#include "engine/grammar/lookahead_constraint.h"

#include <algorithm>
#include <utility>

#include "kernels/base/errors.h"

namespace braid {
namespace {

size_t CommonPrefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

}  // namespace

LookaheadConstraint::LookaheadConstraint(std::shared_ptr<const ConstraintSpec> spec, int vocab_size)
    : vocab_size_(vocab_size), now_(std::move(spec)) {}

void LookaheadConstraint::Commit(int32_t token) {
  now_.Commit(token);
  ++num_committed_;
  read_.clear();
  num_filled_ = 0;
}

RowMask LookaheadConstraint::Behind(std::span<const int32_t> output) {
  CHECK_GE(output.size(), num_committed_);
  const std::span<const int32_t> drafts = output.subspan(num_committed_);
  const size_t place = drafts.size();
  if (place < num_filled_ && CommonPrefix(drafts, read_) == place) return places_[place].mask;
  const TokenConstraint& constraint = At(drafts);
  if (places_.size() <= place) places_.resize(place + 1);
  Fill(constraint, &places_[place]);
  if (num_filled_ == place) ++num_filled_;
  return places_[place].mask;
}

void LookaheadConstraint::Fill(const TokenConstraint& constraint, Place* place) const {
  place->words.resize((static_cast<size_t>(vocab_size_) + 31) / 32);
  const bool bound = constraint.FillMask(place->words);
  place->mask = {.words = bound ? place->words.data() : nullptr, .must_end = constraint.MustEnd()};
}

// The constraint behind `drafts`, valid until the next call.
const TokenConstraint& LookaheadConstraint::At(std::span<const int32_t> drafts) {
  if (drafts.empty()) return now_;
  Read(drafts);
  return *ahead_;
}

// Moves ahead_ behind `drafts`; false when one of those that it had not read yet may not come.
bool LookaheadConstraint::Read(std::span<const int32_t> drafts) {
  const size_t shared = CommonPrefix(read_, drafts);
  if (read_.empty() || shared < read_.size()) {
    ahead_ = now_;
    read_.clear();
    num_filled_ = std::min(num_filled_, shared + 1);
  }
  bool allowed = true;
  for (const int32_t token : drafts.subspan(read_.size())) {
    allowed = ahead_->Commit(token) && allowed;
    read_.push_back(token);
  }
  return allowed;
}

void LookaheadConstraint::Shape(int count, std::vector<int32_t>* drafts) {
  const auto first = [&](size_t n) { return std::span<const int32_t>(*drafts).first(n); };
  for (size_t n = 0; n < drafts->size(); ++n) {
    if (!Read(first(n + 1))) drafts->resize(n);
  }
  while (std::ssize(*drafts) < count) {
    const std::vector<int32_t> forced = At(*drafts).Forced(count - static_cast<int>(drafts->size()));
    const auto end = std::find_if(forced.begin(), forced.end(), [&](int32_t id) { return id >= vocab_size_; });
    if (end == forced.begin()) return;
    drafts->insert(drafts->end(), forced.begin(), end);
  }
}

}  // namespace braid
