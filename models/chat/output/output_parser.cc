#include "models/chat/output/output_parser.h"

#include <utility>

#include "models/chat/output/deepseek_parser.h"
#include "models/chat/output/harmony_parser.h"
#include "models/chat/output/json_tool_parser.h"
#include "models/chat/output/mistral_parser.h"
#include "models/chat/output/pythonic_parser.h"
#include "models/chat/output/staged_parser.h"
#include "models/chat/output/xml_tool_parser.h"

namespace braid {
namespace {

class PlainParser : public OutputParser {
 public:
  OutputDelta Push(std::string_view text) override { return {.content = std::string(text)}; }
  OutputDelta Finish(bool) override { return {}; }
  bool in_reasoning() const override { return false; }
};

std::unique_ptr<ToolParser> MakeToolParser(OutputFormat format, Json tools) {
  switch (format) {
    case OutputFormat::kNemotron3:
    case OutputFormat::kQwen3Coder:
      return std::make_unique<XmlToolParser>(FunctionTags(), std::move(tools));
    case OutputFormat::kDeepSeekV32:
      return std::make_unique<XmlToolParser>(DsmlTags(), std::move(tools));
    case OutputFormat::kNanoV2:
      return std::make_unique<JsonToolParser>(JsonToolFormat{{"<TOOLCALL>"}, {"</TOOLCALL>"}});
    case OutputFormat::kHermes:
      return std::make_unique<JsonToolParser>(JsonToolFormat{{"<tool_call>"}, {"</tool_call>"}});
    case OutputFormat::kLlama3Json:
      return std::make_unique<JsonToolParser>(JsonToolFormat{{"<|python_tag|>"}, {}, /*bare=*/true});
    case OutputFormat::kPythonic:
      return std::make_unique<PythonicToolParser>();
    case OutputFormat::kDeepSeekV3:
    case OutputFormat::kDeepSeekV31:
      return std::make_unique<DeepSeekToolParser>();
    case OutputFormat::kMistral:
    case OutputFormat::kMistralV11:
      return std::make_unique<MistralToolParser>();
    case OutputFormat::kPlain:
    case OutputFormat::kHarmony:
      break;
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<OutputParser> MakeOutputParser(OutputFormat format, OutputParserOptions options) {
  if (!options.parse_tools && !options.parse_reasoning) return std::make_unique<PlainParser>();
  if (format == OutputFormat::kHarmony) return std::make_unique<HarmonyParser>(options);
  std::unique_ptr<ToolParser> tools;
  if (options.parse_tools) tools = MakeToolParser(format, std::move(options.tools));
  const OutputMarkers reasoning = options.parse_reasoning ? MarkersOf(format) : OutputMarkers{};
  const bool reasons = !reasoning.reasoning_begin.empty();
  if (!reasons && tools == nullptr) return std::make_unique<PlainParser>();
  return std::make_unique<StagedParser>(reasoning, reasons && options.starts_in_reasoning, std::move(tools));
}

}  // namespace braid
