#include "engine/grammar/free_text.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "engine/grammar/code_points.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

// The regular expression that matches `text` itself.
std::string Quoted(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool syntax = c > ' ' && c < 0x7f && !absl::ascii_isalnum(static_cast<unsigned char>(c));
    if (syntax) out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

// `word` behind state `state` ends the free text with its last character and not before.
bool Ends(const TextDfa& free, int state, const std::vector<uint32_t>& word) {
  for (size_t i = 0; i < word.size(); ++i) {
    state = free.Next(state, free.ClassOf(word[i]));
    if (state < 0) return i + 1 == word.size();
  }
  return false;
}

}  // namespace

absl::StatusOr<TextDfa> TextWithout(std::span<const std::string> words) {
  ASSIGN_OR_RETURN(const Regex anything, ParseRegex("[\\s\\S]*"));  // no surrogates, as in `regex` below
  ASSIGN_OR_RETURN(const TextDfa any, RegexDfa(anything, RegexMatch::kWhole));
  if (words.empty()) return any;
  std::string expression;
  for (const std::string& word : words) expression.append(expression.empty() ? "" : "|").append(Quoted(word));
  ASSIGN_OR_RETURN(const Regex regex, ParseRegex(expression));
  ASSIGN_OR_RETURN(const TextDfa found, RegexDfa(regex, RegexMatch::kAnywhere));
  ASSIGN_OR_RETURN(const TextDfa marked, Mark(any, found, 1));
  return Only(marked, 1);
}

TextDfa TextBefore(const TextDfa& free, std::span<const std::string> next) {
  std::vector<std::vector<uint32_t>> words;
  for (const std::string& word : next) words.push_back(CodePointsOf(word).value_or(std::vector<uint32_t>()));
  TextDfa before = free;
  for (int state = 0; state < free.num_states(); ++state) {
    before.label[state] = std::any_of(words.begin(), words.end(), [&](const auto& word) { return Ends(free, state, word); });
  }
  return Smallest(before);
}

}  // namespace braid
