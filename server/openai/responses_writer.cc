#include "server/openai/responses_writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/openai/json_text.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

// "name":value with a comma before.
std::string Member(std::string_view name, std::string_view json) {
  std::string out = ",\"";
  out.append(name).append("\":").append(json);
  return out;
}

std::string UsageJson(const Usage& usage) {
  return absl::StrCat("{\"input_tokens\":", usage.prompt_tokens,
                      ",\"input_tokens_details\":{\"cached_tokens\":", usage.cached_tokens, ",\"cache_write_tokens\":0}",
                      ",\"output_tokens\":", usage.completion_tokens,
                      ",\"output_tokens_details\":{\"reasoning_tokens\":", usage.reasoning_tokens,
                      "},\"total_tokens\":", usage.prompt_tokens + usage.completion_tokens, "}");
}

// The members of an object, a comma before each.
std::string MembersOf(const Json& object) {
  std::string out;
  for (const auto& [name, value] : object.items()) out += Member(name, WriteJson(value));
  return out;
}

}  // namespace

ResponsesWriter::ResponsesWriter(Head head) : head_(std::move(head)), echo_(MembersOf(head_.echo)) {}

std::string ResponsesWriter::Response(std::string_view status, const Usage* usage) const {
  const bool incomplete = status == "incomplete";
  std::string out = absl::StrCat("{\"id\":", Quoted("resp_" + head_.id), ",\"object\":\"response\",\"created_at\":", head_.created_unix_s);
  out += Member("status", Quoted(status));
  out += Member("error", error_);
  out += Member("incomplete_details", incomplete ? "{\"reason\":\"max_output_tokens\"}" : "null");
  out += Member("model", Quoted(head_.model));
  out += Member("output", absl::StrCat("[", absl::StrJoin(items_, ","), "]"));
  out += Member("usage", usage == nullptr ? "null" : UsageJson(*usage));
  return out + echo_ + "}";
}

// The response object, kept before it is told: who reads it may ask for it at once.
std::string ResponsesWriter::Kept(std::string_view status, const Usage* usage) const {
  std::string json = Response(status, usage);
  if (head_.keep) head_.keep(status, json);
  return json;
}

// The content part of a message.
std::string ResponsesWriter::TextPart(bool done) const {
  std::string out = "{\"type\":\"output_text\"";
  out += Member("text", Quoted(done ? item_.text : ""));
  out += Member("annotations", "[]");
  out += Member("logprobs", absl::StrCat("[", done ? item_.logprobs : "", "]"));
  return out + "}";
}

std::string ResponsesWriter::ItemJson(bool done) const {
  std::string out = absl::StrCat("{\"id\":", Quoted(item_.id));
  const bool whole = finish_ == FinishReason::kNone || finish_ == FinishReason::kStop;
  const std::string_view status = !done ? "\"in_progress\"" : whole ? "\"completed\"" : "\"incomplete\"";
  switch (item_.kind) {
    case Item::Kind::kNone: break;
    case Item::Kind::kReasoning: {
      out += Member("type", "\"reasoning\"") + Member("summary", "[]");
      const std::string text = done ? absl::StrCat("{\"type\":\"reasoning_text\",\"text\":", Quoted(item_.text), "}") : "";
      out += Member("content", absl::StrCat("[", text, "]"));
      break;
    }
    case Item::Kind::kMessage:
      out += Member("type", "\"message\"") + Member("role", "\"assistant\"");
      out += Member("content", absl::StrCat("[", done ? TextPart(true) : "", "]"));
      break;
    case Item::Kind::kCall:
      out += Member("type", "\"function_call\"") + Member("call_id", Quoted(item_.call_id)) + Member("name", Quoted(item_.name));
      out += Member("arguments", Quoted(done ? item_.text : ""));
      break;
  }
  return out + Member("status", status) + "}";
}

void ResponsesWriter::Send(std::string_view type, std::string_view members, const Emit& emit) {
  if (!emit) return;
  std::string event = "{\"type\":\"";
  event.append(type).append("\",\"sequence_number\":");
  AppendJsonInt(sequence_++, &event);
  event.append(members).push_back('}');
  emit(type, event);
}

void ResponsesWriter::SendResponse(std::string_view type, std::string_view status, const Usage* usage, const Emit& emit) {
  Send(type, Member("response", Kept(status, usage)), emit);
}

// An event within the item that is open; it is the next of items_.
void ResponsesWriter::SendOfItem(std::string_view type, std::string_view members, const Emit& emit) {
  if (!emit) return;
  std::string all = absl::StrCat(",\"output_index\":", items_.size(), ",\"item_id\":", Quoted(item_.id));
  if (item_.kind != Item::Kind::kCall) all += ",\"content_index\":0";
  Send(type, all.append(members), emit);
}

