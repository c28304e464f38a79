#include "server/openai/chat_body.h"

#include <utility>

namespace braid {

const Json* FindMember(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(std::string(name));
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const std::string* FindText(const Json& object, std::string_view name) {
  const Json* value = FindMember(object, name);
  return value != nullptr && value->is_string() ? &value->get_ref<const std::string&>() : nullptr;
}

void CopyMembers(const Json& from, std::initializer_list<const char*> names, Json* to) {
  for (const char* name : names) {
    if (const Json* value = FindMember(from, name)) (*to)[name] = *value;
  }
}

void CopyExtensions(const Json& body, Json* chat) {
  CopyMembers(body, {"seed", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "logit_bias", "min_tokens",
                     "ignore_eos", "stop_token_ids", "allowed_token_ids", "bad_words", "skip_special_tokens",
                     "chat_template_kwargs", "include_reasoning", "thinking_token_budget", "thinking_grace_tokens",
                     "cache_salt", "request_id", "priority"}, chat);
}

void AssistantTurn::AddCall(const std::string& id, const std::string& name, const std::string& arguments) {
  const Json function = {{"name", name}, {"arguments", arguments}};
  calls.push_back(Json{{"id", id}, {"type", "function"}, {"function", function}});
}

Json AssistantTurn::ToMessage() const {
  Json message{{"role", "assistant"}};
  message["content"] = text.value_or("").empty() && !calls.empty() ? Json() : Json(text.value_or(""));
  if (!reasoning.empty()) message["reasoning_content"] = reasoning;
  if (!calls.empty()) message["tool_calls"] = calls;
  return message;
}

Json FunctionTool(const Json& tool, const Json* parameters) {
  Json function = Json::object();
  CopyMembers(tool, {"name", "description"}, &function);
  if (parameters != nullptr) function["parameters"] = *parameters;
  CopyMembers(tool, {"strict"}, &function);
  return Json{{"type", "function"}, {"function", std::move(function)}};
}

bool IsJsonObject(std::string_view text) {
  const auto json = ParseJson(text);
  return json.ok() && json->is_object();
}

}  // namespace braid
