// Names, markers and signs of the formats.
#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/errors.h"
#include "models/chat/output/output_parser.h"

namespace braid {
namespace {

constexpr std::array<std::pair<OutputFormat, std::string_view>, 13> kNames = {{
    {OutputFormat::kPlain, "none"},
    {OutputFormat::kNemotron3, "nemotron3"},
    {OutputFormat::kQwen3Coder, "qwen3_coder"},
    {OutputFormat::kNanoV2, "nano_v2"},
    {OutputFormat::kHermes, "hermes"},
    {OutputFormat::kLlama3Json, "llama3_json"},
    {OutputFormat::kPythonic, "pythonic"},
    {OutputFormat::kHarmony, "harmony"},
    {OutputFormat::kDeepSeekV3, "deepseek_v3"},
    {OutputFormat::kDeepSeekV31, "deepseek_v31"},
    {OutputFormat::kDeepSeekV32, "deepseek_v32"},
    {OutputFormat::kMistral, "mistral"},
    {OutputFormat::kMistralV11, "mistral_v11"},
}};

// A template, asked for what it writes.
class Template {
 public:
  explicit Template(std::string_view source) : source_(source) {}
  bool Has(std::string_view marker) const { return source_.find(marker) != std::string_view::npos; }

 private:
  std::string_view source_;
};

bool IsPythonic(const Template& source) {
  return source.Has("<|python_start|>") || source.Has("<|tool_list_start|>") || source.Has("<|tool_call_start|>");
}

bool IsLlama(const Template& source) {
  return source.Has("<|python_tag|>") || (source.Has("<|start_header_id|>") && source.Has("\"parameters\""));
}

// Its calls have a form that none of ours reads.
bool HasForeignCalls(const Template& source) {
  return source.Has("<arg_key>") || source.Has("<minimax:tool_call>") || source.Has("<|tool_calls_section_begin|>");
}

OutputFormat GuessDeepSeek(const Template& source) {
  return source.Has("```json") ? OutputFormat::kDeepSeekV3 : OutputFormat::kDeepSeekV31;
}

// Nemotron 3 says that there is no reasoning by an empty pair of markers in one line; its siblings do not.
OutputFormat GuessFunctionTags(const OutputFormatHints& hints, const Template& source) {
  const bool nemotron = hints.model_type.starts_with("nemotron") || source.Has("<think></think>");
  return nemotron ? OutputFormat::kNemotron3 : OutputFormat::kQwen3Coder;
}

}  // namespace

absl::StatusOr<OutputFormat> ParseOutputFormat(std::string_view name) {
  for (const auto& [format, known] : kNames) {
    if (known == name) return format;
  }
  const std::string names =
      absl::StrJoin(kNames, ", ", [](std::string* out, const auto& entry) { out->append(entry.second); });
  return absl::InvalidArgumentError(
      absl::StrCat("output format \"", std::string(name), "\" is not known: want one of ", names));
}

std::string_view OutputFormatName(OutputFormat format) {
  for (const auto& [known, name] : kNames) {
    if (known == format) return name;
  }
  CHECK(false) << "format " << static_cast<int>(format);
  return "";
}

OutputFormat GuessOutputFormat(const OutputFormatHints& hints) {
  const Template source(hints.chat_template);
  if (source.Has("<|channel|>") && source.Has("<|message|>")) return OutputFormat::kHarmony;
  if (source.Has("｜DSML｜") || hints.model_type == "deepseek_v32") return OutputFormat::kDeepSeekV32;
  if (source.Has("<｜tool▁sep｜>")) return GuessDeepSeek(source);
  if (source.Has("[TOOL_CALLS]")) return source.Has("[ARGS]") ? OutputFormat::kMistralV11 : OutputFormat::kMistral;
  if (source.Has("[THINK]")) return OutputFormat::kMistralV11;
  if (source.Has("<function=")) return GuessFunctionTags(hints, source);
  if (source.Has("<TOOLCALL>")) return OutputFormat::kNanoV2;
  if (IsPythonic(source)) return OutputFormat::kPythonic;
  if (IsLlama(source)) return OutputFormat::kLlama3Json;
  // A format would promise calls that never come, so the reasoning is not split either.
  if (HasForeignCalls(source)) return OutputFormat::kPlain;
  return source.Has("<tool_call>") || source.Has("</think>") ? OutputFormat::kHermes : OutputFormat::kPlain;
}

const OutputMarkers& MarkersOf(OutputFormat format) {
  static const auto* const kNone = new OutputMarkers{};
  static const auto* const kThink = new OutputMarkers{"<think>", "</think>"};
  static const auto* const kBrackets = new OutputMarkers{"[THINK]", "[/THINK]"};
  static const auto* const kAnalysis = new OutputMarkers{"<|channel|>analysis<|message|>", "<|end|>"};
  switch (format) {
    case OutputFormat::kNemotron3:
    case OutputFormat::kQwen3Coder:
    case OutputFormat::kNanoV2:
    case OutputFormat::kHermes:
    case OutputFormat::kDeepSeekV3:
    case OutputFormat::kDeepSeekV31:
    case OutputFormat::kDeepSeekV32:
      return *kThink;
    case OutputFormat::kMistralV11:
      return *kBrackets;
    case OutputFormat::kHarmony:
      return *kAnalysis;
    case OutputFormat::kPlain:
    case OutputFormat::kLlama3Json:
    case OutputFormat::kPythonic:
    case OutputFormat::kMistral:
      break;
  }
  return *kNone;
}

bool PromptEndsInReasoning(OutputFormat format, std::string_view prompt) {
  const OutputMarkers& markers = MarkersOf(format);
  if (markers.reasoning_begin.empty()) return false;
  // What callers wrote may hold markers too, so only the turn that the model is to go on counts.
  size_t turn = 0;
  for (const std::string_view mark : {"<|im_start|>", "<|start_header_id|>", "<|start|>", "<｜Assistant｜>",
                                      "<｜User｜>", "[/INST]", "<SPECIAL_11>", "<|eot_id|>", "<|im_end|>"}) {
    if (const size_t found = prompt.rfind(mark); found != std::string_view::npos) turn = std::max(turn, found);
  }
  const std::string_view last = prompt.substr(turn);
  const size_t begin = last.rfind(markers.reasoning_begin), end = last.rfind(markers.reasoning_end);
  return begin != std::string_view::npos && (end == std::string_view::npos || end < begin);
}

}  // namespace braid
