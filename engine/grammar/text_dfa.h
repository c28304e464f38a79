// Deterministic automata over code points: for what a grammar cannot say by itself, that a text is in two languages at
// once (a pattern and a length, a name that is none of the declared ones), and which of several patterns it matches.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/grammar/regex_grammar.h"

namespace braid {

// State 0 is the start. Code points of one class behave alike everywhere.
struct TextDfa {
  std::vector<uint32_t> starts;  // class c is the code points starts[c] .. starts[c + 1] - 1; starts[0] is 0
  std::vector<int32_t> next;     // [states, classes]; -1: no way
  std::vector<uint64_t> label;   // [states]; 0: not accepted; bit 0: accepted; the others: see Mark

  int num_states() const { return static_cast<int>(label.size()); }
  int num_classes() const { return static_cast<int>(starts.size()); }
  int ClassOf(uint32_t point) const;
  int Next(int state, int char_class) const { return next[static_cast<size_t>(state) * starts.size() + char_class]; }
};

inline constexpr int kMaxDfaStates = 8'000;
inline constexpr int64_t kMaxDfaEdges = 2'000'000;

// InvalidArgument where the automaton would be too large.
absl::StatusOr<TextDfa> RegexDfa(const Regex& regex, RegexMatch match);
absl::StatusOr<TextDfa> Both(const TextDfa& a, const TextDfa& b);
// The texts of `a`; those that `b` accepts too get the bit `bit` in their label.
absl::StatusOr<TextDfa> Mark(const TextDfa& a, const TextDfa& b, int bit);

// Texts of `least` to `most` code points; most -1: any number.
absl::StatusOr<TextDfa> LengthDfa(int64_t least, int64_t most);
// Every text but `words`.
absl::StatusOr<TextDfa> AllBut(std::span<const std::string> words);
// Only the texts whose label is `label`, now labelled 1; trimmed and with the fewest states.
TextDfa Only(const TextDfa& dfa, uint64_t label);
// The labels that some text has.
std::vector<uint64_t> Labels(const TextDfa& dfa);

// Takes out the states that lead nowhere, and joins those that behave alike.
TextDfa Smallest(const TextDfa& dfa);
// No text is accepted.
bool IsEmpty(const TextDfa& dfa);
// The label of `utf8`; 0: not accepted.
uint64_t LabelOf(const TextDfa& dfa, std::string_view utf8);

// Adds the accepted texts.
int32_t AddDfa(const TextDfa& dfa, const CharSpelling& spell, GrammarBuilder* builder);

}  // namespace braid
