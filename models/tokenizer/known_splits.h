// Matchers by hand for the splitters of well-known models: several times as fast as a regular-expression engine.
#pragma once

#include <cstddef>
#include <string_view>

#include "models/tokenizer/unicode.h"

namespace braid {

// Returns the length in bytes of the match that begins at `at` of `text` (well-formed UTF-8); 0 when there is none.
using KnownMatcher = size_t (*)(const CharClasses& classes, std::string_view text, size_t at);

// Returns the matcher that does exactly what `expression` says; null when there is none.
KnownMatcher KnownMatcherOf(std::string_view expression);

// \w+|[^\w\s]+ with the \w of UTS 18, which is not quite that of tokenizer.json's expressions.
size_t MatchWordOrSymbols(const CharClasses& classes, std::string_view text, size_t at);

// The expressions as they stand in tokenizer.json files.
extern const std::string_view kGpt2Expression;      // GPT-2, and ByteLevel with use_regex
extern const std::string_view kLlama3Expression;    // Llama 3: numbers of up to three digits
extern const std::string_view kQwen2Expression;     // Qwen 2, 2.5, 3: single digits
extern const std::string_view kQwen35Expression;    // Qwen 3.5: marks belong to words
extern const std::string_view kTekkenExpression;    // Mistral Nemo and later, Nemotron-H, Nano 2, Nemotron 3
extern const std::string_view kO200kExpression;     // gpt-oss
extern const std::string_view kDeepSeekExpression;  // DeepSeek V3, the third of its splits
extern const std::string_view kThreeDigitsExpression;
extern const std::string_view kHanKanaExpression;

}  // namespace braid
