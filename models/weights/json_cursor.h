// Walks JSON text member by member without building a document: memory stays that of what the caller keeps.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"

namespace braid {

// Every step answers false once something is wrong; error() says what was wrong first. Nesting is at most 64 deep.
class JsonCursor {
 public:
  explicit JsonCursor(std::string_view text) : text_(text) {}

  // Walks an object and calls `member` with each name, in order; it must walk the value. Names may repeat.
  bool Object(absl::FunctionRef<bool(const std::string& name)> member);
  // Walks an array; `element` must walk one element.
  bool Array(absl::FunctionRef<bool()> element);
  // An integer from 0 to 2^64 - 1, written without sign, fraction and exponent.
  bool Unsigned(uint64_t* value);
  // A string of at most kMaxTextBytes bytes (as written) without control characters.
  bool Text(std::string* value);
  // Any value.
  bool Skip();
  // Nothing but white space is left.
  bool End();

  // Records `what` with the place, unless something was wrong already; false.
  bool Fail(std::string_view what);
  const std::string& error() const { return error_; }

  static constexpr size_t kMaxTextBytes = 4096;
  static constexpr int kMaxDepth = 64;

 private:
  void SkipSpace();
  bool Next(char wanted);  // consumes `wanted` if it comes next
  bool Expect(char wanted);
  bool RawText(std::string_view* quoted);  // with its quotes and escapes
  bool Scalar(std::string_view* word);     // a number or literal as written
  bool Open(char bracket);

  std::string_view text_;
  size_t position_ = 0;
  int depth_ = 0;
  std::string error_;
};

}  // namespace braid
