#include "models/tokenizer/unigram.h"

#include <algorithm>

#include "models/tokenizer/unicode.h"

namespace braid {
namespace {

constexpr double kUnknownPenalty = 10.0;  // below the worst score, as sentencepiece has it
constexpr int32_t kUnknown = -2;          // stands for the unknown token inside the search

}  // namespace

void Unigram::AddToken(std::string_view spelling, int32_t id, double score) {
  min_score_ = any_token_ ? std::min(min_score_, score) : score;
  any_token_ = true;
  uint64_t node = 0;
  for (const char b : spelling) {
    const auto [it, is_new] =
        children_.emplace(node << 8 | static_cast<uint8_t>(b), static_cast<uint32_t>(nodes_.size()));
    if (is_new) nodes_.emplace_back();
    node = it->second;
  }
  if (node != 0) nodes_[node] = {id, score};
}

void Unigram::Offer(Step* step, double score, int32_t id, size_t begin) const {
  if (step->begin == SIZE_MAX || score > step->score) *step = {score, id, begin};
}

void Unigram::WalkTokensFrom(std::string_view piece, size_t begin, std::vector<Step>* steps) const {
  const double so_far = (*steps)[begin].score;
  const size_t character = ReadUtf8(piece, begin).length;
  bool has_character = false;
  uint64_t node = 0;
  for (size_t end = begin; end < piece.size(); ++end) {
    const auto it = children_.find(node << 8 | static_cast<uint8_t>(piece[end]));
    if (it == children_.end()) break;
    node = it->second;
    if (nodes_[node].id < 0) continue;
    Offer(&(*steps)[end + 1], so_far + nodes_[node].score, nodes_[node].id, begin);
    has_character = has_character || end + 1 - begin == character;
  }
  if (!has_character) {
    Offer(&(*steps)[begin + character], so_far + min_score_ - kUnknownPenalty, kUnknown, begin);
  }
}

void Unigram::Encode(std::string_view piece, std::vector<int32_t>* ids) const {
  std::vector<Step> steps(piece.size() + 1);
  for (size_t at = 0; at < piece.size(); at += ReadUtf8(piece, at).length) WalkTokensFrom(piece, at, &steps);
  std::vector<size_t> ends;
  for (size_t end = piece.size(); end > 0; end = steps[end].begin) ends.push_back(end);
  std::reverse(ends.begin(), ends.end());
  const auto unknown = [&](size_t end) { return steps[end].id == kUnknown || steps[end].id == unknown_id_; };
  for (size_t i = 0; i < ends.size(); ++i) {
    const size_t begin = steps[ends[i]].begin;
    if (!unknown(ends[i])) {
      ids->push_back(steps[ends[i]].id);
      continue;
    }
    while (i + 1 < ends.size() && unknown(ends[i + 1])) ++i;
    AppendUnknown(piece.substr(begin, ends[i] - begin), ids);
  }
}

void Unigram::AppendUnknown(std::string_view text, std::vector<int32_t>* ids) const {
  const auto has_token = [&](char b) { return fallback_[static_cast<uint8_t>(b)] >= 0; };
  if (byte_fallback_ && std::all_of(text.begin(), text.end(), has_token)) {
    for (const char b : text) ids->push_back(fallback_[static_cast<uint8_t>(b)]);
  } else if (unknown_id_) {
    ids->push_back(*unknown_id_);
  }
}

}  // namespace braid
