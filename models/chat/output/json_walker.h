// Checks one JSON value byte by byte, as it comes, without keeping it.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>

namespace braid {

// Strict but for one thing: strings may hold control characters as they are, which models
// write; who hands the text on escapes them.
class JsonWalker {
 public:
  static constexpr int kMaxDepth = 64;

  enum class Step : uint8_t {
    kMore,
    kDone,         // the value ends with this byte
    kEndedBefore,  // it ended in front of this byte: a number is only known to end by what follows it
    kBad,
  };
  // Takes the next byte. Not to be called again once it answered something else than kMore.
  Step Push(char byte);
  bool in_string() const { return state_ == State::kString || state_ == State::kEscape || state_ == State::kHex; }

 private:
  enum class State : uint8_t {
    kValue,
    kFirstItem,
    kFirstKey,
    kKey,
    kColon,
    kAfter,  // what is wanted between tokens
    kString,
    kEscape,
    kHex,
    kNumber,
    kWord,  // inside a token
  };
  enum class Number : uint8_t { kMinus, kZero, kInteger, kDot, kFraction, kE, kSign, kExponent };

  Step Between(char byte);
  Step BeginValue(char byte);
  Step Open(bool object);
  Step Close(bool object);
  Step EndValue();
  Step InString(char byte);
  Step InEscape(char byte);
  Step InHex(char byte);
  Step InWord(char byte);
  bool NumberGoesOn(char byte);
  bool NumberIsWhole() const;

  State state_ = State::kValue;
  Number number_ = Number::kMinus;
  std::string_view word_;  // what is left of true, false or null
  int hex_left_ = 0;
  bool in_key_ = false;
  int depth_ = 0;
  std::bitset<kMaxDepth> is_object_;  // of each container that is open
};

}  // namespace braid
