#include "models/chat/chat_template.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "models/chat/jinja_render.h"

namespace braid {
namespace {

// The member `name` when it is there and not null.
const Json* Given(const Json& object, const char* name) {
  auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

absl::Status ParseArguments(Json& call, const std::string& where) {
  if (!call.is_object() || Given(call, "function") == nullptr || !call["function"].is_object()) return absl::OkStatus();
  Json& function = call["function"];
  const Json* arguments = Given(function, "arguments");
  if (arguments == nullptr || !arguments->is_string()) return absl::OkStatus();
  const std::string& text = arguments->get_ref<const std::string&>();
  if (text.find_first_not_of(" \t\r\n") == text.npos) {
    function["arguments"] = Json::object();
    return absl::OkStatus();
  }
  absl::StatusOr<Json> parsed = ParseJson(text);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ".function.arguments: ", std::string(parsed.status().message())));
  }
  if (!parsed->is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ".function.arguments must be the text of a JSON object"));
  }
  function["arguments"] = *std::move(parsed);
  return absl::OkStatus();
}

absl::Status ParseToolCalls(Json& message, const std::string& where) {
  if (Given(message, "tool_calls") == nullptr || !message["tool_calls"].is_array()) return absl::OkStatus();
  size_t i = 0;
  for (Json& call : message["tool_calls"]) {
    RETURN_IF_ERROR(ParseArguments(call, absl::StrCat(where, ".tool_calls[", i++, "]")));
  }
  return absl::OkStatus();
}

// Joins text parts into one string; a list that holds other parts stays.
void JoinTextParts(Json& message) {
  const Json* content = Given(message, "content");
  if (content == nullptr || !content->is_array()) return;
  std::string text;
  for (const Json& part : *content) {
    if (part.is_string()) {
      text += part.get_ref<const std::string&>();
      continue;
    }
    const Json* kind = part.is_object() ? Given(part, "type") : nullptr;
    const Json* words = part.is_object() ? Given(part, "text") : nullptr;
    if (kind == nullptr || *kind != "text" || words == nullptr || !words->is_string()) return;
    text += words->get_ref<const std::string&>();
  }
  message["content"] = std::move(text);
}

bool IsFilled(const Json* value) {
  return value != nullptr && (!value->is_string() || !value->get_ref<const std::string&>().empty());
}

void FillReasoning(Json& message, bool knows_thinking) {
  const Json* given = nullptr;
  for (const char* name : {"reasoning_content", "reasoning", "thinking"}) {
    if (given == nullptr) given = Given(message, name);
  }
  if (given == nullptr) return;
  const Json reasoning = *given;
  for (const char* name : {"reasoning_content", "reasoning"}) {
    if (Given(message, name) == nullptr) message[name] = reasoning;
  }
  // Templates with `thinking` (gpt-oss) refuse it beside both content and tool calls.
  const bool is_crowded = IsFilled(Given(message, "content")) && Given(message, "tool_calls") != nullptr;
  if (knows_thinking && !is_crowded && Given(message, "thinking") == nullptr) message["thinking"] = reasoning;
}

absl::Status NormalizeMessage(Json& message, const std::string& where, const ChatTemplate& chat_template) {
  if (!message.is_object()) return absl::InvalidArgumentError(absl::StrCat(where, " must be an object"));
  RETURN_IF_ERROR(ParseToolCalls(message, where));
  if (!chat_template.IteratesContentParts()) JoinTextParts(message);
  const Json* role = Given(message, "role");
  if (role != nullptr && *role == "assistant") {
    if (!chat_template.TestsContentForNone() && Given(message, "content") == nullptr) message["content"] = "";
    FillReasoning(message, chat_template.Mentions("thinking"));
  }
  role = Given(message, "role");
  if (role != nullptr && *role == "developer" && !chat_template.Mentions("developer")) message["role"] = "system";
  return absl::OkStatus();
}

}  // namespace

ChatTemplate::ChatTemplate(JinjaTree tree, std::string bos_token, std::string eos_token)
    : tree_(std::move(tree)), bos_token_(std::move(bos_token)), eos_token_(std::move(eos_token)) {}

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(std::string_view source, std::string bos_token,
                                                                  std::string eos_token) {
  ASSIGN_OR_RETURN(JinjaTree tree, ParseJinja(source));
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(tree), std::move(bos_token), std::move(eos_token)));
}

absl::StatusOr<std::string> ChatTemplate::Render(const Input& input) const {
  CHECK(input.messages != nullptr);
  static const Json kNone = nullptr;
  const Json add_generation_prompt = input.add_generation_prompt;
  JinjaContext context;
  if (input.kwargs != nullptr && input.kwargs->is_object()) {
    for (const auto& [name, value] : input.kwargs->items()) context.emplace_back(name, &value);
  }
  // Of a name that comes twice the first counts.
  context.emplace_back("messages", input.messages);
  context.emplace_back("tools", input.tools != nullptr ? input.tools : &kNone);
  context.emplace_back("documents", input.documents != nullptr ? input.documents : &kNone);
  context.emplace_back("add_generation_prompt", &add_generation_prompt);
  context.emplace_back("bos_token", &bos_token_);
  context.emplace_back("eos_token", &eos_token_);
  return RenderJinja(tree_, context, input.unix_time);
}

absl::StatusOr<std::string> ChatTemplate::RenderContext(const Json& variables, int64_t unix_time) const {
  JinjaContext context;
  for (const auto& [name, value] : variables.items()) context.emplace_back(name, &value);
  return RenderJinja(tree_, context, unix_time);
}

bool ChatTemplate::Mentions(std::string_view word) const { return tree_.words.contains(std::string(word)); }

absl::StatusOr<Json> NormalizeMessages(const Json& messages, const ChatTemplate& chat_template) {
  if (!messages.is_array()) return absl::InvalidArgumentError("messages must be an array");
  Json normalized = messages;
  size_t i = 0;
  for (Json& message : normalized) {
    RETURN_IF_ERROR(NormalizeMessage(message, absl::StrCat("messages[", i++, "]"), chat_template));
  }
  return normalized;
}

}  // namespace braid
