#include "models/chat/output/json_text.h"

namespace braid {
namespace {

void AppendEscapedByte(char byte, std::string* json) {
  constexpr std::string_view kNamed = "\"\\\n\r\t\b\f", kLetters = "\"\\nrtbf";
  constexpr std::string_view kHex = "0123456789abcdef";
  if (const size_t which = kNamed.find(byte); which != std::string_view::npos) {
    json->push_back('\\');
    json->push_back(kLetters[which]);
  } else if (static_cast<unsigned char>(byte) < 0x20) {
    json->append("\\u00");
    json->push_back(kHex[byte >> 4]);
    json->push_back(kHex[byte & 15]);
  } else {
    json->push_back(byte);
  }
}

}  // namespace

std::string_view TrimSpace(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhiteSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhiteSpace) + 1 - begin);
}

void AppendEscaped(std::string_view text, std::string* json) {
  for (const char byte : text) AppendEscapedByte(byte, json);
}

std::string QuotedJson(std::string_view text) {
  std::string json = "\"";
  AppendEscaped(text, &json);
  json.push_back('"');
  return json;
}

}  // namespace braid
