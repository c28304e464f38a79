// A grammar walked along a text, with the mask checked on the way.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "engine/grammar/matcher.h"
#include "tests/fuzz/input.h"

namespace braid::fuzz {

// Every byte, a few longer tokens, one special token and the end, in this order.
inline std::shared_ptr<const TokenVocabulary> WalkVocabulary() {
  std::vector<std::string> bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.emplace_back(1, static_cast<char>(byte));
  for (const char* token : {"ab", "abc", "{\"", "\":", "\": \"", "true", " ", "  ", "12", "0.5", "\xc3\xa9", "\\u00"}) bytes.emplace_back(token);
  std::vector<bool> special(bytes.size(), false);
  for (const char* token : {"<tool_call>", "</s>"}) bytes.emplace_back(token);
  special.resize(bytes.size(), true);
  const auto end = static_cast<int32_t>(bytes.size()) - 1;
  return TokenVocabulary::Make(std::move(bytes), std::move(special), {end});
}

// A token that the mask lets through is one that the matcher takes. Of bytes every tenth is tried, from `first` on.
inline void CheckMask(const GrammarMatcher& matcher, const TokenVocabulary& vocabulary, int32_t first) {
  std::vector<uint32_t> words((vocabulary.size() + 31) / 32);
  matcher.FillMask(words);
  for (int32_t id = first; id < vocabulary.size(); id += id < 246 ? 10 : 1) {
    const bool allowed = words[id / 32] >> (id % 32) & 1;
    if (vocabulary.IsEnd(id)) CHECK(allowed == matcher.CanEnd()) << "end";
    else if (allowed) CHECK(GrammarMatcher(matcher).AcceptToken(id)) << "token " << id;
  }
}

// Whether `text` is a sentence. The mask is looked at in the first places.
inline bool Walk(const Grammar& grammar, std::string_view text) {
  static const std::shared_ptr<const TokenVocabulary> vocabulary = WalkVocabulary();
  const auto compiled = CompiledGrammar::Compile(grammar, vocabulary);
  CheckRefusal(compiled.status());
  if (!compiled.ok()) return false;
  GrammarMatcher matcher(*compiled);
  CheckMask(matcher, *vocabulary, static_cast<int32_t>(text.size() % 10));
  for (size_t i = 0; i < text.size(); ++i) {
    if (!matcher.AcceptBytes(text.substr(i, 1))) return false;
    if (i < 2) CheckMask(matcher, *vocabulary, static_cast<uint8_t>(text[i]) % 10);
  }
  return matcher.CanEnd();
}

}  // namespace braid::fuzz
