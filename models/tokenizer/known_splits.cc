#include "models/tokenizer/known_splits.h"

namespace braid {

const std::string_view kGpt2Expression =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string_view kLlama3Expression =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kQwen2Expression =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kQwen35Expression =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kTekkenExpression =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kO200kExpression =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kDeepSeekExpression =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kThreeDigitsExpression = R"(\p{N}{1,3})";
const std::string_view kHanKanaExpression = "[一-龥\u3040-ゟ゠-ヿ]+";

namespace {

enum class Contractions { kNone, kFirst, kAfterWord };
enum class Words {
  kLetters,          // [^\r\n\p{L}\p{N}]?\p{L}+
  kLettersAndMarks,  // [^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+
  kByCase,           // [^\r\n\p{L}\p{N}]?(upper* lower+ | upper+ lower*), caseless letters and marks are both
};
struct Rules {
  Contractions contractions;
  Words words;
  int max_digits;
  CharClass not_symbol;  // what the symbol class leaves out
  bool slash_in_tail;    // '/' belongs to the line ends behind symbols
};

constexpr CharClass kUpperSet = kUpper | kCaseless | kMark;
constexpr CharClass kLowerSet = kLower | kCaseless | kMark;

// A text with the class of the character at a place; behind the end it is kEnd.
struct View {
  const CharClasses& classes;
  std::string_view text;

