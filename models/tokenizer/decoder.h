// Tokens' spellings back to text, as a chain of steps that a stream can walk token by token.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/pattern.h"

namespace braid {

struct DecoderStep {
  enum Kind {
    kByteAlphabet,  // letters to bytes; a token with other characters stands for its own UTF-8. Joins all tokens.
    kByteFallback,  // runs of <0xNN> to text; each token of an ill-formed run becomes U+FFFD
    kReplace,       // `pattern` by `content`
    kStrip,         // up to `start` of the character `content` at the front, up to `stop` at the end of each token
    kFuse,          // joins all tokens: later steps see one
    kMetaspace,     // the mark `content` to a space; to nothing in the first token if `drop_first`
    kSuffixSpace,   // the suffix `content` to a space, to nothing in the last token
    kJoinSpace,     // a space between tokens (no decoder at all)
  } kind;
  Pattern pattern{};
  std::string content{};
  std::string literal{};  // what kReplace looks for, when it is no expression
  size_t start = 0;
  size_t stop = 0;
  bool drop_first = false;
};

// Immutable. Thread: any.
class Decoder {
 public:
  Decoder() = default;
  explicit Decoder(std::vector<DecoderStep> steps);

  // The bytes that a token stands for inside a text, where all its neighbours are unknown.
  std::string BytesOf(std::string_view spelling) const;

  // One walk over the tokens of a text.
  class Run {
   public:
    explicit Run(const Decoder& decoder);

    // Adds one token and appends to `out` the text that is certain.
    void Push(std::string_view spelling, std::string* out);
    // Ends the text and appends what was held back.
    void Finish(std::string* out);

   private:
    struct State {
      std::string held;     // bytes of unfinished characters, of a fallback run, or text that may still change
      size_t run = 0;       // tokens in a fallback run
      size_t stripped = 0;  // characters taken from the front
      bool first = true;    // no token has come yet
    };

    void Feed(size_t step, std::string_view token, std::string* out);
    void FeedByteAlphabet(size_t step, std::string_view token, std::string* out);
    void FeedByteFallback(size_t step, std::string_view token, std::string* out);
    void FeedReplace(size_t step, std::string_view token, std::string* out);
    void FeedStrip(size_t step, std::string_view token, std::string* out);
    void FeedMetaspace(size_t step, std::string_view token, std::string* out);
    void FeedSuffixSpace(size_t step, std::string_view token, std::string* out);
    void FinishStep(size_t step, std::string* out);
    void FlushFallback(size_t step, std::string* out);

    const Decoder& decoder_;
    std::vector<State> states_;
  };

 private:
  std::vector<DecoderStep> steps_;
  std::vector<bool> joined_;  // by step: the tokens before it are already joined to one
};

}  // namespace braid