void ResponsesWriter::Open(Item::Kind kind, const ToolCallPart* call, const Emit& emit) {
  Close(emit);
  item_.kind = kind;
  const char* prefix = kind == Item::Kind::kReasoning ? "rs_" : kind == Item::Kind::kMessage ? "msg_" : "fc_";
  item_.id = absl::StrCat(prefix, head_.id, "_", items_.size());
  if (call != nullptr) {
    item_.call_id = call->id;
    item_.name = call->name;
    item_.call_index = call->index;
  }
  if (!emit) return;
  Send("response.output_item.added", absl::StrCat(",\"output_index\":", items_.size(), ",\"item\":", ItemJson(false)), emit);
  if (kind == Item::Kind::kMessage) SendOfItem("response.content_part.added", Member("part", TextPart(false)), emit);
}

void ResponsesWriter::Close(const Emit& emit) {
  switch (item_.kind) {
    case Item::Kind::kNone: return;
    case Item::Kind::kReasoning:
      SendOfItem("response.reasoning_text.done", Member("text", Quoted(item_.text)), emit);
      break;
    case Item::Kind::kMessage:
      SendOfItem("response.output_text.done",
                 Member("text", Quoted(item_.text)) + Member("logprobs", absl::StrCat("[", item_.logprobs, "]")), emit);
      SendOfItem("response.content_part.done", Member("part", TextPart(true)), emit);
      break;
    case Item::Kind::kCall:
      SendOfItem("response.function_call_arguments.done",
                 Member("arguments", Quoted(item_.text)) + Member("name", Quoted(item_.name)), emit);
      break;
  }
  std::string json = ItemJson(true);
  Send("response.output_item.done", absl::StrCat(",\"output_index\":", items_.size(), ",\"item\":", json), emit);
  items_.push_back(std::move(json));
  item_ = {};
}

void ResponsesWriter::Say(Item::Kind kind, const std::string& text, const Emit& emit) {
  if (item_.kind != kind) Open(kind, nullptr, emit);
  item_.text += text;
  const std::string members = Member("delta", Quoted(text));
  if (kind == Item::Kind::kReasoning) return SendOfItem("response.reasoning_text.delta", members, emit);
  const std::string logprobs = std::exchange(waiting_, {});
  if (!logprobs.empty()) absl::StrAppend(&item_.logprobs, item_.logprobs.empty() ? "" : ",", logprobs);
  SendOfItem("response.output_text.delta", members + Member("logprobs", absl::StrCat("[", logprobs, "]")), emit);
}

void ResponsesWriter::SayCall(const ToolCallPart& call, const Emit& emit) {
  if (item_.kind != Item::Kind::kCall || item_.call_index != call.index) Open(Item::Kind::kCall, &call, emit);
  waiting_.clear();
  item_.text += call.arguments;
  if (!call.arguments.empty()) SendOfItem("response.function_call_arguments.delta", Member("delta", Quoted(call.arguments)), emit);
}

void ResponsesWriter::Begin(const Usage&, const Emit& emit) {
  SendResponse("response.created", "in_progress", nullptr, emit);
  SendResponse("response.in_progress", "in_progress", nullptr, emit);
}

void ResponsesWriter::Part(const ChoicePart& part, const Usage&, const Emit& emit) {
  if (!part.logprobs.empty()) absl::StrAppend(&waiting_, waiting_.empty() ? "" : ",", part.logprobs);
  if (!part.reasoning.empty()) {
    Say(Item::Kind::kReasoning, part.reasoning, emit);
    if (part.text.empty()) waiting_.clear();  // of what opened the reasoning
  }
  if (!part.text.empty()) Say(Item::Kind::kMessage, part.text, emit);
  for (const ToolCallPart& call : part.tool_calls) SayCall(call, emit);
  if (part.finish == FinishReason::kNone) return;
  finish_ = part.finish;
  if (items_.empty() && item_.kind == Item::Kind::kNone) Open(Item::Kind::kMessage, nullptr, emit);
  if (item_.kind == Item::Kind::kMessage && !waiting_.empty()) {
    absl::StrAppend(&item_.logprobs, item_.logprobs.empty() ? "" : ",", waiting_);
  }
  Close(emit);
}

void ResponsesWriter::End(const Usage& usage, const Emit& emit) {
  if (cut()) return SendResponse("response.incomplete", "incomplete", &usage, emit);
  SendResponse("response.completed", "completed", &usage, emit);
}

bool ResponsesWriter::Fail(const absl::Status& status, const Usage& usage, const Emit& emit) {
  const absl::string_view message = status.message();
  const std::string_view code = HttpStatusOf(status) == 429 ? "rate_limit_exceeded" : "server_error";
  finish_ = FinishReason::kError;
  Close(Emit());  // what there is of the item is part of the last event
  error_ = "{\"code\":" + Quoted(code) + Member("message", Quoted({message.data(), message.size()})) + "}";
  SendResponse("response.failed", "failed", &usage, emit);
  return true;
}

std::string ResponsesWriter::Whole(std::span<const ChoicePart> choices, const Usage& usage) {
  Part(choices[0], usage, Emit());
  return Kept(cut() ? "incomplete" : "completed", &usage);
}

}  // namespace braid
