#include "server/anthropic/messages_writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/json.h"
#include "server/anthropic/error_json.h"
#include "server/openai/json_text.h"

namespace braid {
namespace {

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

// Tokens of the cache are counted beside those of the input, not among them.
std::string UsageJson(const Usage& usage) {
  return absl::StrCat("{\"input_tokens\":", usage.prompt_tokens - usage.cached_tokens, ",\"cache_creation_input_tokens\":0",
                      ",\"cache_read_input_tokens\":", usage.cached_tokens, ",\"output_tokens\":", usage.completion_tokens,
                      ",\"output_tokens_details\":{\"thinking_tokens\":", usage.reasoning_tokens, "}}");
}

// The input of a tool use; what was cut off before it became an object is none.
std::string InputJson(const std::string& arguments) {
  const auto input = ParseJson(arguments);
  return input.ok() && input->is_object() ? WriteJson(*input) : "{}";
}

}  // namespace

// Thinking is signed for those who check that there is a signature; nobody checks which.
std::string MessagesWriter::Signature() const { return "msg_" + head_.id; }

std::string MessagesWriter::BlockJson(bool done) const {
  const std::string text = Quoted(done ? block_.text : "");
  switch (block_.kind) {
    case Block::Kind::kNone: break;
    case Block::Kind::kThinking:
      return absl::StrCat("{\"type\":\"thinking\",\"thinking\":", text, ",\"signature\":", Quoted(done ? Signature() : ""), "}");
    case Block::Kind::kText: return absl::StrCat("{\"type\":\"text\",\"text\":", text, ",\"citations\":null}");
    case Block::Kind::kToolUse:
      return absl::StrCat("{\"type\":\"tool_use\",\"id\":", Quoted(block_.id), ",\"name\":", Quoted(block_.name),
                          ",\"input\":", done ? InputJson(block_.text) : "{}", "}");
  }
  return "{}";
}

std::string MessagesWriter::Message(const Usage& usage) const {
  return absl::StrCat("{\"id\":", Quoted("msg_" + head_.id), ",\"type\":\"message\",\"role\":\"assistant\",\"model\":", Quoted(head_.model),
                      ",\"content\":[", absl::StrJoin(blocks_, ","), "],\"stop_reason\":", stop_reason_,
                      ",\"stop_sequence\":", stop_sequence_, ",\"usage\":", UsageJson(usage), "}");
}

void MessagesWriter::SendDelta(std::string_view type, std::string_view member, const std::string& text, const Emit& emit) const {
  if (!emit) return;
  std::string event = absl::StrCat("{\"type\":\"content_block_delta\",\"index\":", blocks_.size(), ",\"delta\":{\"type\":\"");
  event.append(type).append("\",\"").append(member).append("\":");
  AppendJsonString(text, &event);
  emit("content_block_delta", event.append("}}"));
}

void MessagesWriter::Open(Block::Kind kind, const ToolCallPart* call, const Emit& emit) {
  Close(emit);
  block_.kind = kind;
  if (call != nullptr) {
    block_.id = call->id;
    block_.name = call->name;
    block_.call_index = call->index;
  }
  if (!emit) return;
  emit("content_block_start", absl::StrCat("{\"type\":\"content_block_start\",\"index\":", blocks_.size(),
                                           ",\"content_block\":", BlockJson(false), "}"));
}

void MessagesWriter::Close(const Emit& emit) {
  if (block_.kind == Block::Kind::kNone) return;
  if (block_.kind == Block::Kind::kThinking) SendDelta("signature_delta", "signature", Signature(), emit);
  if (emit) emit("content_block_stop", absl::StrCat("{\"type\":\"content_block_stop\",\"index\":", blocks_.size(), "}"));
  blocks_.push_back(BlockJson(true));
  block_ = {};
}

void MessagesWriter::Say(Block::Kind kind, const std::string& text, const Emit& emit) {
  if (block_.kind != kind) Open(kind, nullptr, emit);
  block_.text += text;
  if (kind == Block::Kind::kThinking) return SendDelta("thinking_delta", "thinking", text, emit);
  SendDelta("text_delta", "text", text, emit);
}

void MessagesWriter::SayCall(const ToolCallPart& call, const Emit& emit) {
  used_tools_ = true;
  if (block_.kind != Block::Kind::kToolUse || block_.call_index != call.index) Open(Block::Kind::kToolUse, &call, emit);
  block_.text += call.arguments;
  if (!call.arguments.empty()) SendDelta("input_json_delta", "partial_json", call.arguments, emit);
}

// The choice is complete: ends what is open and says why it ended.
void MessagesWriter::EndBlocks(const ChoicePart& part, const Emit& emit) {
  if (blocks_.empty() && block_.kind == Block::Kind::kNone) Open(Block::Kind::kText, nullptr, emit);
  Close(emit);
  if (part.finish == FinishReason::kLength) {
    stop_reason_ = "\"max_tokens\"";
  } else if (part.stop_reason[0] == '"') {
    stop_reason_ = "\"stop_sequence\"";
    stop_sequence_ = part.stop_reason;
  } else {
    stop_reason_ = used_tools_ ? "\"tool_use\"" : "\"end_turn\"";
  }
}

void MessagesWriter::Begin(const Usage& usage, const Emit& emit) {
  emit("message_start", absl::StrCat("{\"type\":\"message_start\",\"message\":", Message(usage), "}"));
  emit("ping", "{\"type\":\"ping\"}");
}

void MessagesWriter::Part(const ChoicePart& part, const Usage&, const Emit& emit) {
  if (!part.reasoning.empty()) Say(Block::Kind::kThinking, part.reasoning, emit);
  if (!part.text.empty()) Say(Block::Kind::kText, part.text, emit);
  for (const ToolCallPart& call : part.tool_calls) SayCall(call, emit);
  if (part.finish != FinishReason::kNone) EndBlocks(part, emit);
}

void MessagesWriter::End(const Usage& usage, const Emit& emit) {
  emit("message_delta", absl::StrCat("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":", stop_reason_,
                                     ",\"stop_sequence\":", stop_sequence_, "},\"usage\":", UsageJson(usage), "}"));
  emit("message_stop", "{\"type\":\"message_stop\"}");
}

bool MessagesWriter::Fail(const absl::Status& status, const Usage&, const Emit& emit) {
  emit("error", MessagesErrorBody(status));
  return true;
}

std::string MessagesWriter::Whole(std::span<const ChoicePart> choices, const Usage& usage) {
  Part(choices[0], usage, Emit());
  return Message(usage);
}

}  // namespace braid
