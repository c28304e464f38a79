#include "server/anthropic/messages_request.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/anthropic/message_blocks.h"
#include "server/openai/chat_body.h"
#include "server/openai/request_fields.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr int64_t kMinThinking = 1024;  // tokens, as the API has it

// A last message of the assistant is the beginning of the answer: the model goes on with it.
bool IsPrefill(const Json& message) {
  return message["role"] == "assistant" && FindText(message, "content") != nullptr && !FindText(message, "content")->empty() &&
         FindMember(message, "tool_calls") == nullptr;
}

void ReadMessages(RequestFields& fields, const RequestRules& rules, Json* chat) {
  const Json* messages = fields.Find("messages");
  if (messages == nullptr) return fields.Fail("messages", "is missing");
  auto read = ReadBlocks(fields.Find("system"), *messages, rules.limits.max_messages);
  if (!read.ok()) return fields.Fail(read.status());
  if (read->empty()) return fields.Fail("messages", "must say something");
  if (IsPrefill(read->back())) (*chat)["continue_final_message"] = true;
  (*chat)["messages"] = *std::move(read);
}

absl::StatusOr<Json> ReadTool(const std::string& where, const Json& tool) {
  if (!tool.is_object()) return InvalidParam("tools", absl::StrCat(where, ": must be an object"));
  const Json* type = FindMember(tool, "type");
  if (type != nullptr && *type != "custom") {
    return InvalidParam("tools", absl::StrCat(where, ".type: ", Shown(*type), " is not supported; this server runs no tools itself"));
  }
  if (FindText(tool, "name") == nullptr) return InvalidParam("tools", absl::StrCat(where, ".name: must be a string"));
  const Json* schema = FindMember(tool, "input_schema");
  if (schema == nullptr || !schema->is_object()) return InvalidParam("tools", absl::StrCat(where, ".input_schema: must be an object"));
  return FunctionTool(tool, schema);
}

void ReadTools(RequestFields& fields, const RequestRules& rules, Json* chat) {
  const Json* tools = fields.Array("tools", rules.limits.max_tools);
  if (tools == nullptr || tools->empty()) return;
  Json& out = (*chat)["tools"] = Json::array();
  for (size_t i = 0; i < tools->size(); ++i) {
    auto tool = ReadTool(absl::StrCat("tools[", i, "]"), (*tools)[i]);
    if (!tool.ok()) return fields.Fail(tool.status());
    out.push_back(*std::move(tool));
  }
}

void ReadToolChoice(RequestFields& fields, Json* chat) {
  const Json* choice = fields.Object("tool_choice");
  if (choice == nullptr) return;
  const std::string *type = FindText(*choice, "type"), *name = FindText(*choice, "name");
  RequestFields inner(*choice);
  if (inner.Bool("disable_parallel_tool_use", false)) (*chat)["parallel_tool_calls"] = false;
  if (!inner.status().ok()) return fields.Fail("tool_choice", std::string(inner.status().message()));
  if (type != nullptr && *type == "auto") return;
  if (type != nullptr && *type == "none") {
    (*chat)["tool_choice"] = "none";
  } else if (type != nullptr && *type == "any") {
    (*chat)["tool_choice"] = "required";
  } else if (type != nullptr && *type == "tool" && name != nullptr) {
    (*chat)["tool_choice"] = Json{{"type", "function"}, {"function", Json{{"name", *name}}}};
  } else {
    fields.Fail("tool_choice", "must be {\"type\": \"auto\"}, \"any\", \"none\", or \"tool\" with a name");
  }
}

// Template arguments of the request, to be added to.
Json& Kwargs(Json* chat) {
  Json& kwargs = (*chat)["chat_template_kwargs"];
  if (kwargs.is_null()) kwargs = Json::object();
  return kwargs;
}

void ReadThinking(RequestFields& fields, Json* chat) {
  const Json* thinking = fields.Object("thinking");
  if (thinking == nullptr) return;
  const std::string* type = FindText(*thinking, "type");
  const bool enabled = type != nullptr && *type == "enabled";
  if (type == nullptr || (!enabled && *type != "disabled" && *type != "adaptive")) {
    return fields.Fail("thinking", "type: must be \"enabled\", \"disabled\" or \"adaptive\"");
  }
  if (Json& kwargs = Kwargs(chat); kwargs.is_object()) kwargs["enable_thinking"] = *type != "disabled";
  if (const Json* display = FindMember(*thinking, "display"); display != nullptr && *display == "omitted") {
    (*chat)["include_reasoning"] = false;
  }
  if (!enabled) return;
  RequestFields inner(*thinking);
  const auto budget = inner.Int("budget_tokens", kMinThinking, kMaxInt);
  if (!inner.status().ok()) return fields.Fail("thinking", std::string(inner.status().message()));
  if (!budget.has_value()) return fields.Fail("thinking", "budget_tokens: is missing");
  const auto most = fields.Int("max_tokens", 1, kMaxInt);
  if (most.has_value() && *budget >= *most) {
    return fields.Fail("thinking", absl::StrCat("budget_tokens: must be less than max_tokens (", *most, "), not ", *budget));
  }
  (*chat)["thinking_token_budget"] = *budget;
}

