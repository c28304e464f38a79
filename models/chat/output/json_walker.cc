#include "models/chat/output/json_walker.h"

#include "models/chat/output/json_text.h"

namespace braid {
namespace {

bool IsDigit(char byte) { return byte >= '0' && byte <= '9'; }
bool IsHexDigit(char byte) { return IsDigit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F'); }

}  // namespace

JsonWalker::Step JsonWalker::Push(char byte) {
  switch (state_) {
    case State::kString:
      return InString(byte);
    case State::kEscape:
      return InEscape(byte);
    case State::kHex:
      return InHex(byte);
    case State::kWord:
      return InWord(byte);
    case State::kNumber:
      if (NumberGoesOn(byte)) return Step::kMore;
      if (!NumberIsWhole()) return Step::kBad;
      if (EndValue() == Step::kDone) return Step::kEndedBefore;
      return Between(byte);
    default:
      return Between(byte);
  }
}

JsonWalker::Step JsonWalker::Between(char byte) {
  if (IsWhiteSpace(byte)) return Step::kMore;
  switch (state_) {
    case State::kFirstItem:
      if (byte == ']') return Close(false);
      return BeginValue(byte);
    case State::kValue:
      return BeginValue(byte);
    case State::kFirstKey:
      if (byte == '}') return Close(true);
      [[fallthrough]];
    case State::kKey:
      if (byte != '"') return Step::kBad;
      in_key_ = true;
      state_ = State::kString;
      return Step::kMore;
    case State::kColon:
      if (byte != ':') return Step::kBad;
      state_ = State::kValue;
      return Step::kMore;
    default:  // kAfter
      if (byte == '}' || byte == ']') return Close(byte == '}');
      if (byte != ',') return Step::kBad;
      state_ = is_object_[depth_ - 1] ? State::kKey : State::kValue;
      return Step::kMore;
  }
}

JsonWalker::Step JsonWalker::BeginValue(char byte) {
  switch (byte) {
    case '{':
      return Open(true);
    case '[':
      return Open(false);
    case '"':
      state_ = State::kString;
      return Step::kMore;
    case 't':
      word_ = "rue";
      break;
    case 'f':
      word_ = "alse";
      break;
    case 'n':
      word_ = "ull";
      break;
    default:
      if (byte != '-' && !IsDigit(byte)) return Step::kBad;
      state_ = State::kNumber;
      number_ = byte == '-' ? Number::kMinus : byte == '0' ? Number::kZero : Number::kInteger;
      return Step::kMore;
  }
  state_ = State::kWord;
  return Step::kMore;
}

JsonWalker::Step JsonWalker::Open(bool object) {
  if (depth_ == kMaxDepth) return Step::kBad;
  is_object_[depth_++] = object;
  state_ = object ? State::kFirstKey : State::kFirstItem;
  return Step::kMore;
}

JsonWalker::Step JsonWalker::Close(bool object) {
  if (is_object_[depth_ - 1] != object) return Step::kBad;
  --depth_;
  return EndValue();
}

JsonWalker::Step JsonWalker::EndValue() {
  state_ = State::kAfter;
  return depth_ == 0 ? Step::kDone : Step::kMore;
}

JsonWalker::Step JsonWalker::InString(char byte) {
  if (byte == '\\') state_ = State::kEscape;
  if (byte != '"') return Step::kMore;
  if (!in_key_) return EndValue();
  in_key_ = false;
  state_ = State::kColon;
  return Step::kMore;
}

JsonWalker::Step JsonWalker::InEscape(char byte) {
  if (byte == 'u') {
    hex_left_ = 4;
    state_ = State::kHex;
    return Step::kMore;
  }
  state_ = State::kString;
  return std::string_view("\"\\/bfnrt").find(byte) == std::string_view::npos ? Step::kBad : Step::kMore;
}

JsonWalker::Step JsonWalker::InHex(char byte) {
  if (!IsHexDigit(byte)) return Step::kBad;
  if (--hex_left_ == 0) state_ = State::kString;
  return Step::kMore;
}

JsonWalker::Step JsonWalker::InWord(char byte) {
  if (byte != word_[0]) return Step::kBad;
  word_.remove_prefix(1);
  return word_.empty() ? EndValue() : Step::kMore;
}

bool JsonWalker::NumberGoesOn(char byte) {
  const auto go = [this](bool on, Number next) {
    if (on) number_ = next;
    return on;
  };
  const bool digit = IsDigit(byte), e = byte == 'e' || byte == 'E';
  switch (number_) {
    case Number::kMinus:
      return go(digit, byte == '0' ? Number::kZero : Number::kInteger);
    case Number::kInteger:
      if (digit) return true;
      [[fallthrough]];
    case Number::kZero:
      return go(byte == '.', Number::kDot) || go(e, Number::kE);
    case Number::kDot:
      return go(digit, Number::kFraction);
    case Number::kFraction:
      return digit || go(e, Number::kE);
    case Number::kE:
      if (go(byte == '+' || byte == '-', Number::kSign)) return true;
      [[fallthrough]];
    case Number::kSign:
      return go(digit, Number::kExponent);
    case Number::kExponent:
      return digit;
  }
  return false;
}

bool JsonWalker::NumberIsWhole() const {
  return number_ == Number::kZero || number_ == Number::kInteger || number_ == Number::kFraction ||
         number_ == Number::kExponent;
}

}  // namespace braid
