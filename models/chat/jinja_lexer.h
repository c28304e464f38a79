// Template text to tokens, with the white-space rules chat templates count on (trim_blocks, lstrip_blocks, one newline
// at the very end dropped).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace braid::jinja {

enum class TokenKind {
  kText,
  kPrintBegin,
  kPrintEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind;
  std::string text;  // a string's content with its escapes resolved; digits without underscores
  int line;          // from 1
};

// Throws Error. The last token is kEnd.
std::vector<Token> Lex(std::string_view source);

}  // namespace braid::jinja
