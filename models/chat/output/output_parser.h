// What a model wrote, to reasoning, content and tool calls, in the format that its family was trained on. Text may come
// in pieces cut anywhere; the joined deltas are what the whole text would give.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/base/json.h"

namespace braid {

// The formats; which model uses which: README.md of this folder.
enum class OutputFormat {
  kPlain,  // no reasoning, no calls: all is content
  kNemotron3,
  kQwen3Coder,
  kNanoV2,
  kHermes,
  kLlama3Json,
  kPythonic,
  kHarmony,
  kDeepSeekV3,
  kDeepSeekV31,
  kDeepSeekV32,
  kMistral,
  kMistralV11,
};

// "nemotron3", "qwen3_coder", "nano_v2", "hermes", "llama3_json", "pythonic", "harmony", "deepseek_v3", ... and "none"
// for kPlain; InvalidArgument lists all names.
absl::StatusOr<OutputFormat> ParseOutputFormat(std::string_view name);
std::string_view OutputFormatName(OutputFormat format);

struct ToolCallDelta {
  int index = 0;                    // of the call within the answer
  std::optional<std::string> name;  // with the call's first delta
  std::string arguments;            // JSON text; joined over the deltas it is one JSON object
};

struct OutputDelta {
  std::string reasoning, content;
  std::vector<ToolCallDelta> tool_calls;
  bool empty() const { return reasoning.empty() && content.empty() && tool_calls.empty(); }
};

struct OutputParserOptions {
  Json tools;                        // as in the request, or null; their schemas decide the types of XML parameters
  bool starts_in_reasoning = false;  // the prompt ended inside the reasoning
  bool parse_tools = true;           // false: tool markers are content (no tools offered, or tool_choice "none")
  bool parse_reasoning = true;       // false: reasoning markers are content
};

// Thread: one at a time.
class OutputParser {
 public:
  virtual ~OutputParser() = default;
  // Takes the next piece of text and returns what is certain by now.
  virtual OutputDelta Push(std::string_view text) = 0;
  // The text is complete: returns the rest. `cut`: it ended by length, not by itself.
  virtual OutputDelta Finish(bool cut) = 0;
  // Inside the reasoning at this point.
  virtual bool in_reasoning() const = 0;
};

std::unique_ptr<OutputParser> MakeOutputParser(OutputFormat format, OutputParserOptions options);

// What decides about the format of a checkpoint that does not say it.
struct OutputFormatHints {
  std::string_view model_type;     // config.json's, or GGUF's architecture
  std::string_view chat_template;  // source
};
// Guesses the format by the markers that the chat template writes; kPlain when it knows none.
OutputFormat GuessOutputFormat(const OutputFormatHints& hints);

// The markers of a format, for those who force or count them.
struct OutputMarkers {
  std::string reasoning_begin, reasoning_end;  // "<think>", "</think>"; empty: the format has no reasoning
};
const OutputMarkers& MarkersOf(OutputFormat format);

// Whether a rendered prompt ends inside the reasoning: its last opening marker has no closing one behind it.
bool PromptEndsInReasoning(OutputFormat format, std::string_view prompt);

}  // namespace braid
