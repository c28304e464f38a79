// JSON as text: strings written, white space cut.
#pragma once

#include <string>
#include <string_view>

namespace braid {

inline constexpr std::string_view kWhiteSpace = " \t\r\n";

inline bool IsWhiteSpace(char byte) { return kWhiteSpace.find(byte) != std::string_view::npos; }
// `text` without white space at both ends.
std::string_view TrimSpace(std::string_view text);

// Appends `text` as the inside of a JSON string; bytes from 0x80 stay as they are.
void AppendEscaped(std::string_view text, std::string* json);
// `text` as a JSON string, with its quotes.
std::string QuotedJson(std::string_view text);

}  // namespace braid
