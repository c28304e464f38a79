#include "models/chat/output/pythonic_parser.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "models/chat/output/json_text.h"
#include "models/chat/output/python_literal.h"

namespace braid {
namespace {

constexpr int kMaxDepth = 64;

bool BeginsName(char byte) { return absl::ascii_isalpha(byte) || byte == '_'; }
bool IsNameByte(char byte) { return absl::ascii_isalnum(byte) || byte == '_' || byte == '-' || byte == '.'; }

}  // namespace

bool PythonValueEnd::Push(char byte) {
  switch (state_) {
    case State::kOutside:
      return Outside(byte);
    case State::kOpened1:  // behind the first quote
      state_ = State::kInside;
      if (byte == quote_) {
        state_ = State::kOpened2;
      } else {
        Inside(byte);
      }
      return true;
    case State::kOpened2:  // behind two: an empty string, unless a third follows
      state_ = State::kOutside;
      if (byte != quote_) return Outside(byte);
      triple_ = true;
      state_ = State::kInside;
      return true;
    case State::kInside:
      Inside(byte);
      return true;
    case State::kEscape:
      state_ = State::kInside;
      return true;
  }
  return false;
}

bool PythonValueEnd::Outside(char byte) {
  if (byte == '\'' || byte == '"') {
    quote_ = byte;
    triple_ = false;
    closing_ = 0;
    state_ = State::kOpened1;
  }
  if (byte == '[' || byte == '(' || byte == '{') return ++depth_ <= kMaxDepth;
  if (byte == ']' || byte == ')' || byte == '}') return --depth_ >= 0;
  return true;
}

void PythonValueEnd::Inside(char byte) {
  closing_ = byte == quote_ ? closing_ + 1 : 0;
  if (byte == '\\') state_ = State::kEscape;
  if (closing_ == (triple_ ? 3 : 1)) state_ = State::kOutside;
}

void PythonicToolParser::Begin() {
  state_ = State::kOpen;
  any_call_ = false;
  raw_.clear();
}

ToolParser::Progress PythonicToolParser::Read(MarkerScanner* text, DeltaWriter* out) {
  const std::string_view rest = text->rest();
  for (size_t i = 0; i < rest.size(); ++i) {
    raw_.push_back(rest[i]);
    const Step step = Push(rest[i], out);
    if (step == Step::kMore) continue;
    if (step == Step::kBad) raw_.pop_back();
    text->Skip(step == Step::kBad ? i : i + 1);
    if (step == Step::kBad || !any_call_) out->Content(raw_);
    return Progress::kOver;
  }
  text->Skip(rest.size());
  return Progress::kMore;
}

void PythonicToolParser::End(bool cut, DeltaWriter* out) {
  if (!cut || !any_call_) out->Content(raw_);
}

PythonicToolParser::Step PythonicToolParser::Push(char byte, DeltaWriter* out) {
  switch (state_) {
    case State::kName:
      return NameByte(byte);
    case State::kKey:
      return KeyByte(byte);
    case State::kValue:
      return ValueByte(byte, out);
    default:
      return IsWhiteSpace(byte) ? Step::kMore : Between(byte, out);
  }
}

PythonicToolParser::Step PythonicToolParser::Between(char byte, DeltaWriter* out) {
  const auto want = [&](char wanted, State next) {
    state_ = next;
    return byte == wanted ? Step::kMore : Step::kBad;
  };
  switch (state_) {
    case State::kOpen:
      return want('[', State::kCallOrEnd);
    case State::kEquals:
      return want('=', State::kValue);
    case State::kCallOrEnd:
      if (byte == ']') return Step::kOver;
      if (!BeginsName(byte)) return Step::kBad;
      name_.assign(1, byte);
      arguments_.clear();
      keys_.clear();
      state_ = State::kName;
      return Step::kMore;
    case State::kKeyOrEnd:
      if (byte == ')') return EndCall(out);
      if (!BeginsName(byte)) return Step::kBad;
      key_.assign(1, byte);
      state_ = State::kKey;
      return Step::kMore;
    default:  // kNext
      return byte == ']' ? Step::kOver : want(',', State::kCallOrEnd);
  }
}

PythonicToolParser::Step PythonicToolParser::NameByte(char byte) {
  if (IsNameByte(byte)) {
    name_.push_back(byte);
    return Step::kMore;
  }
  state_ = State::kKeyOrEnd;
  return byte == '(' ? Step::kMore : Step::kBad;
}

PythonicToolParser::Step PythonicToolParser::KeyByte(char byte) {
  if (IsNameByte(byte)) {
    key_.push_back(byte);
    return Step::kMore;
  }
  value_.clear();
  value_end_ = {};
  state_ = byte == '=' ? State::kValue : State::kEquals;
  return byte == '=' || IsWhiteSpace(byte) ? Step::kMore : Step::kBad;
}

PythonicToolParser::Step PythonicToolParser::ValueByte(char byte, DeltaWriter* out) {
  if (!value_end_.outside() || (byte != ',' && byte != ')')) {
    value_.push_back(byte);
    return value_end_.Push(byte) ? Step::kMore : Step::kBad;
  }
  const std::optional<std::string> json = PythonLiteralToJson(value_);
  if (!json || !keys_.insert(key_).second) return Step::kBad;
  arguments_.append(MemberWriter::Opening(key_, arguments_.empty())).append(*json);
  state_ = State::kKeyOrEnd;
  return byte == ')' ? EndCall(out) : Step::kMore;
}

PythonicToolParser::Step PythonicToolParser::EndCall(DeltaWriter* out) {
  out->BeginCall(name_);
  out->Arguments(arguments_.empty() ? "{}" : arguments_ + "}");
  any_call_ = true;
  raw_.clear();
  state_ = State::kNext;
  return Step::kMore;
}

}  // namespace braid
