#include "server/openai/responses_request.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/openai/chat_body.h"
#include "server/openai/request_fields.h"
#include "server/openai/responses_input.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();

// Parts of the protocol that are not served.
void RefuseUnserved(RequestFields& fields) {
  if (fields.Has("conversation")) {
    fields.Fail("conversation", "conversations are not stored here; use previous_response_id, or send the whole conversation as input");
  }
  if (fields.Has("prompt")) fields.Fail("prompt", "prompt templates are not stored here; send input");
}

// Whether the response is kept, and whether anybody waits for it.
void ReadStore(RequestFields& fields, const RequestRules& rules, ResponsesRequest* request) {
  const bool can_keep = rules.responses != nullptr && rules.responses->keeps(), wanted = fields.Bool("store", true);
  if (can_keep && wanted) request->keep = ResponseStore::NewResponse{.owner = rules.caller};
  request->background = fields.Bool("background", false);
  if (!request->background) return;
  if (!can_keep) return fields.Fail("background", "must be false: responses are not stored here, so none can be fetched later");
  if (!wanted) return fields.Fail("background", "cannot be true with store: false, for the response is fetched later");
  if (fields.Bool("stream", false)) fields.Fail("stream", "cannot be true with background: true; fetch the response by its id");
}

// The conversation that the request goes on from; empty: none.
Conversation ReadEarlier(RequestFields& fields, const RequestRules& rules) {
  const auto id = fields.String("previous_response_id");
  if (!id.has_value()) return {};
  const auto unknown = [&](auto... words) {
    fields.Fail(WithDetails(absl::InvalidArgumentError(absl::StrCat("previous_response_id: ", words...)), "previous_response_id",
                            "previous_response_not_found"));
    return Conversation();
  };
  if (rules.responses == nullptr || !rules.responses->keeps()) {
    return unknown("responses are not stored here; send the whole conversation as input");
  }
  auto earlier = rules.responses->GoOn(rules.caller, *id);
  if (earlier.ok()) return *std::move(earlier);
  if (absl::IsNotFound(earlier.status())) return unknown(earlier.status().message());
  fields.Fail("previous_response_id", std::string(earlier.status().message()));
  return {};
}

void ReadInput(RequestFields& fields, const RequestRules& rules, ResponsesRequest* request, Json* chat) {
  Conversation earlier = ReadEarlier(fields, rules);
  const auto instructions = fields.String("instructions");
  const Json* input = fields.Find("input");
  if (input == nullptr) return fields.Fail("input", "is missing");
  auto messages = ReadResponsesInput(*input, earlier, instructions.has_value() ? &*instructions : nullptr, rules.limits.max_messages);
  if (!messages.ok()) return fields.Fail(messages.status());
  (*chat)["messages"] = *std::move(messages);
  if (!request->keep.has_value()) return;
  request->keep->earlier = std::move(earlier);
  request->keep->input = WriteJson(ItemsToKeep(*input));
}

absl::StatusOr<Json> ReadTool(const std::string& where, const Json& tool) {
  const std::string *type = FindText(tool, "type"), *name = FindText(tool, "name");
  if (type == nullptr) return InvalidParam("tools", absl::StrCat(where, ": must be an object with a type"));
  if (*type != "function") {
    return InvalidParam("tools", absl::StrCat(where, ".type: ", Shown(*type), " is not supported; this server offers \"function\" only"));
  }
  if (name == nullptr || name->empty()) return InvalidParam("tools", absl::StrCat(where, ".name: must be a string that is not empty"));
  const Json* parameters = FindMember(tool, "parameters");
  if (parameters != nullptr && !parameters->is_object()) {
    return InvalidParam("tools", absl::StrCat(where, ".parameters: must be an object"));
  }
  return FunctionTool(tool, parameters);
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
  if (!fields.Bool("parallel_tool_calls", true)) (*chat)["parallel_tool_calls"] = false;
  const Json* choice = fields.Find("tool_choice");
  if (choice == nullptr || (*choice == "auto" && !chat->contains("tools"))) return;
  if (!choice->is_object()) {
    (*chat)["tool_choice"] = *choice;
    return;
  }
  const std::string *type = FindText(*choice, "type"), *name = FindText(*choice, "name");
  if (type == nullptr || *type != "function" || name == nullptr) {
    return fields.Fail("tool_choice", "must be \"none\", \"auto\", \"required\" or {\"type\": \"function\", \"name\": ...}");
  }
  (*chat)["tool_choice"] = Json{{"type", "function"}, {"function", Json{{"name", *name}}}};
}

