#include "engine/grammar/token_constraint.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace braid {
namespace {

constexpr size_t kForcedBytes = 16;  // of a guessed token, mean

void SetBit(int32_t id, std::span<uint32_t> words) {
  const size_t word = static_cast<size_t>(id) / 32;
  if (id >= 0 && word < words.size()) words[word] |= 1u << (id % 32);
}

void ClearBit(int32_t id, std::span<uint32_t> words) {
  const size_t word = static_cast<size_t>(id) / 32;
  if (id >= 0 && word < words.size()) words[word] &= ~(1u << (id % 32));
}

bool IsZero(std::span<const uint32_t> words) {
  return std::all_of(words.begin(), words.end(), [](uint32_t word) { return word == 0; });
}

}  // namespace

TokenConstraint::TokenConstraint(std::shared_ptr<const ConstraintSpec> spec)
    : spec_(std::move(spec)), in_reasoning_(spec_->starts_in_reasoning) {
  if (spec_->grammar != nullptr) matcher_.emplace(spec_->grammar);
  for (const auto& word : spec_->bad_words) longest_bad_word_ = std::max(longest_bad_word_, word.size());
  over_budget_ = spec_->thinking_budget == 0;
}

bool TokenConstraint::ForcesClosing() const { return in_reasoning_ && (over_budget_ || closing_next_ > 0) && !spec_->closing_ids.empty(); }

bool TokenConstraint::FillMask(std::span<uint32_t> words) const {
  if (ForcesClosing()) {
    std::fill(words.begin(), words.end(), 0u);
    SetBit(NextClosing(), words);
    return true;
  }
  if (!BindsAnswer() && spec_->bad_words.empty()) return false;
  if (BindsAnswer()) {
    matcher_->FillMask(words);
    if (!answer_begun_) SetBit(spec_->reasoning_begin, words);
  } else {
    std::fill(words.begin(), words.end(), ~0u);
  }
  for (const std::vector<int32_t>& word : spec_->bad_words) {
    if (EndsBadWord(word)) ClearBit(word.back(), words);
  }
  if (IsZero(words)) {
    for (int32_t id : spec_->end_ids) SetBit(id, words);
  }
  return true;
}

// The word's last token would make it whole.
bool TokenConstraint::EndsBadWord(const std::vector<int32_t>& word) const {
  const size_t before = word.size() - 1;
  return recent_.size() >= before && std::equal(word.begin(), word.end() - 1, recent_.end() - before);
}

bool TokenConstraint::EndsBadWord(int32_t token) const {
  const auto ends = [&](const std::vector<int32_t>& word) { return word.back() == token && EndsBadWord(word); };
  return std::any_of(spec_->bad_words.begin(), spec_->bad_words.end(), ends);
}

std::vector<int32_t> TokenConstraint::Forced(int count) const {
  const auto most = static_cast<size_t>(std::max(count, 0));
  std::vector<int32_t> tokens;
  if (ForcesClosing()) {
    tokens.assign(spec_->closing_ids.begin() + static_cast<ptrdiff_t>(closing_next_), spec_->closing_ids.end());
    tokens.resize(std::min(tokens.size(), most));
    return tokens;
  }
  const bool may_reason = !answer_begun_ && spec_->reasoning_begin >= 0;
  if (!BindsAnswer() || may_reason || most == 0) return tokens;
  const std::string text = matcher_->ForcedText(kForcedBytes * most);
  for (std::string_view rest = text; !rest.empty() && tokens.size() < most;) {
    const int32_t token = spec_->grammar->vocabulary().LongestPrefixOf(rest);
    if (token < 0) break;
    tokens.push_back(token);
    rest.remove_prefix(spec_->grammar->vocabulary().bytes(token).size());
  }
  return tokens;
}

bool TokenConstraint::Commit(int32_t token) {
  const bool allowed = !EndsBadWord(token) && (!ForcesClosing() || token == NextClosing());
  if (longest_bad_word_ > 1) {
    if (recent_.size() + 1 == longest_bad_word_) recent_.erase(recent_.begin());
    recent_.push_back(token);
  }
  if (in_reasoning_) {
    CommitReasoning(token);
    return allowed;
  }
  if (!answer_begun_ && token == spec_->reasoning_begin && token >= 0) {
    in_reasoning_ = true;
    return allowed;
  }
  return CommitAnswer(token) && allowed;
}

bool TokenConstraint::CommitAnswer(int32_t token) {
  answer_begun_ = true;
  return !matcher_.has_value() || matcher_->AcceptToken(token);
}

void TokenConstraint::CommitReasoning(int32_t token) {
  const std::string_view bytes = spec_->tokenizer->TokenBytes(token);
  tail_.append(bytes);
  const size_t end = tail_.find(spec_->reasoning_end);
  if (end != std::string::npos) {
    in_reasoning_ = false;
    answer_begun_ = true;
    if (matcher_.has_value()) matcher_->AcceptBytes(std::string_view(tail_).substr(end + spec_->reasoning_end.size()));
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
