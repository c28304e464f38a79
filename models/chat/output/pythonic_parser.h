// Calls written as a list of Python calls: [f(a=1, b='x'), g()]. Keyword arguments that are literals, nothing else;
// each call leaves when its parenthesis closes, and a list that turns out to be no call is content.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "models/chat/output/tool_parser.h"

namespace braid {

// Finds where a Python value ends, byte by byte: quotes and brackets are followed, the rest is not looked at.
class PythonValueEnd {
 public:
  // Whether a ',' or ')' that comes next would end the value.
  bool outside() const { return depth_ == 0 && !InQuotes(); }
  // Takes a byte; false when brackets do not fit or nest too deep.
  bool Push(char byte);

 private:
  enum class State : uint8_t { kOutside, kOpened1, kOpened2, kInside, kEscape };
  bool InQuotes() const { return state_ != State::kOutside && state_ != State::kOpened2; }
  bool Outside(char byte);
  void Inside(char byte);

  State state_ = State::kOutside;
  char quote_ = 0;
  bool triple_ = false;
  int closing_ = 0;  // quotes of the three that end a triple-quoted string
  int depth_ = 0;
};

class PythonicToolParser : public ToolParser {
 public:
  std::vector<std::string> openers() const override { return {"<|python_start|>", "<|tool_call_start|>"}; }
  std::vector<std::string> vanishing() const override { return {"<|python_end|>", "<|tool_call_end|>"}; }
  std::string_view start_bytes() const override { return "["; }
  void Begin() override;
  Progress Read(MarkerScanner* text, DeltaWriter* out) override;
  void End(bool cut, DeltaWriter* out) override;

 private:
  enum class State : uint8_t { kOpen, kCallOrEnd, kName, kKeyOrEnd, kKey, kEquals, kValue, kNext };
  enum class Step : uint8_t { kMore, kOver, kBad };
  Step Push(char byte, DeltaWriter* out);
  Step Between(char byte, DeltaWriter* out);
  Step NameByte(char byte);
  Step KeyByte(char byte);
  Step ValueByte(char byte, DeltaWriter* out);
  Step EndCall(DeltaWriter* out);

  State state_ = State::kOpen;
  std::string name_, key_, value_;
  PythonValueEnd value_end_;
  std::string arguments_;
  std::set<std::string> keys_;
  bool any_call_ = false;  // in this list
  std::string raw_;        // what has been read since the last call
};

}  // namespace braid
