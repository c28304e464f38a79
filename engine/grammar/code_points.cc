#include "engine/grammar/code_points.h"

#include <algorithm>

#include "kernels/base/utf8.h"

namespace braid {
namespace {

constexpr uint32_t kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF;

// The bytes that follow the lead byte `lead`; -1: it is none.
int NumTrailing(uint8_t lead) {
  if (lead < 0x80) return 0;
  if (lead >= 0xC2 && lead <= 0xDF) return 1;
  if (lead >= 0xE0 && lead <= 0xEF) return 2;
  if (lead >= 0xF0 && lead <= 0xF4) return 3;
  return -1;
}

// Both ends have UTF-8 of the same length. Cuts the range until every trailing byte runs over a whole interval.
void Cut(uint32_t first, uint32_t last, int trailing, std::vector<ByteRangeSequence>* out) {
  for (int i = 1; i <= trailing; ++i) {
    const uint32_t low = (1u << (6 * i)) - 1;
    if ((first & ~low) == (last & ~low)) continue;
    if ((first & low) != 0) {
      Cut(first, first | low, trailing, out);
      return Cut((first | low) + 1, last, trailing, out);
    }
    if ((last & low) != low) {
      Cut(first, (last & ~low) - 1, trailing, out);
      return Cut(last & ~low, last, trailing, out);
    }
  }
  const std::string a = Utf8(first), b = Utf8(last);
  ByteRangeSequence sequence;
  for (size_t i = 0; i < a.size(); ++i) {
    sequence.emplace_back(static_cast<uint8_t>(a[i]), static_cast<uint8_t>(b[i]));
  }
  out->push_back(std::move(sequence));
}

}  // namespace

const CodePoints& AllCodePoints() {
  static const CodePoints all = {{0, kFirstSurrogate - 1}, {kLastSurrogate + 1, kMaxCodePoint}};
  return all;
}

CodePoints Normal(CodePoints points) {
  std::sort(points.begin(), points.end());
  CodePoints merged;
  for (auto [first, last] : points) {
    last = std::min(last, kMaxCodePoint);
    if (first > last) continue;
    if (!merged.empty() && first <= merged.back().second + 1) {
      merged.back().second = std::max(merged.back().second, last);
    } else {
      merged.emplace_back(first, last);
    }
  }
  return Intersection(merged, AllCodePoints());
}

CodePoints Complement(const CodePoints& points) {
  CodePoints rest;
  uint32_t next = 0;
  for (const auto& [first, last] : points) {
    if (first > next) rest.emplace_back(next, first - 1);
    next = last + 1;
  }
  if (next <= kMaxCodePoint) rest.emplace_back(next, kMaxCodePoint);
  return Intersection(rest, AllCodePoints());
}

CodePoints Intersection(const CodePoints& a, const CodePoints& b) {
  CodePoints both;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const uint32_t first = std::max(a[i].first, b[j].first), last = std::min(a[i].second, b[j].second);
    if (first <= last) both.emplace_back(first, last);
    (a[i].second < b[j].second ? i : j)++;
  }
  return both;
}

CodePoints Union(CodePoints a, const CodePoints& b) {
  a.insert(a.end(), b.begin(), b.end());
  return Normal(std::move(a));
}

bool Contains(const CodePoints& points, uint32_t point) {
  const auto after = std::upper_bound(points.begin(), points.end(), std::pair{point, kMaxCodePoint + 1});
  return after != points.begin() && std::prev(after)->second >= point;
}

std::optional<std::vector<uint32_t>> CodePointsOf(std::string_view utf8) {
  std::vector<uint32_t> points;
  for (size_t i = 0; i < utf8.size();) {
    const uint8_t lead = utf8[i];
    const int trailing = NumTrailing(lead);
    if (trailing < 0 || utf8.size() - i <= static_cast<size_t>(trailing)) return std::nullopt;
    uint32_t point = trailing == 0 ? lead : lead & (0x3F >> trailing);
    for (int k = 1; k <= trailing; ++k) point = point << 6 | (static_cast<uint8_t>(utf8[i + k]) & 0x3F);
    if (utf8.substr(i, trailing + 1) != Utf8(point)) return std::nullopt;  // bad trailing byte, overlong, too large
    if (point >= kFirstSurrogate && point <= kLastSurrogate) return std::nullopt;
    points.push_back(point);
    i += trailing + 1;
  }
  return points;
}

std::string Utf8(uint32_t point) {
  std::string text;
  AppendUtf8(point, &text);
  return text;
}

std::vector<ByteRangeSequence> Utf8Ranges(const CodePoints& points) {
  static const CodePoints lengths[] = {{{0, 0x7F}}, {{0x80, 0x7FF}}, {{0x800, 0xFFFF}}, {{0x10000, kMaxCodePoint}}};
  std::vector<ByteRangeSequence> sequences;
  for (int trailing = 0; trailing < 4; ++trailing) {
    for (const auto& [first, last] : Intersection(points, lengths[trailing])) Cut(first, last, trailing, &sequences);
  }
  return sequences;
}

}  // namespace braid
