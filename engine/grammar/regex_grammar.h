// Regular expressions to grammars, keeping their counts.
#pragma once

#include <functional>
#include <optional>

#include "engine/grammar/grammar.h"
#include "engine/grammar/regex.h"

namespace braid {

// Adds the node that matches one code point of a set, as it is spelled where the text will stand (plain UTF-8, or
// inside a JSON string).
using CharSpelling = std::function<int32_t(const CodePoints&)>;

CharSpelling Utf8Spelling(GrammarBuilder* builder);

enum class RegexMatch {
  kWhole,     // the whole text matches
  kAnywhere,  // some part of the text does
};

// Adds the texts that `regex` matches; nullopt where an anchor stands elsewhere than at an end of the expression (then
// only an automaton tells).
std::optional<int32_t> AddRegexTree(const Regex& regex, RegexMatch match, const CharSpelling& spell,
                                    GrammarBuilder* builder);

// Every text that `regex` matches anywhere, it matches from start to end: ^...$.
bool IsAnchored(const Regex& regex);

// Code points of the texts that an anchored `regex` matches: least and most; most -1: any number.
struct TextLength {
  int64_t least = 0, most = 0;
};
TextLength LengthOf(const Regex& regex);

// `regex` is ^ one set repeated $.
struct RepeatedChars {
  CodePoints chars;
  int min = 1, max = 1;
};
std::optional<RepeatedChars> AsRepeatedChars(const Regex& regex);

}  // namespace braid
