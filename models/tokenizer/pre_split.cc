#include "models/tokenizer/pre_split.h"

#include <algorithm>

#include "models/tokenizer/byte_alphabet.h"

namespace braid {
namespace {

// A stretch of text that is a match or lies between matches.
struct Stretch {
  ByteRange range;
  bool is_match;
};

// The whole of `text` as stretches.
std::vector<Stretch> StretchesOf(std::string_view text, const Pattern& pattern, bool invert) {
  std::vector<Stretch> stretches;
  size_t done = 0;
  std::optional<size_t> last_end;
  while (auto match = pattern.Next(text, done, last_end)) {
    if (match->begin > done) stretches.push_back({{done, match->begin}, invert});
    stretches.push_back({*match, !invert});
    last_end = done = match->end;
  }
  if (done < text.size()) stretches.push_back({{done, text.size()}, invert});
  return stretches;
}

// Each match joins the stretch before it, unless that is a match too.
std::vector<ByteRange> MergeWithPrevious(const std::vector<Stretch>& stretches) {
  std::vector<ByteRange> pieces;
  bool after_match = false;
  for (const Stretch& s : stretches) {
    if (s.is_match && !after_match && !pieces.empty()) {
      pieces.back().end = s.range.end;
    } else {
      pieces.push_back(s.range);
    }
    after_match = s.is_match;
  }
  return pieces;
}

// Each match joins the stretch behind it, unless that is a match too.
std::vector<ByteRange> MergeWithNext(const std::vector<Stretch>& stretches) {
  std::vector<ByteRange> pieces;
  bool before_match = false;
  for (auto s = stretches.rbegin(); s != stretches.rend(); ++s) {
    if (s->is_match && !before_match && !pieces.empty()) {
      pieces.back().begin = s->range.begin;
    } else {
      pieces.push_back(s->range);
    }
    before_match = s->is_match;
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

// Neighbouring matches become one piece.
std::vector<ByteRange> MergeMatches(const std::vector<Stretch>& stretches) {
  std::vector<ByteRange> pieces;
  bool after_match = false;
  for (const Stretch& s : stretches) {
    if (s.is_match == after_match && !pieces.empty()) {
      pieces.back().end = s.range.end;
    } else {
      pieces.push_back(s.range);
    }
    after_match = s.is_match;
  }
  return pieces;
}

std::vector<ByteRange> PiecesOf(const std::vector<Stretch>& stretches, SplitBehavior behavior) {
  if (behavior == SplitBehavior::kMergedWithPrevious) return MergeWithPrevious(stretches);
  if (behavior == SplitBehavior::kMergedWithNext) return MergeWithNext(stretches);
  if (behavior == SplitBehavior::kContiguous) return MergeMatches(stretches);
  std::vector<ByteRange> pieces;
  for (const Stretch& s : stretches) {
    if (behavior == SplitBehavior::kIsolated || !s.is_match) pieces.push_back(s.range);
  }
  return pieces;
}

}  // namespace

void PreSplit::Walk(size_t step, std::string_view text, bool first, Sink sink) const {
  if (text.empty()) return;
  if (step == steps_.size()) return sink(text);
  const SplitStep& s = steps_[step];
  if (s.kind == SplitStep::kMetaspace) return CutMetaspace(step, text, first, sink);
  if (s.kind == SplitStep::kByteAlphabet) return Walk(step + 1, ToByteAlphabet(text), first, sink);
  if (s.kind == SplitStep::kPrefixSpace) {
    return text[0] == ' ' ? Walk(step + 1, text, first, sink)
                          : Walk(step + 1, std::string(1, ' ').append(text), first, sink);
  }
  if (s.behavior == SplitBehavior::kIsolated) return CutIsolated(step, text, first, sink);
  CutByBehavior(step, text, first, sink);
}

// Both what matches and what lies between becomes a piece: `invert` makes no difference.
void PreSplit::CutIsolated(size_t step, std::string_view text, bool first, Sink sink) const {
  const Pattern& pattern = steps_[step].pattern;
  size_t done = 0;
  std::optional<size_t> last_end;
  while (const auto match = pattern.Next(text, done, last_end)) {
    Walk(step + 1, text.substr(done, match->begin - done), first && done == 0, sink);
    Walk(step + 1, text.substr(match->begin, match->size()), first && match->begin == 0, sink);
    last_end = done = match->end;
  }
  Walk(step + 1, text.substr(done), first && done == 0, sink);
}

void PreSplit::CutByBehavior(size_t step, std::string_view text, bool first, Sink sink) const {
  const SplitStep& s = steps_[step];
  for (const ByteRange& piece : PiecesOf(StretchesOf(text, s.pattern, s.invert), s.behavior)) {
    Walk(step + 1, text.substr(piece.begin, piece.size()), first && piece.begin == 0, sink);
  }
}

void PreSplit::CutMetaspace(size_t step, std::string_view text, bool first, Sink sink) const {
  const SplitStep& s = steps_[step];
  std::string marked;
  marked.reserve(text.size() + text.size() / 2 + s.mark.size());
  const bool wants_mark = s.prepend == PrependScheme::kAlways || (s.prepend == PrependScheme::kFirst && first);
  if (wants_mark && text[0] != ' ' && text.substr(0, s.mark.size()) != s.mark) marked = s.mark;
  for (const char c : text) c == ' ' ? marked.append(s.mark) : marked.append(1, c);
  if (!s.cut_at_marks) return Walk(step + 1, marked, first, sink);
  const Pattern mark = Pattern::Literal(s.mark);
  for (const ByteRange& piece : PiecesOf(StretchesOf(marked, mark, false), SplitBehavior::kMergedWithNext)) {
    Walk(step + 1, std::string_view(marked).substr(piece.begin, piece.size()), first && piece.begin == 0, sink);
  }
}

}  // namespace braid
