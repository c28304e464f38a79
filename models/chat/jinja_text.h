// Text as Python's str sees it: UTF-8 read as code points, Unicode white space and case. All `text` is well-formed.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace braid::jinja {

bool IsWellFormed(std::string_view text);
size_t CountChars(std::string_view text);

// Reads the code point at byte `*at` and moves `*at` behind it.
char32_t NextChar(std::string_view text, size_t* at);

// The byte where code point number `index` begins; text.size() when there are fewer.
size_t ByteOfChar(std::string_view text, size_t index);

bool IsSpace(char32_t c);
bool IsPrintable(char32_t c);

enum class Side { kLeft, kRight, kBoth };
// Cuts white space, or the characters of `chars`, off the sides named.
std::string_view Strip(std::string_view text, Side side, std::optional<std::string_view> chars = std::nullopt);

std::string Lower(std::string_view text);
std::string Upper(std::string_view text);
std::string Title(std::string_view text);
std::string Capitalize(std::string_view text);

// The first place of `needle` at or after byte `from`, npos when there is none. Linear in the worst case.
size_t Find(std::string_view text, std::string_view needle, size_t from = 0);
// Occurrences that do not overlap; of an empty needle: the places between characters.
size_t Count(std::string_view text, std::string_view needle);

// str.split: at `separator`, or at runs of white space without one; at most `max_splits` cuts unless negative.
std::vector<std::string_view> Split(std::string_view text, std::optional<std::string_view> separator,
                                    int64_t max_splits);
std::vector<std::string_view> SplitFromRight(std::string_view text, std::optional<std::string_view> separator,
                                             int64_t max_splits);
// str.splitlines without line ends.
std::vector<std::string_view> SplitLines(std::string_view text);

// & < > ' " as entities.
std::string EscapeHtml(std::string_view text);

}  // namespace braid::jinja
