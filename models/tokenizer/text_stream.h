// Tokens of one sequence to text, piece by piece: unfinished UTF-8 and possible starts of stop strings are held back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/decoder.h"
#include "models/tokenizer/stop_finder.h"
#include "models/tokenizer/tokenizer.h"

namespace braid {

// All chunks joined equal Tokenizer::Decode of all ids, cut at the first stop string. Thread: one at a time.
class TextStream {
 public:
  // `tokenizer` must outlive the stream. Empty stop strings are ignored. The text is cut before the stop string that
  // ends first (among those ending together, the longest), or behind it when `include_stop_str_in_output`.
  TextStream(const Tokenizer& tokenizer, bool skip_special_tokens, std::vector<std::string> stop_strings = {},
             bool include_stop_str_in_output = false);

  // Adds one token and returns the text that became certain; nothing once a stop string has matched.
  std::string Push(int32_t id);

  // Ends the sequence and returns the text that was held back.
  std::string Finish();

  // The stop string that ended the text.
  std::optional<std::string> matched_stop() const { return matched_stop_; }

 private:
  std::string Release(std::string text);

  const Tokenizer& tokenizer_;
  const bool skip_special_tokens_;
  const bool include_stop_;
  const std::vector<std::string> stops_;
  Decoder::Run run_;
  StopFinder finder_;
  std::string held_;  // the end of the text so far that may become a stop string
  std::optional<std::string> matched_stop_;
};

}  // namespace braid
