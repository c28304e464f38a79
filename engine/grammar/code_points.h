// Sets of Unicode code points, and text as code points.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace braid {

// Ranges, both ends included; sorted, disjoint and never adjacent once Normal() made them so.
using CodePoints = std::vector<std::pair<uint32_t, uint32_t>>;

inline constexpr uint32_t kMaxCodePoint = 0x10FFFF;

// Every code point but the surrogates.
const CodePoints& AllCodePoints();
// Sorted and merged, without surrogates.
CodePoints Normal(CodePoints points);
CodePoints Complement(const CodePoints& points);
CodePoints Intersection(const CodePoints& a, const CodePoints& b);
CodePoints Union(CodePoints a, const CodePoints& b);
bool Contains(const CodePoints& points, uint32_t point);

// The code points of UTF-8; nullopt where it is ill-formed.
std::optional<std::vector<uint32_t>> CodePointsOf(std::string_view utf8);
std::string Utf8(uint32_t point);

// Bytes that may stand one after another: one set a position.
using ByteRangeSequence = std::vector<std::pair<uint8_t, uint8_t>>;
// The UTF-8 of every code point in `points`, each in exactly one of the sequences.
std::vector<ByteRangeSequence> Utf8Ranges(const CodePoints& points);

}  // namespace braid