// Checks a member that has no effect here.
void InnerString(RequestFields& fields, const char* field, const Json& object, const char* name) {
  const Json* value = FindMember(object, name);
  if (value != nullptr && !value->is_string()) fields.Fail(absl::StrCat(field, ".", name), absl::StrCat("must be a string, not ", Shown(*value)));
}

void ReadText(RequestFields& fields, Json* chat) {
  const Json* text = fields.Object("text");
  if (text != nullptr) InnerString(fields, "text", *text, "verbosity");
  const Json* format = text == nullptr ? nullptr : FindMember(*text, "format");
  if (format == nullptr) return;
  const std::string* type = FindText(*format, "type");
  if (type == nullptr) return fields.Fail("text.format", "must be an object with a type");
  if (*type == "json_schema") {
    const Json* schema = FindMember(*format, "schema");
    if (schema == nullptr || !schema->is_object()) return fields.Fail("text.format", "schema: must be a JSON schema");
    Json named = Json::object();
    CopyMembers(*format, {"name", "description", "schema", "strict"}, &named);
    (*chat)["response_format"] = Json{{"type", *type}, {"json_schema", std::move(named)}};
  } else if (*type == "json_object") {
    (*chat)["response_format"] = Json{{"type", *type}};
  } else if (*type != "text") {
    fields.Fail("text.format", absl::StrCat("type ", Shown(*type), " is not supported; use \"text\", \"json_object\" or \"json_schema\""));
  }
}

void ReadReasoning(RequestFields& fields, Json* chat) {
  const Json* reasoning = fields.Object("reasoning");
  if (reasoning != nullptr) InnerString(fields, "reasoning", *reasoning, "summary");
  const Json* effort = reasoning == nullptr ? nullptr : FindMember(*reasoning, "effort");
  if (effort == nullptr) return;
  const auto known = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};
  if (std::find(known.begin(), known.end(), *effort) == known.end()) {
    return fields.Fail("reasoning.effort", absl::StrCat("must be none, minimal, low, medium, high, xhigh or max, not ", Shown(*effort)));
  }
  (*chat)["reasoning_effort"] = *effort;
}

void ReadLength(RequestFields& fields, Json* chat) {
  const auto most = fields.Int("max_output_tokens", 1, kMaxInt);
  if (most.has_value()) (*chat)["max_completion_tokens"] = *most;
  const std::string truncation = fields.String("truncation").value_or("disabled");
  if (truncation != "auto" && truncation != "disabled") {
    fields.Fail("truncation", absl::StrCat("must be \"auto\" or \"disabled\", not ", Shown(truncation)));
  }
  if (truncation == "auto") (*chat)["truncate_prompt_tokens"] = -1;
}

// top_logprobs counts only when the logprobs themselves are asked for.
void ReadLogprobs(RequestFields& fields, const RequestRules& rules, Json* chat) {
  const auto top = fields.Int("top_logprobs", 0, rules.limits.max_top_logprobs);
  const Json* include = fields.Array("include", 32);
  if (include == nullptr) return;
  for (const Json& what : *include) {
    if (!what.is_string()) return fields.Fail("include", absl::StrCat("must hold strings, not ", Shown(what)));
  }
  if (std::find(include->begin(), include->end(), "message.output_text.logprobs") == include->end()) return;
  (*chat)["logprobs"] = true;
  (*chat)["top_logprobs"] = top.value_or(0);
}

void CheckStreamOptions(RequestFields& fields) {
  const Json* options = fields.Object("stream_options");
  if (options == nullptr) return;
  if (!fields.Bool("stream", false)) return fields.Fail("stream_options", "is only allowed with stream: true");
  RequestFields inner(*options);
  inner.Bool("include_obfuscation", false);
  if (!inner.status().ok()) fields.Fail("stream_options", std::string(inner.status().message()));
}

