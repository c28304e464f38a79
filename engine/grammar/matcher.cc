#include "engine/grammar/matcher.h"

#include <algorithm>

#include "engine/grammar/automaton_builder.h"
#include "engine/grammar/mask_fill.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr int64_t kWarmNs = 3'000'000;
constexpr size_t kFewFrames = 256;  // below, unused frames are left lying
constexpr size_t kLongText = 256;   // from here on, frames are also tidied up within a text

}  // namespace

absl::StatusOr<std::shared_ptr<const CompiledGrammar>> CompiledGrammar::Compile(
    const Grammar& grammar, std::shared_ptr<const TokenVocabulary> vocabulary) {
  ASSIGN_OR_RETURN(Automaton automaton, BuildAutomaton(grammar, *vocabulary));
  std::shared_ptr<CompiledGrammar> compiled(new CompiledGrammar(std::move(automaton), std::move(vocabulary)));
  compiled->masks_.Warm(kWarmNs);
  return compiled;
}

struct GrammarMatcher::State {
  explicit State(std::shared_ptr<const CompiledGrammar> compiled)
      : grammar(std::move(compiled)), walker(grammar->automaton()),
        fill(grammar->automaton(), grammar->vocabulary(), &grammar->masks()) {}
  State(const State& other) : State(other.grammar) { TakePlace(other); }

  void TakePlace(const State& other) {
    frames = other.frames;
    places = other.places;
    tidy_at = other.tidy_at;
    steps = other.steps;
  }

  // Moves over `text`; on failure frames are left to the caller.
  bool Read(std::string_view text, ReadMode mode) {
    for (char c : text) {
      if (!walker.Step(places, static_cast<uint8_t>(c), mode, &frames, &next)) return false;
      std::swap(places, next);
      if (text.size() >= kLongText) Tidy();
    }
    return true;
  }

  bool Accept(std::string_view text, ReadMode mode) {
    const std::vector<StackPlace> before = places;
    const size_t num_frames = frames.size();
    StackFrames kept;
    if (text.size() >= kLongText) kept = frames;
    if (Read(text, mode)) {
      Tidy();
      return true;
    }
    places = before;
    if (text.size() >= kLongText) frames = std::move(kept);
    frames.resize(num_frames);
    return false;
  }

  // Takes out unused frames once there are many, or as many steps were made as there are frames: a step pays for one.
  void Tidy() {
    ++steps;
    if (frames.size() < kFewFrames || (frames.size() < tidy_at && steps < frames.size())) return;
    StackWalker::Compact(&frames, &places);
    tidy_at = std::max(kFewFrames, frames.size() * 2);
    steps = 0;
  }

  bool AcceptMarker(int32_t marker) {
    const size_t num_frames = frames.size();
    if (!walker.StepMarker(places, marker, &frames, &next)) {
      frames.resize(num_frames);
      return false;
    }
    std::swap(places, next);
    Tidy();
    return true;
  }

  // Whether a sentence can be over here; `more`: whether something may follow.
  bool AtEnd(bool* more) {
    const size_t num_frames = frames.size();
    *more = false;
    for (const StackPlace& place : walker.Expand(places, -1, ReadMode::kText, &frames)) {
      const Automaton& automaton = grammar->automaton();
      *more |= !automaton.EdgesOf(place.state).empty() || !automaton.TextEdgesOf(place.state).empty();
    }
    frames.resize(num_frames);
    return walker.at_end();
  }

  // The byte that has to come next; -1: there is a choice, or none.
  int OnlyByte() {
    const Automaton& automaton = grammar->automaton();
    const size_t num_frames = frames.size();
    int only = -1;
    bool choice = false;
    for (const StackPlace& place : walker.Expand(places, -1, ReadMode::kToken, &frames)) {
      choice = choice || !automaton.MarkersOf(place.state).empty();
      for (const ByteEdge& edge : automaton.EdgesOf(place.state)) {
        choice = choice || edge.low != edge.high || (only >= 0 && only != edge.low);
        only = edge.low;
      }
    }
    frames.resize(num_frames);
    return choice || walker.at_end() ? -1 : only;
  }

  std::string ForcedText(size_t most) {
    const std::vector<StackPlace> before = places;
    const size_t num_frames = frames.size();
    std::string text;
    for (int byte; text.size() < most && (byte = OnlyByte()) >= 0; std::swap(places, next)) {
      if (!walker.Step(places, static_cast<uint8_t>(byte), ReadMode::kToken, &frames, &next)) break;
      text.push_back(static_cast<char>(byte));
    }
    places = before;
    frames.resize(num_frames);
    return text;
  }

  std::shared_ptr<const CompiledGrammar> grammar;  // of all matchers on it
  StackWalker walker;
  MaskFill fill;
  StackFrames frames;
  std::vector<StackPlace> places, next;
  size_t tidy_at = kFewFrames, steps = 0;
};

GrammarMatcher::GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar)
    : state_(std::make_unique<State>(std::move(grammar))) {
  state_->frames.push_back({.target = StackFrame::kEndOfText, .parent = -1});
  state_->places.push_back({state_->grammar->automaton().rules[Automaton::kRootRule].start, 0});
}

GrammarMatcher::GrammarMatcher(const GrammarMatcher& other) : state_(std::make_unique<State>(*other.state_)) {}
GrammarMatcher::GrammarMatcher(GrammarMatcher&&) noexcept = default;
GrammarMatcher& GrammarMatcher::operator=(GrammarMatcher&&) noexcept = default;
GrammarMatcher::~GrammarMatcher() = default;

GrammarMatcher& GrammarMatcher::operator=(const GrammarMatcher& other) {
  if (this == &other) return *this;
  if (state_ != nullptr && state_->grammar == other.state_->grammar) {
    state_->TakePlace(*other.state_);
  } else {
    state_ = std::make_unique<State>(*other.state_);
  }
  return *this;
}

bool GrammarMatcher::AcceptBytes(std::string_view text) { return state_->Accept(text, ReadMode::kText); }

bool GrammarMatcher::AcceptToken(int32_t id) {
  const TokenVocabulary& vocabulary = state_->grammar->vocabulary();
  if (id < 0 || id >= vocabulary.size()) return false;
  if (vocabulary.IsSpecial(id)) {
    const auto& markers = state_->grammar->automaton().marker_of_id;
    const auto marker = markers.find(id);
    if (marker != markers.end() && state_->AcceptMarker(marker->second)) return true;
  }
  if (vocabulary.IsEnd(id)) return CanEnd();
  const std::string_view bytes = vocabulary.bytes(id);
  if (vocabulary.IsSpecial(id) || bytes.empty() || bytes.size() > ByteTrie::kMaxLength) return false;
  return state_->Accept(bytes, ReadMode::kToken);
}

bool GrammarMatcher::CanEnd() const {
  bool more;
  return state_->AtEnd(&more);
}

bool GrammarMatcher::MustEnd() const {
  bool more;
  return state_->AtEnd(&more) && !more;
}

void GrammarMatcher::FillMask(std::span<uint32_t> words) const {
  CHECK_GE(words.size(), static_cast<size_t>(state_->grammar->vocabulary().size() + 31) / 32);
  state_->fill.Fill(state_->places, &state_->walker, &state_->frames, words);
}

std::string GrammarMatcher::ForcedText(size_t most) const { return state_->ForcedText(most); }

size_t GrammarMatcher::num_frames() const { return state_->frames.size(); }

}  // namespace braid
