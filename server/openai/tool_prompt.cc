#include "server/openai/tool_prompt.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace braid {
namespace {

std::string ToolText(const Json& tools) {
  std::string out = "You can call functions. These are given within <tools></tools>, one JSON object each:\n<tools>\n";
  for (const Json& tool : tools) out.append(WriteJson(tool)).append("\n");
  out.append(
      "</tools>\nTo call a function, answer with its name and arguments as JSON within <tool_call></tool_call>:\n"
      "<tool_call>\n{\"name\": <function name>, \"arguments\": <arguments object>}\n</tool_call>");
  return out;
}

std::string TextOf(const Json& message) {
  const auto content = message.find("content");
  return content != message.end() && content->is_string() ? content->get<std::string>() : "";
}

// The calls of an assistant's message as it would have written them.
Json WithCallsAsText(Json message) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || !calls->is_array()) return message;
  std::string text = TextOf(message);
  for (const Json& call : *calls) {
    const Json& function = call["function"];
    const Json written = {{"name", function["name"]}, {"arguments", function.value("arguments", Json::object())}};
    absl::StrAppend(&text, text.empty() ? "" : "\n", "<tool_call>\n", WriteJson(written), "\n</tool_call>");
  }
  message.erase("tool_calls");
  message["content"] = text;
  return message;
}

Json ResultAsUser(const Json& message) {
  return {{"role", "user"}, {"content", absl::StrCat("<tool_response>\n", TextOf(message), "\n</tool_response>")}};
}

}  // namespace

Json TellTools(const Json& messages, const Json& tools) {
  Json out = Json::array();
  const bool has_system = !messages.empty() && messages[0].value("role", Json()) == "system";
  const std::string before = has_system ? absl::StrCat(TextOf(messages[0]), "\n\n") : "";
  out.push_back(Json{{"role", "system"}, {"content", absl::StrCat(before, ToolText(tools))}});
  for (size_t i = has_system ? 1 : 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    out.push_back(message["role"] == "tool" ? ResultAsUser(message) : WithCallsAsText(message));
  }
  return out;
}

}  // namespace braid
