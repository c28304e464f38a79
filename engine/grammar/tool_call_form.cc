#include "engine/grammar/tool_call_form.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace braid {
namespace {

CallForm JsonForm(std::string before_all, std::string after_all) {
  return {.before_all = std::move(before_all),
          .call_begin = "{\"name\": ",
          .name_end = ", \"arguments\": ",
          .call_end = "}",
          .between = ", ",
          .after_all = std::move(after_all),
          .quoted_name = true};
}

CallForm HermesForm() {
  return {.call_begin = "<tool_call>\n{\"name\": ",
          .name_end = ", \"arguments\": ",
          .call_end = "}\n</tool_call>",
          .between = "\n",
          .quoted_name = true};
}

CallForm LlamaForm() {
  return {.call_begin = "{\"name\": ", .name_end = ", \"parameters\": ", .call_end = "}", .between = "; ", .quoted_name = true};
}

CallForm FunctionTagForm() {
  return {.call_begin = "<tool_call>\n<function=",
          .name_end = ">\n",
          .call_end = "</function>\n</tool_call>",
          .between = "\n",
          .parameter_begin = "<parameter=",
          .text_begin = ">\n",
          .json_begin = ">\n",
          .parameter_end = "\n</parameter>\n",
          .values_end = "</parameter>|<parameter=|</function>"};
}

CallForm DsmlForm() {
  return {.before_all = "<｜DSML｜function_calls>\n",
          .call_begin = "<｜DSML｜invoke name=\"",
          .name_end = "\">\n",
          .call_end = "</｜DSML｜invoke>\n",
          .after_all = "</｜DSML｜function_calls>",
          .parameter_begin = "<｜DSML｜parameter name=\"",
          .text_begin = "\" string=\"true\">",
          .json_begin = "\" string=\"false\">",
          .parameter_end = "</｜DSML｜parameter>\n",
          .values_end = "</?｜DSML｜"};
}

CallForm DeepSeekForm(bool fenced) {
  return {.before_all = "<｜tool▁calls▁begin｜>",
          .call_begin = fenced ? "<｜tool▁call▁begin｜>function<｜tool▁sep｜>" : "<｜tool▁call▁begin｜>",
          .name_end = fenced ? "\n```json\n" : "<｜tool▁sep｜>",
          .call_end = fenced ? "\n```<｜tool▁call▁end｜>" : "<｜tool▁call▁end｜>",
          .between = fenced ? "\n" : "",
          .after_all = "<｜tool▁calls▁end｜>"};
}

}  // namespace

absl::StatusOr<CallForm> CallFormOf(OutputFormat format) {
  switch (format) {
    case OutputFormat::kNemotron3:
    case OutputFormat::kQwen3Coder:
      return FunctionTagForm();
    case OutputFormat::kNanoV2:
      return JsonForm("<TOOLCALL>[", "]</TOOLCALL>");
    case OutputFormat::kHermes:
      return HermesForm();
    case OutputFormat::kLlama3Json:
      return LlamaForm();
    case OutputFormat::kHarmony:
      // The end of the message is a token that ends the answer.
      return CallForm{.call_begin = "<|channel|>commentary to=functions.",
                      .name_end = " <|constrain|>json<|message|>",
                      .several = false};
    case OutputFormat::kDeepSeekV3:
      return DeepSeekForm(true);
    case OutputFormat::kDeepSeekV31:
      return DeepSeekForm(false);
    case OutputFormat::kDeepSeekV32:
      return DsmlForm();
    case OutputFormat::kMistral:
      return JsonForm("[TOOL_CALLS][", "]");
    case OutputFormat::kMistralV11:
      return CallForm{.call_begin = "[TOOL_CALLS]", .name_end = "[ARGS]"};
    case OutputFormat::kPlain:
    case OutputFormat::kPythonic:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat("tool_choice: calls cannot be forced in the output format \"",
                                                 std::string(OutputFormatName(format)),
                                                 "\": want a format whose calls are JSON or tags"));
}

}  // namespace braid
