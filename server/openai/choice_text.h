// Tokens of one choice to content, reasoning and tool calls.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/chat/output/output_parser.h"
#include "models/tokenizer/text_stream.h"
#include "server/openai/choice_part.h"

namespace braid {

struct ChoiceTextOptions {
  bool skip_special_tokens = true;
  std::vector<std::string> stop;
  bool include_stop = false;
  std::optional<OutputFormat> format;   // none: the text is the content as it is
  OutputParserOptions parser;
  bool show_reasoning = true;
  int max_calls = 0;                    // calls past it are dropped; 0: no bound
};

// Thread: one at a time.
class ChoiceText {
 public:
  // `tokenizer` must outlive it.
  ChoiceText(const Tokenizer& tokenizer, const ChoiceTextOptions& options);

  // Adds a token; what became certain joins `part`.
  void Push(int32_t id, ChoicePart* part);
  // The choice is complete; `cut`: by length. What was held back joins `part`.
  void Finish(bool cut, ChoicePart* part);

  // The stop string that ended the text.
  std::optional<std::string> matched_stop() const { return stream_.matched_stop(); }
  bool in_reasoning() const { return parser_ != nullptr && parser_->in_reasoning(); }
  bool called_tools() const { return called_tools_; }

 private:
  void Add(OutputDelta delta, ChoicePart* part);
  void AddCall(ToolCallDelta delta, ChoicePart* part);

  TextStream stream_;
  const std::unique_ptr<OutputParser> parser_;  // null: all is content
  const bool show_reasoning_;
  const int max_calls_;
  bool called_tools_ = false;
};

}  // namespace braid