void ReadEffort(RequestFields& fields, const Json& config, Json* chat) {
  const Json* effort = FindMember(config, "effort");
  if (effort == nullptr) return;
  const auto known = {"low", "medium", "high", "xhigh", "max"};
  if (std::find(known.begin(), known.end(), *effort) == known.end()) {
    return fields.Fail("output_config", absl::StrCat("effort: must be low, medium, high, xhigh or max, not ", Shown(*effort)));
  }
  // Not as reasoning_effort, which would turn thinking on.
  if (Json& kwargs = Kwargs(chat); kwargs.is_object()) kwargs["reasoning_effort"] = *effort;
}

void ReadOutputConfig(RequestFields& fields, Json* chat) {
  const Json* config = fields.Object("output_config");
  if (config == nullptr) return;
  ReadEffort(fields, *config, chat);
  const Json* format = FindMember(*config, "format");
  if (format == nullptr) return;
  const std::string* type = FindText(*format, "type");
  const Json* schema = FindMember(*format, "schema");
  if (type == nullptr || *type != "json_schema" || schema == nullptr || !schema->is_object()) {
    return fields.Fail("output_config", "format: must be {\"type\": \"json_schema\", \"schema\": ...}");
  }
  (*chat)["response_format"] = Json{{"type", "json_schema"}, {"json_schema", Json{{"name", "output"}, {"schema", *schema}}}};
}

void ReadStops(RequestFields& fields, const RequestRules& rules, Json* chat) {
  const Json* stops = fields.Array("stop_sequences", rules.limits.max_stop_strings);
  if (stops == nullptr) return;
  for (const Json& stop : *stops) {
    const size_t bytes = stop.is_string() ? stop.get_ref<const std::string&>().size() : 0;
    if (bytes == 0 || bytes > static_cast<size_t>(rules.limits.max_stop_bytes)) {
      return fields.Fail("stop_sequences", absl::StrCat("must hold strings of 1 to ", rules.limits.max_stop_bytes, " bytes, not ", Shown(stop)));
    }
  }
  (*chat)["stop"] = *stops;
}

void CheckRest(RequestFields& fields) {
  fields.Number("temperature", 0, 1);
  if (const Json* metadata = fields.Object("metadata")) {
    RequestFields inner(*metadata);
    inner.String("user_id");
    if (!inner.status().ok()) fields.Fail("metadata", std::string(inner.status().message()));
  }
  for (const char* field : {"mcp_servers", "container"}) {
    const Json* value = fields.Find(field);
    if (value != nullptr && !value->empty()) fields.Fail(field, "is not supported; this server runs no tools itself");
  }
}

absl::StatusOr<ChatRequest> Read(const Json& body, const RequestRules& rules, bool counts_only) {
  RequestFields fields(body);
  Json chat = Json::object();
  CopyExtensions(body, &chat);
  ReadMessages(fields, rules, &chat);
  ReadTools(fields, rules, &chat);
  ReadToolChoice(fields, &chat);
  ReadThinking(fields, &chat);
  ReadOutputConfig(fields, &chat);
  ReadStops(fields, rules, &chat);
  CheckRest(fields);
  if (!counts_only && !fields.Has("max_tokens")) fields.Fail("max_tokens", "is missing");
  RETURN_IF_ERROR(fields.status());
  CopyMembers(body, {"model", "max_tokens", "temperature", "top_p", "top_k", "stream"}, &chat);
  ASSIGN_OR_RETURN(ChatRequest request, ReadChatRequest(chat, rules));
  if (request.options.output.structured.kind != StructuredOutput::Kind::kNone) request.options.output.structured.field = "output_config";
  return request;
}

}  // namespace

absl::StatusOr<ChatRequest> ReadMessagesRequest(const Json& body, const RequestRules& rules) { return Read(body, rules, false); }

absl::StatusOr<ChatRequest> ReadCountTokensRequest(const Json& body, const RequestRules& rules) { return Read(body, rules, true); }

}  // namespace braid