  struct Char {
    CharClass bits;
    uint8_t length;
  };
  Char At(size_t at) const {
    const CodePoint c = ReadUtf8(text, at);
    if (c.length == 0) return {kEnd, 0};
    return {classes.Of(c.value), c.length};
  }
  // The end of the run of characters of `wanted` from `at`.
  size_t Run(size_t at, CharClass wanted) const {
    for (Char c = At(at); c.bits & wanted; c = At(at)) at += c.length;
    return at;
  }
  // The end of the run of characters of none of `unwanted` from `at`.
  size_t RunNot(size_t at, CharClass unwanted) const {
    for (Char c = At(at); !(c.bits & (unwanted | kEnd)); c = At(at)) at += c.length;
    return at;
  }
  char Byte(size_t at) const { return at < text.size() ? text[at] : '\0'; }
  size_t Before(size_t at) const {
    do --at;
    while ((static_cast<uint8_t>(text[at]) & 0xC0) == 0x80);
    return at;
  }
};

// '(s|t|re|ve|m|ll|d); blind to case also the long s, U+017F.
size_t Contraction(const View& v, size_t at, bool any_case) {
  if (v.Byte(at) != '\'') return 0;
  const auto letter = [&](size_t i) {
    const char c = v.Byte(i);
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char a = letter(at + 1), b = a != '\0' ? letter(at + 2) : '\0';
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
  if (any_case && v.text.substr(at + 1, 2) == "\u017F") return 3;
  return 0;
}

// upper* lower+ from `at`: the end, or `at` when it does not match.
size_t UpperThenLower(const View& v, size_t at) {
  const size_t upper_end = v.Run(at, kUpperSet);
  const size_t end = v.Run(upper_end, kLowerSet);
  if (end > upper_end) return end;
  // Give back what the greedy run took, down to the last character that is also lower.
  for (size_t k = upper_end; k > at;) {
    const size_t before = v.Before(k);
    if (v.At(before).bits & kLowerSet) return k;
    k = before;
  }
  return at;
}

// upper+ lower* from `at`.
size_t UpperFirst(const View& v, size_t at) {
  const size_t upper_end = v.Run(at, kUpperSet);
  return upper_end > at ? v.Run(upper_end, kLowerSet) : at;
}

// The end of a word that may have one other character in front; `at` when there is none.
template <Rules R>
size_t Word(const View& v, size_t at) {
  const View::Char first = v.At(at);
  const bool may_lead = !(first.bits & (kLetter | kNumber | kNewline | kEnd));
  const size_t second = at + first.length;
  if constexpr (R.words == Words::kByCase) {
    for (auto* match : {&UpperThenLower, &UpperFirst}) {
      if (may_lead) {
        if (const size_t end = match(v, second); end > second) return end;
      }
      if (const size_t end = match(v, at); end > at) return end;
    }
    return at;
  } else {
    constexpr CharClass kInside = R.words == Words::kLetters ? kLetter : kLetter | kMark;
    if (may_lead) {
      if (const size_t end = v.Run(second, kInside); end > second) return end;
    }
    return v.Run(at, kInside);
  }
}

// \s*[\r\n]+|\s+(?!\S)|\s+ without its first alternative when `line_ends` is false.
size_t Spaces(const View& v, size_t at, bool line_ends) {
  size_t end = at, last = at, behind_line_end = 0;
  for (View::Char c = v.At(end); c.bits & kSpace; c = v.At(end)) {
    last = end;
    end += c.length;
    if (c.bits & kNewline) behind_line_end = end;
  }
  if (line_ends && behind_line_end > 0) return behind_line_end - at;
  // The last space before a word stays with the word, unless it is the only one.
  if (end < v.text.size() && last > at) return last - at;
  return end - at;
}

// The end of at most `most` numbers from `at`.
size_t Numbers(const View& v, size_t at, int most) {
  for (View::Char c = v.At(at); most > 0 && (c.bits & kNumber); c = v.At(at), --most) at += c.length;
  return at;
}

// The end of the line ends (and slashes) from `at`.
size_t Tail(const View& v, size_t at, bool slash) {
  for (char c = v.Byte(at); c == '\r' || c == '\n' || (slash && c == '/'); c = v.Byte(at)) ++at;
  return at;
}

template <Rules R>
size_t MatchByRules(const CharClasses& classes, std::string_view text, size_t at) {
  const View v{classes, text};
  if constexpr (R.contractions == Contractions::kFirst) {
    if (const size_t length = Contraction(v, at, true)) return length;
  }
  if (const size_t end = Word<R>(v, at); end > at) {
    return end - at + (R.contractions == Contractions::kAfterWord ? Contraction(v, end, true) : 0);
  }
  if (const size_t end = Numbers(v, at, R.max_digits); end > at) return end - at;
  const size_t symbols = at + (v.Byte(at) == ' ' ? 1 : 0);
  if (const size_t end = v.RunNot(symbols, R.not_symbol); end > symbols) return Tail(v, end, R.slash_in_tail) - at;
  return Spaces(v, at, true);
}

size_t MatchGpt2(const CharClasses& classes, std::string_view text, size_t at) {
  const View v{classes, text};
  if (const size_t length = Contraction(v, at, false)) return length;
  const size_t start = at + (v.Byte(at) == ' ' ? 1 : 0);
  const CharClass kind = v.At(start).bits;
  if (kind & kLetter) return v.Run(start, kLetter) - at;
  if (kind & kNumber) return v.Run(start, kNumber) - at;
  if (const size_t end = v.RunNot(start, kSpace | kLetter | kNumber); end > start) return end - at;
  return Spaces(v, at, false);
}

bool IsAsciiPunctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}
bool IsAsciiLetter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

size_t MatchDeepSeek(const CharClasses& classes, std::string_view text, size_t at) {
  const View v{classes, text};
  if (IsAsciiPunctuation(v.Byte(at)) && IsAsciiLetter(v.Byte(at + 1))) {
    size_t end = at + 1;
    while (IsAsciiLetter(v.Byte(end))) ++end;
    return end - at;
  }
  const View::Char first = v.At(at);
  const size_t second = at + first.length;
  if (!(first.bits & (kLetter | kPunctuation | kSymbol | kNewline | kEnd))) {
    if (const size_t end = v.Run(second, kLetter | kMark); end > second) return end - at;
  }
  if (const size_t end = v.Run(at, kLetter | kMark); end > at) return end - at;
  const size_t symbols = at + (v.Byte(at) == ' ' ? 1 : 0);
  if (const size_t end = v.Run(symbols, kPunctuation | kSymbol); end > symbols) return Tail(v, end, false) - at;
  return Spaces(v, at, true);
}

size_t MatchThreeDigits(const CharClasses& classes, std::string_view text, size_t at) {
  return Numbers({classes, text}, at, 3) - at;
}

size_t MatchHanKana(const CharClasses&, std::string_view text, size_t at) {
  size_t end = at;
  for (CodePoint c = ReadUtf8(text, end);
       (c.value >= 0x4E00 && c.value <= 0x9FA5) || (c.value >= 0x3040 && c.value <= 0x30FF); c = ReadUtf8(text, end)) {
    end += c.length;
  }
  return end - at;
}

constexpr CharClass kNotSymbol = kSpace | kLetter | kNumber;
constexpr Rules kLlama3{Contractions::kFirst, Words::kLetters, 3, kNotSymbol, false};
constexpr Rules kQwen2{Contractions::kFirst, Words::kLetters, 1, kNotSymbol, false};
constexpr Rules kQwen35{Contractions::kFirst, Words::kLettersAndMarks, 1, kNotSymbol | kMark, false};
constexpr Rules kTekken{Contractions::kNone, Words::kByCase, 1, kNotSymbol, true};
constexpr Rules kO200k{Contractions::kAfterWord, Words::kByCase, 3, kNotSymbol, true};

}  // namespace

size_t MatchWordOrSymbols(const CharClasses& classes, std::string_view text, size_t at) {
  const View v{classes, text};
  if (const size_t end = v.Run(at, kWord); end > at) return end - at;
  return v.RunNot(at, kWord | kSpace) - at;
}

KnownMatcher KnownMatcherOf(std::string_view expression) {
  if (expression == kGpt2Expression) return MatchGpt2;
  if (expression == kLlama3Expression) return MatchByRules<kLlama3>;
  if (expression == kQwen2Expression) return MatchByRules<kQwen2>;
  if (expression == kQwen35Expression) return MatchByRules<kQwen35>;
  if (expression == kTekkenExpression) return MatchByRules<kTekken>;
  if (expression == kO200kExpression) return MatchByRules<kO200k>;
  if (expression == kDeepSeekExpression) return MatchDeepSeek;
  if (expression == kThreeDigitsExpression) return MatchThreeDigits;
  if (expression == kHanKanaExpression) return MatchHanKana;
  return nullptr;
}

}  // namespace braid
