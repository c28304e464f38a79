#include "models/tokenizer/decoder.h"

#include <algorithm>

#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/byte_token.h"
#include "models/tokenizer/unicode.h"

namespace braid {
namespace {

bool StartsWith(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }
bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// The length of the longest end of `text` that begins `literal` without being all of it.
size_t PossibleStart(std::string_view text, std::string_view literal) {
  for (size_t n = std::min(text.size(), literal.size() - 1); n > 0; --n) {
    if (EndsWith(text, literal.substr(0, n))) return n;
  }
  return 0;
}

// `text` without up to `stop` of `character` at its end.
std::string_view StripEnd(std::string_view text, std::string_view character, size_t stop) {
  for (size_t n = 0; n < stop && !character.empty() && EndsWith(text, character); ++n) {
    text.remove_suffix(character.size());
  }
  return text;
}

// Moves the whole characters at the front of `held` to `out`, U+FFFD for broken ones; an unfinished one stays.
void TakeCertain(std::string* held, std::string* out) {
  std::string_view left = *held;
  while (!left.empty()) {
    const Utf8Front front = FrontOf(left);
    if (front.kind == Utf8Front::kUnfinished) break;
    out->append(front.kind == Utf8Front::kWhole ? left.substr(0, front.length) : kReplacementCharacter);
    left.remove_prefix(front.length);
  }
  held->erase(0, held->size() - left.size());
}

}  // namespace

Decoder::Decoder(std::vector<DecoderStep> steps) : steps_(std::move(steps)) {
  bool joined = false;
  for (const DecoderStep& step : steps_) {
    joined_.push_back(joined);
    joined = joined || step.kind == DecoderStep::kFuse || step.kind == DecoderStep::kByteAlphabet;
  }
}

std::string Decoder::BytesOf(std::string_view spelling) const {
  std::string bytes(spelling);
  for (size_t i = 0; i < steps_.size() && !joined_[i]; ++i) {
    const DecoderStep& step = steps_[i];
    if (step.kind == DecoderStep::kByteAlphabet) {
      if (auto mapped = FromByteAlphabet(bytes)) return *mapped;
    } else if (step.kind == DecoderStep::kByteFallback) {
      if (const auto byte = ByteOfToken(bytes)) return std::string(1, static_cast<char>(*byte));
    } else if (step.kind == DecoderStep::kReplace) {
      bytes = ReplaceAll(bytes, step.pattern, step.content);
    } else if (step.kind == DecoderStep::kMetaspace) {
      bytes = ReplaceAll(bytes, Pattern::Literal(step.content), " ");
    } else if (step.kind == DecoderStep::kSuffixSpace && EndsWith(bytes, step.content)) {
      bytes.resize(bytes.size() - step.content.size());
      bytes.push_back(' ');
    }
  }
  return bytes;
}

Decoder::Run::Run(const Decoder& decoder) : decoder_(decoder), states_(decoder.steps_.size()) {}

void Decoder::Run::Push(std::string_view spelling, std::string* out) { Feed(0, spelling, out); }

void Decoder::Run::Finish(std::string* out) {
  for (size_t i = 0; i < states_.size(); ++i) FinishStep(i, out);
}

// Steps are at most as many as the file's decoder has: the walk is that deep.
void Decoder::Run::Feed(size_t step, std::string_view token, std::string* out) {
  if (step == decoder_.steps_.size()) {
    out->append(token);
    return;
  }
  switch (decoder_.steps_[step].kind) {
    case DecoderStep::kByteAlphabet:
      FeedByteAlphabet(step, token, out);
      break;
    case DecoderStep::kByteFallback:
      FeedByteFallback(step, token, out);
      break;
    case DecoderStep::kReplace:
      FeedReplace(step, token, out);
      break;
    case DecoderStep::kStrip:
      FeedStrip(step, token, out);
      break;
    case DecoderStep::kFuse:
      Feed(step + 1, token, out);
      break;
    case DecoderStep::kMetaspace:
      FeedMetaspace(step, token, out);
      break;
    case DecoderStep::kSuffixSpace:
      FeedSuffixSpace(step, token, out);
      break;
    case DecoderStep::kJoinSpace:
      if (!states_[step].first) Feed(step + 1, " ", out);
      Feed(step + 1, token, out);
      break;
  }
  // What is joined is one token, and the first.
  if (!decoder_.joined_[step]) states_[step].first = false;
}

void Decoder::Run::FeedByteAlphabet(size_t step, std::string_view token, std::string* out) {
  std::string& held = states_[step].held;
  if (const auto bytes = FromByteAlphabet(token)) {
    held.append(*bytes);
  } else {
    held.append(token);
  }
  std::string certain;
  TakeCertain(&held, &certain);
  if (!certain.empty()) Feed(step + 1, certain, out);
}

void Decoder::Run::FeedByteFallback(size_t step, std::string_view token, std::string* out) {
  if (decoder_.joined_[step]) return Feed(step + 1, token, out);  // inside a joined text there are no tokens
  State& state = states_[step];
  if (const auto byte = ByteOfToken(token)) {
    state.held.push_back(static_cast<char>(*byte));
    ++state.run;
    return;
  }
  FlushFallback(step, out);
  Feed(step + 1, token, out);
}

// One bad byte spoils its whole run, so nothing of a run is certain before its end.
void Decoder::Run::FlushFallback(size_t step, std::string* out) {
  State& state = states_[step];
  const std::string bytes = std::move(state.held);
  const size_t run = state.run;
  state.held.clear();
  state.run = 0;
  if (run == 0) return;
  if (IsWellFormed(bytes)) return Feed(step + 1, bytes, out);
  for (size_t i = 0; i < run; ++i) Feed(step + 1, kReplacementCharacter, out);
}

void Decoder::Run::FeedReplace(size_t step, std::string_view token, std::string* out) {
  const DecoderStep& s = decoder_.steps_[step];
  if (!decoder_.joined_[step]) return Feed(step + 1, ReplaceAll(token, s.pattern, s.content), out);
  std::string& held = states_[step].held;
  held.append(token);
  if (s.literal.empty()) return;  // an expression may look at all of the text: wait for its end
  // Only what cannot be the start of another occurrence is certain.
  size_t done = 0;
  std::string certain;
  for (size_t at = held.find(s.literal); at != std::string::npos; at = held.find(s.literal, done)) {
    certain.append(held, done, at - done).append(s.content);
    done = at + s.literal.size();
  }
  held.erase(0, done);
  const size_t keep = PossibleStart(held, s.literal);
  certain.append(held, 0, held.size() - keep);
  held.erase(0, held.size() - keep);
  if (!certain.empty()) Feed(step + 1, certain, out);
}

void Decoder::Run::FeedStrip(size_t step, std::string_view token, std::string* out) {
  const DecoderStep& s = decoder_.steps_[step];
  State& state = states_[step];
  const bool joined = decoder_.joined_[step];
  if (!joined) state.stripped = 0;
  while (state.stripped < s.start && !s.content.empty() && StartsWith(token, s.content)) {
    token.remove_prefix(s.content.size());
    ++state.stripped;
  }
  if (!joined) return Feed(step + 1, StripEnd(token, s.content, s.stop), out);
  if (token.empty()) return;
  state.stripped = s.start;  // the front ends with the first other character
  if (s.stop == 0) return Feed(step + 1, token, out);
  // Held back are copies of the one character that may be the last ones.
  const std::string_view rest = StripEnd(token, s.content, s.stop);
  std::string certain;
  if (!rest.empty()) {
    certain = std::move(state.held).append(rest);
    state.held = token.substr(rest.size());
  } else {
    const size_t copies = (state.held.size() + token.size()) / s.content.size(), kept = std::min(copies, s.stop);
    state.held.append(token);
    certain = state.held.substr(kept * s.content.size());
    state.held.resize(kept * s.content.size());
  }
  if (!certain.empty()) Feed(step + 1, certain, out);
}

void Decoder::Run::FeedMetaspace(size_t step, std::string_view token, std::string* out) {
  const DecoderStep& s = decoder_.steps_[step];
  const std::string_view space = states_[step].first && s.drop_first ? "" : " ";
  Feed(step + 1, ReplaceAll(token, Pattern::Literal(s.content), space), out);
}

void Decoder::Run::FeedSuffixSpace(size_t step, std::string_view token, std::string* out) {
  const std::string& suffix = decoder_.steps_[step].content;
  State& state = states_[step];
  if (!state.first) Feed(step + 1, ReplaceAll(state.held, Pattern::Literal(suffix), " "), out);
  state.held = token;
}

void Decoder::Run::FinishStep(size_t step, std::string* out) {
  State& state = states_[step];
  const DecoderStep& s = decoder_.steps_[step];
  const std::string held = state.held;
  if (s.kind == DecoderStep::kByteFallback) return FlushFallback(step, out);
  if (s.kind == DecoderStep::kStrip || held.empty()) return;  // what was held back is what is stripped
  if (s.kind == DecoderStep::kByteAlphabet) return Feed(step + 1, kReplacementCharacter, out);
  if (s.kind == DecoderStep::kSuffixSpace)
    return Feed(step + 1, ReplaceAll(held, Pattern::Literal(s.content), ""), out);
  if (s.kind == DecoderStep::kReplace) Feed(step + 1, ReplaceAll(held, s.pattern, s.content), out);
}

}  // namespace braid