void CheckMetadata(RequestFields& fields) {
  const Json* metadata = fields.Object("metadata");
  if (metadata == nullptr) return;
  if (metadata->size() > 16) return fields.Fail("metadata", absl::StrCat("holds ", metadata->size(), " entries; at most 16 are allowed"));
  for (const auto& [name, value] : metadata->items()) {
    const bool fits = name.size() <= 64 && value.is_string() && value.get_ref<const std::string&>().size() <= 512;
    if (!fits) return fields.Fail("metadata", absl::StrCat(Shown(name), ": names are of at most 64 bytes, values strings of at most 512"));
  }
}

// 0.6f is 0.6 to readers, not 0.60000002384.
double Shortened(float value) { return std::round(static_cast<double>(value) * 1e6) / 1e6; }

Json EchoOf(const Json& body, const ResponsesRequest& read) {
  const ChatRequest& request = read.chat;
  Json echo = {{"instructions", nullptr},     {"metadata", Json::object()},
               {"temperature", Shortened(request.options.sampling.temperature)},
               {"top_p", Shortened(request.options.sampling.top_p)},
               {"top_logprobs", 0},           {"tools", Json::array()},
               {"tool_choice", "auto"},       {"parallel_tool_calls", true},
               {"max_output_tokens", nullptr}, {"max_tool_calls", nullptr},
               {"previous_response_id", nullptr},
               {"reasoning", Json{{"effort", nullptr}, {"summary", nullptr}}},
               {"text", Json{{"format", Json{{"type", "text"}}}}},
               {"truncation", "disabled"},    {"service_tier", "default"},
               {"background", read.background}, {"store", read.keep.has_value()},
               {"user", nullptr}};
  CopyMembers(body, {"instructions", "metadata", "top_logprobs", "tools", "tool_choice", "parallel_tool_calls", "max_output_tokens",
                     "max_tool_calls", "previous_response_id", "reasoning", "text", "truncation", "user", "safety_identifier", "prompt_cache_key"}, &echo);
  Json& text = echo["text"];
  if (FindMember(text, "format") == nullptr) text["format"] = Json{{"type", "text"}};
  return echo;
}

// Errors about a translated field name the field it was.
absl::Status Renamed(const absl::Status& status) {
  return ParamOf(status) == "messages" ? WithDetails(status, "input") : status;
}

void ReadFields(RequestFields& fields, const RequestRules& rules, ResponsesRequest* request, Json* chat) {
  RefuseUnserved(fields);
  ReadStore(fields, rules, request);
  ReadInput(fields, rules, request, chat);
  ReadTools(fields, rules, chat);
  ReadToolChoice(fields, chat);
  ReadText(fields, chat);
  ReadReasoning(fields, chat);
  ReadLength(fields, chat);
  ReadLogprobs(fields, rules, chat);
  CheckMetadata(fields);
  CheckStreamOptions(fields);
  fields.Int("max_tool_calls", 1, kMaxInt);
  for (const char* field : {"safety_identifier", "prompt_cache_key", "service_tier"}) fields.String(field);
}

}  // namespace

absl::StatusOr<ResponsesRequest> ReadResponsesRequest(const Json& body, const RequestRules& rules) {
  RequestFields fields(body);
  Json chat = Json::object();
  ResponsesRequest request;
  ReadFields(fields, rules, &request, &chat);
  RETURN_IF_ERROR(fields.status());
  CopyMembers(body, {"model", "temperature", "top_p", "top_k", "stream", "user", "stop"}, &chat);
  CopyExtensions(body, &chat);
  auto read = ReadChatRequest(chat, rules);
  if (!read.ok()) return Renamed(read.status());
  request.chat = *std::move(read);
  StructuredOutput& structured = request.chat.options.output.structured;
  if (structured.kind != StructuredOutput::Kind::kNone) structured.field = "text.format";
  request.echo = EchoOf(body, request);
  return request;
}

}  // namespace braid
