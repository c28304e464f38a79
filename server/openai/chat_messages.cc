#include "server/openai/chat_messages.h"

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/openai/request_fields.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

// The member `name` of an object; null when it is absent or null.
const Json* Member(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

bool IsText(const Json* value) { return value != nullptr && value->is_string(); }

absl::Status CheckPart(const std::string& where, const Json& part) {
  if (!part.is_object() || !IsText(Member(part, "type"))) {
    return InvalidParam("messages", absl::StrCat(where, ": must be an object with a type"));
  }
  const std::string type = part["type"];
  if (type == "refusal" && IsText(Member(part, "refusal"))) return absl::OkStatus();
  if (type != "text") {
    return InvalidParam("messages", absl::StrCat(where, ".type: ", Shown(type), " is not supported; this model reads \"text\" only"));
  }
  if (!IsText(Member(part, "text"))) return InvalidParam("messages", absl::StrCat(where, ".text: must be a string"));
  return absl::OkStatus();
}

absl::Status CheckContent(const std::string& where, const std::string& role, const Json* content) {
  if (content == nullptr) {
    if (role == "assistant") return absl::OkStatus();
    return InvalidParam("messages", absl::StrCat(where, ".content: is missing; it must be a string or a list of parts"));
  }
  if (content->is_string()) return absl::OkStatus();
  if (!content->is_array()) {
    return InvalidParam("messages", absl::StrCat(where, ".content: must be a string or a list of parts, not ", Shown(*content)));
  }
  for (size_t i = 0; i < content->size(); ++i) {
    RETURN_IF_ERROR(CheckPart(absl::StrCat(where, ".content[", i, "]"), (*content)[i]));
  }
  return absl::OkStatus();
}

absl::Status CheckToolCalls(const std::string& where, const Json& calls) {
  if (!calls.is_array()) return InvalidParam("messages", absl::StrCat(where, ".tool_calls: must be a list"));
  for (size_t i = 0; i < calls.size(); ++i) {
    const Json* function = calls[i].is_object() ? Member(calls[i], "function") : nullptr;
    const bool named = function != nullptr && function->is_object() && IsText(Member(*function, "name"));
    if (!named) {
      return InvalidParam("messages", absl::StrCat(where, ".tool_calls[", i, "]: must hold a function with a name"));
    }
    const Json* arguments = Member(*function, "arguments");
    if (arguments != nullptr && !arguments->is_string() && !arguments->is_object()) {
      return InvalidParam("messages", absl::StrCat(where, ".tool_calls[", i, "].function.arguments: must be a string of JSON"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMessage(const std::string& where, const Json& message) {
  if (!message.is_object()) return InvalidParam("messages", absl::StrCat(where, ": must be an object, not ", Shown(message)));
  const Json* role = Member(message, "role");
  if (!IsText(role)) return InvalidParam("messages", absl::StrCat(where, ".role: must be a string"));
  const std::string name = *role;
  if (name != "system" && name != "developer" && name != "user" && name != "assistant" && name != "tool") {
    return InvalidParam("messages", absl::StrCat(where, ".role: ", Shown(*role), " is unknown; use system, developer, user, assistant or tool"));
  }
  RETURN_IF_ERROR(CheckContent(where, name, Member(message, "content")));
  if (name == "tool" && !IsText(Member(message, "tool_call_id"))) {
    return InvalidParam("messages", absl::StrCat(where, ".tool_call_id: a tool message must name its call"));
  }
  for (const char* field : {"reasoning", "reasoning_content", "name"}) {
    const Json* value = Member(message, field);
    if (value != nullptr && !value->is_string()) return InvalidParam("messages", absl::StrCat(where, ".", field, ": must be a string"));
  }
  const Json* calls = Member(message, "tool_calls");
  return calls == nullptr ? absl::OkStatus() : CheckToolCalls(where, *calls);
}

absl::Status CheckTool(const std::string& where, const Json& tool) {
  const bool function = tool.is_object() && IsText(Member(tool, "type")) && tool["type"] == "function";
  if (!function) return InvalidParam("tools", absl::StrCat(where, ".type: must be \"function\""));
  const Json* body = Member(tool, "function");
  if (body == nullptr || !body->is_object() || !IsText(Member(*body, "name"))) {
    return InvalidParam("tools", absl::StrCat(where, ".function: must be an object with a name"));
  }
  if (body->at("name").get_ref<const std::string&>().empty()) {
    return InvalidParam("tools", absl::StrCat(where, ".function.name: must not be empty"));
  }
  const Json *description = Member(*body, "description"), *strict = Member(*body, "strict"), *parameters = Member(*body, "parameters");
  if (description != nullptr && !description->is_string()) {
    return InvalidParam("tools", absl::StrCat(where, ".function.description: must be a string, not ", Shown(*description)));
  }
  if (strict != nullptr && !strict->is_boolean()) {
    return InvalidParam("tools", absl::StrCat(where, ".function.strict: must be true or false, not ", Shown(*strict)));
  }
  if (parameters != nullptr && !parameters->is_object()) {
    return InvalidParam("tools", absl::StrCat(where, ".function.parameters: must be an object"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckMessages(const Json& messages, const ServingLimits& limits) {
  if (!messages.is_array()) return InvalidParam("messages", absl::StrCat("messages: must be a list, not ", Shown(messages)));
  if (messages.empty()) return InvalidParam("messages", "messages: must hold at least one message");
  if (messages.size() > static_cast<size_t>(limits.max_messages)) {
    return InvalidParam("messages", absl::StrCat("messages: holds ", messages.size(), "; at most ", limits.max_messages, " are allowed"));
  }
  for (size_t i = 0; i < messages.size(); ++i) {
    RETURN_IF_ERROR(CheckMessage(absl::StrCat("messages[", i, "]"), messages[i]));
  }
  return absl::OkStatus();
}

absl::Status CheckTools(const Json& tools, const ServingLimits& limits) {
  if (!tools.is_array()) return InvalidParam("tools", absl::StrCat("tools: must be a list, not ", Shown(tools)));
  if (tools.empty()) return InvalidParam("tools", "tools: must hold at least one tool, or be left out");
  if (tools.size() > static_cast<size_t>(limits.max_tools)) {
    return InvalidParam("tools", absl::StrCat("tools: holds ", tools.size(), "; at most ", limits.max_tools, " are allowed"));
  }
  for (size_t i = 0; i < tools.size(); ++i) RETURN_IF_ERROR(CheckTool(absl::StrCat("tools[", i, "]"), tools[i]));
  return absl::OkStatus();
}

}  // namespace braid
