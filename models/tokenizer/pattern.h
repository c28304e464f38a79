// What a tokenizer file calls a pattern: a literal, a regular expression, or a known one with a matcher by hand.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "models/tokenizer/known_splits.h"
#include "models/tokenizer/unicode.h"

namespace braid {

class Regex;

// A half-open range of bytes.
struct ByteRange {
  size_t begin, end;
  size_t size() const { return end - begin; }
};

// Finds matches from left to right. Immutable. Thread: any.
class Pattern {
 public:
  static Pattern Literal(std::string text);
  // Compiles `expression`; the splitters of well-known models get a matcher written by hand.
  static absl::StatusOr<Pattern> Expression(const std::string& expression);
  static Pattern Known(KnownMatcher match);
  // Each character of one of `classes` is a match of its own.
  static Pattern OneOf(CharClass classes);

  // Returns the first match at or behind `from`. A regular expression that exceeds its step limit matches nothing.
  // An empty match is never returned at `last_end`, the end of the match before.
  std::optional<ByteRange> Next(std::string_view text, size_t from, std::optional<size_t> last_end) const;

  // No match has fewer bytes; 0 also where that is not known.
  size_t least_bytes() const { return literal_.size(); }

  // The matcher by hand, if there is one.
  KnownMatcher known() const { return known_; }

 private:
  KnownMatcher known_ = nullptr;
  std::shared_ptr<const Regex> regex_;  // shared: steps that hold patterns are copied while a file is read
  std::string literal_;
  CharClass classes_ = 0;
};

// Returns `text` with every match of `pattern` replaced by `content`.
std::string ReplaceAll(std::string_view text, const Pattern& pattern, std::string_view content);

}  // namespace braid
