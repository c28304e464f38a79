// Regular expressions, as Python and ECMAScript both read them: the tree of one. Where the two differ: \d and \w are
// ASCII's, \s is every white space of Unicode, '.' is any character but a line end.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/grammar/code_points.h"

namespace braid {

struct RegexNode {
  enum class Kind : uint8_t {
    kEmpty,
    kChars,     // one code point of `chars`
    kSequence,  // `children` one after another
    kChoice,    // one of `children`
    kRepeat,    // children[0], `min` to `max` times; max -1: any number
    kStart,     // ^
    kEnd,       // $
  };
  Kind kind = Kind::kEmpty;
  CodePoints chars;
  std::vector<int> children;
  int min = 0, max = 0;
};

struct Regex {
  std::vector<RegexNode> nodes;
  int root = 0;

  const RegexNode& at(int id) const { return nodes[id]; }
};

// Refuses by name what no regular language has (back references, lookaround, word boundaries, ...), what the two
// dialects read differently, and counts that multiply past kMaxRegexSize.
absl::StatusOr<Regex> ParseRegex(std::string_view pattern);

inline constexpr int64_t kMaxRegexSize = 200'000;  // nodes, counts written out
inline constexpr size_t kMaxRegexBytes = 64 << 10;

}  // namespace braid
