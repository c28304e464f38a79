#include "engine/grammar/token_constraint.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace braid {
namespace {

void SetBit(int32_t id, std::vector<uint32_t>* words) {
  const size_t word = static_cast<size_t>(id) / 32;
  if (id >= 0 && word < words->size()) (*words)[word] |= 1u << (id % 32);
}

void ClearBit(int32_t id, std::vector<uint32_t>* words) {
  const size_t word = static_cast<size_t>(id) / 32;
  if (id >= 0 && word < words->size()) (*words)[word] &= ~(1u << (id % 32));
}

bool IsZero(const std::vector<uint32_t>& words) {
  return std::all_of(words.begin(), words.end(), [](uint32_t word) { return word == 0; });
}

}  // namespace

TokenConstraint::TokenConstraint(std::shared_ptr<const ConstraintSpec> spec, int vocab_size)
    : spec_(std::move(spec)), words_((static_cast<size_t>(vocab_size) + 31) / 32), in_reasoning_(spec_->starts_in_reasoning) {
  if (spec_->grammar != nullptr) matcher_ = std::make_unique<GrammarMatcher>(spec_->grammar);
  for (const auto& word : spec_->bad_words) longest_bad_word_ = std::max(longest_bad_word_, word.size());
  over_budget_ = spec_->thinking_budget == 0;
}

bool TokenConstraint::ForcesClosing() const { return in_reasoning_ && (over_budget_ || closing_next_ > 0) && !spec_->closing_ids.empty(); }

const uint32_t* TokenConstraint::Mask() {
  if (ForcesClosing()) {
    AllowOnly(spec_->closing_ids[std::min(closing_next_, spec_->closing_ids.size() - 1)]);
    return words_.data();
  }
  const bool by_grammar = in_answer() && matcher_ != nullptr;
  if (!by_grammar && spec_->bad_words.empty()) return nullptr;
  if (by_grammar) {
    matcher_->FillMask(words_);
    if (!answer_begun_) SetBit(spec_->reasoning_begin, &words_);
  } else {
    std::fill(words_.begin(), words_.end(), ~0u);
  }
  ForbidBadWords();
  if (IsZero(words_)) {
    for (int32_t id : spec_->end_ids) SetBit(id, &words_);
  }
  return words_.data();
}

void TokenConstraint::AllowOnly(int32_t id) {
  std::fill(words_.begin(), words_.end(), 0u);
  SetBit(id, &words_);
}

void TokenConstraint::ForbidBadWords() {
  for (const std::vector<int32_t>& word : spec_->bad_words) {
    const size_t before = word.size() - 1;
    const bool begun = recent_.size() >= before && std::equal(word.begin(), word.end() - 1, recent_.end() - before);
    if (begun) ClearBit(word.back(), &words_);
  }
}

void TokenConstraint::Commit(int32_t token) {
  if (longest_bad_word_ > 1) {
    if (recent_.size() + 1 == longest_bad_word_) recent_.erase(recent_.begin());
    recent_.push_back(token);
  }
  if (in_reasoning_) return CommitReasoning(token);
  if (!answer_begun_ && token == spec_->reasoning_begin && token >= 0) {
    in_reasoning_ = true;
    return;
  }
  CommitAnswer(token);
}

void TokenConstraint::CommitAnswer(int32_t token) {
  answer_begun_ = true;
  if (matcher_ != nullptr) matcher_->AcceptToken(token);
}

void TokenConstraint::CommitReasoning(int32_t token) {
  const std::string_view bytes = spec_->tokenizer->TokenBytes(token);
  tail_.append(bytes);
  const size_t end = tail_.find(spec_->reasoning_end);
  if (end != std::string::npos) {
    in_reasoning_ = false;
    answer_begun_ = true;
    if (matcher_ != nullptr) matcher_->AcceptBytes(std::string_view(tail_).substr(end + spec_->reasoning_end.size()));
    return;
  }
  const size_t kept = spec_->reasoning_end.size();
  if (tail_.size() > kept) tail_.erase(0, tail_.size() - kept);
  ++reasoning_tokens_;
  if (ForcesClosing()) {
    in_reasoning_ = ++closing_next_ < spec_->closing_ids.size();  // the marker is said, however it was spelled
    answer_begun_ = !in_reasoning_;
    return;
  }
  if (spec_->thinking_budget < 0 || reasoning_tokens_ < spec_->thinking_budget) return;
  const bool line_ends = !bytes.empty() && bytes.back() == '\n';
  over_budget_ = line_ends || reasoning_tokens_ >= spec_->thinking_budget + spec_->thinking_grace;
}

}  // namespace braid
