#include "server/openai/response_json.h"

#include <algorithm>
#include <utility>

#include "server/openai/json_text.h"

namespace braid {
namespace {

void AppendIds(std::string_view name, const std::vector<int32_t>& ids, std::string* out) {
  out->append(",\"").append(name).append("\":[");
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) out->push_back(',');
    AppendJsonInt(ids[i], out);
  }
  out->push_back(']');
}

void AppendUsage(const Usage& usage, std::string* out) {
  out->append(",\"usage\":{\"prompt_tokens\":");
  AppendJsonInt(usage.prompt_tokens, out);
  out->append(",\"completion_tokens\":");
  AppendJsonInt(usage.completion_tokens, out);
  out->append(",\"total_tokens\":");
  AppendJsonInt(usage.prompt_tokens + usage.completion_tokens, out);
  out->append(",\"prompt_tokens_details\":{\"cached_tokens\":");
  AppendJsonInt(usage.cached_tokens, out);
  out->append("},\"completion_tokens_details\":{\"reasoning_tokens\":");
  AppendJsonInt(usage.reasoning_tokens, out);
  out->append("}}");
}

// One call of a message, or a piece of one in a delta: id, type and name come with the first piece only.
void AppendCall(const ToolCallPart& call, bool chunk, std::string* out) {
  out->push_back('{');
  if (chunk) {
    out->append("\"index\":");
    AppendJsonInt(call.index, out);
    out->push_back(',');
  }
  if (!call.id.empty()) {
    out->append("\"id\":");
    AppendJsonString(call.id, out);
    out->append(",\"type\":\"function\",");
  }
  out->append("\"function\":{");
  if (!call.id.empty()) {
    out->append("\"name\":");
    AppendJsonString(call.name, out);
    out->push_back(',');
  }
  out->append("\"arguments\":");
  AppendJsonString(call.arguments, out);
  out->append("}}");
}

// ,"tool_calls":[...]; nothing when there are none.
void AppendCalls(const std::vector<ToolCallPart>& calls, bool chunk, std::string* out) {
  if (calls.empty()) return;
  out->append(",\"tool_calls\":[");
  for (const ToolCallPart& call : calls) {
    if (&call != &calls.front()) out->push_back(',');
    AppendCall(call, chunk, out);
  }
  out->push_back(']');
}

// Both names that clients know.
void AppendReasoning(const std::string& reasoning, std::string* out) {
  if (reasoning.empty()) return;
  for (const char* name : {",\"reasoning\":", ",\"reasoning_content\":"}) {
    out->append(name);
    AppendJsonString(reasoning, out);
  }
}

void AppendBytes(std::string_view bytes, std::string* out) {
  out->push_back('[');
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out->push_back(',');
    AppendJsonInt(static_cast<unsigned char>(bytes[i]), out);
  }
  out->push_back(']');
}

int64_t Characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

void Separate(std::string* list) {
  if (!list->empty()) list->push_back(',');
}

// Nothing when none were asked for.
void AppendPromptLogprobs(const ChoicePart& part, std::string* out) {
  if (!part.prompt_logprobs.empty()) out->append(",\"prompt_logprobs\":").append(part.prompt_logprobs);
}

std::string Prefix(const OpenAiWriter::Head& head, std::string_view object) {
  std::string out = "{\"id\":";
  AppendJsonString(head.id, &out);
  out.append(",\"object\":\"").append(object).append("\",\"created\":");
  AppendJsonInt(head.created_unix_s, &out);
  out.append(",\"model\":");
  AppendJsonString(head.model, &out);
  out.append(",\"system_fingerprint\":");
  head.fingerprint.empty() ? out.append("null") : (AppendJsonString(head.fingerprint, &out), out);
  return out;
}

}  // namespace

std::string_view FinishReasonJson(const ChoicePart& part) {
  switch (part.finish) {
    case FinishReason::kNone: return "null";
    case FinishReason::kStop: return part.ends_in_calls ? "\"tool_calls\"" : "\"stop\"";
    case FinishReason::kLength: return "\"length\"";
    case FinishReason::kAbort:
    case FinishReason::kError: return "\"abort\"";
  }
  return "null";
}

LogprobsText::LogprobsText(ReplyForm form, const Tokenizer* tokenizer, bool as_ids, int top)
    : form_(form), tokenizer_(tokenizer), as_ids_(as_ids || tokenizer == nullptr), top_(top) {}

std::string_view LogprobsText::Spelling(int32_t id) {
  if (!as_ids_) return tokenizer_->TokenBytes(id);
  spelled_ = "token_id:";
  AppendJsonInt(id, &spelled_);
  return spelled_;
}

void LogprobsText::Add(int32_t id, const TokenLogprobs* logprobs) {
  if (form_ == ReplyForm::kCompletion) {
    AddCompletion(id, logprobs);
  } else if (logprobs != nullptr) {
    AddChat(id, *logprobs);
  }
}

// {"token","logprob","bytes" without the closing brace.
void LogprobsText::AppendEntry(int32_t id, float logprob) {
  content_.append("{\"token\":");
  AppendJsonString(Spelling(id), &content_);
  content_.append(",\"logprob\":");
  AppendLogprob(logprob, &content_);
  content_.append(",\"bytes\":");
  AppendBytes(tokenizer_ != nullptr ? tokenizer_->TokenBytes(id) : std::string_view(), &content_);
}

void LogprobsText::AddChat(int32_t id, const TokenLogprobs& logprobs) {
  Separate(&content_);
  AppendEntry(id, logprobs.logprob);
  content_.append(",\"top_logprobs\":[");
  const size_t count = std::min<size_t>(std::max(top_, 0), logprobs.top.size());
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) content_.push_back(',');
    AppendEntry(logprobs.top[i].first, logprobs.top[i].second);
    content_.push_back('}');
  }
  content_.append("]}");
}

void LogprobsText::AddCompletion(int32_t id, const TokenLogprobs* logprobs) {
  for (std::string* list : {&content_, &values_, &tops_, &offsets_}) Separate(list);
  AppendJsonString(Spelling(id), &content_);
  AppendJsonInt(offset_, &offsets_);
  offset_ += Characters(tokenizer_ != nullptr ? tokenizer_->TokenBytes(id) : std::string_view());
  if (logprobs == nullptr) {
    values_.append("null");
    tops_.append("null");
    return;
  }
  AppendLogprob(logprobs->logprob, &values_);
  // The best ones and the sampled one; two ids of one spelling would be one member given twice.
  std::vector<std::string> names;
  tops_.push_back('{');
  const auto add = [&](int32_t one, float logprob) {
    std::string name;
    AppendJsonString(Spelling(one), &name);
    if (std::find(names.begin(), names.end(), name) != names.end()) return;
    if (!names.empty()) tops_.push_back(',');
    tops_.append(name).push_back(':');
    AppendLogprob(logprob, &tops_);
    names.push_back(std::move(name));
  };
  const size_t count = std::min<size_t>(std::max(top_, 0), logprobs->top.size());
  for (size_t i = 0; i < count; ++i) add(logprobs->top[i].first, logprobs->top[i].second);
  add(id, logprobs->logprob);
  tops_.push_back('}');
}

std::string LogprobsText::Take() {
  std::string out;
  if (form_ == ReplyForm::kChat) {
    out.append("{\"content\":[").append(content_).append("],\"refusal\":null}");
  } else if (form_ == ReplyForm::kEntries) {
    out = content_;
  } else {
    out.append("{\"tokens\":[").append(content_).append("],\"token_logprobs\":[").append(values_);
    out.append("],\"top_logprobs\":[").append(tops_).append("],\"text_offset\":[").append(offsets_).append("]}");
  }
  for (std::string* list : {&content_, &values_, &tops_, &offsets_}) list->clear();
  return out;
}

OpenAiWriter::OpenAiWriter(Head head)
    : head_(std::move(head)),
      whole_prefix_(Prefix(head_, head_.form == ReplyForm::kChat ? "chat.completion" : "text_completion")),
      chunk_prefix_(Prefix(head_, head_.form == ReplyForm::kChat ? "chat.completion.chunk" : "text_completion")) {}

void OpenAiWriter::AppendMessage(const ChoicePart& part, std::string* out) const {
  out->append(",\"message\":{\"role\":\"assistant\",\"content\":");
  if (part.text.empty() && !part.tool_calls.empty()) {
    out->append("null");
  } else {
    AppendJsonString(head_.opening.empty() ? part.text : head_.opening + part.text, out);
  }
  out->append(",\"refusal\":null");
  AppendReasoning(part.reasoning, out);
  AppendCalls(part.tool_calls, false, out);
  out->push_back('}');
}

void OpenAiWriter::AppendDelta(const ChoicePart& part, std::string* out) const {
  out->append(",\"delta\":{");
  const size_t members = out->size();
  AppendReasoning(part.reasoning, out);
  const bool silent = part.reasoning.empty() && part.tool_calls.empty() && part.finish == FinishReason::kNone;
  if (!part.text.empty() || silent) {
    out->append(",\"content\":");
    AppendJsonString(part.text, out);
  }
  AppendCalls(part.tool_calls, true, out);
  if (out->size() > members) out->erase(members, 1);  // the first comma
  out->push_back('}');
}

void OpenAiWriter::AppendChoice(const ChoicePart& part, bool chunk, std::string* out) const {
  out->append("{\"index\":");
  AppendJsonInt(part.index, out);
  if (head_.form == ReplyForm::kCompletion) {
    out->append(",\"text\":");
    AppendJsonString(part.text, out);
  } else if (chunk) {
    AppendDelta(part, out);
  } else {
    AppendMessage(part, out);
  }
  out->append(",\"logprobs\":").append(part.logprobs.empty() ? "null" : part.logprobs);
  out->append(",\"finish_reason\":").append(FinishReasonJson(part));
  if (part.finish != FinishReason::kNone) out->append(",\"stop_reason\":").append(part.stop_reason);
  if (head_.token_ids) AppendIds("token_ids", part.token_ids, out);
  if (head_.token_ids && !part.prompt_token_ids.empty()) AppendIds("prompt_token_ids", part.prompt_token_ids, out);
  if (head_.form == ReplyForm::kCompletion) AppendPromptLogprobs(part, out);
  out->push_back('}');
}

std::string OpenAiWriter::Whole(std::span<const ChoicePart> choices, const Usage& usage) {
  std::string out = whole_prefix_;
  out.append(",\"choices\":[");
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) out.push_back(',');
    AppendChoice(choices[i], false, &out);
  }
  out.push_back(']');
  AppendUsage(usage, &out);
  if (head_.form == ReplyForm::kChat) {
    out.append(",\"service_tier\":null");
    AppendPromptLogprobs(choices[0], &out);  // all choices have one prompt
  }
  if (!head_.prompt_token_ids.empty()) AppendIds("prompt_token_ids", head_.prompt_token_ids, &out);
  out.push_back('}');
  return out;
}

// The chunk that opens a chat choice.
void OpenAiWriter::AppendRoleChunk(int index, const Usage& usage, std::string* out) const {
  out->append(chunk_prefix_).append(",\"choices\":[{\"index\":");
  AppendJsonInt(index, out);
  out->append(",\"delta\":{\"role\":\"assistant\",\"content\":");
  AppendJsonString(head_.opening, out);
  out->append("},\"logprobs\":null,\"finish_reason\":null}]");
  if (head_.continuous_usage) AppendUsage({.prompt_tokens = usage.prompt_tokens, .cached_tokens = usage.cached_tokens}, out);
  if (index == 0 && !head_.prompt_token_ids.empty()) AppendIds("prompt_token_ids", head_.prompt_token_ids, out);
  out->push_back('}');
}

void OpenAiWriter::Begin(const Usage& usage, const Emit& emit) {
  if (head_.form != ReplyForm::kChat) return;
  for (int index = 0; index < head_.num_choices; ++index) {
    chunk_.clear();
    AppendRoleChunk(index, usage, &chunk_);
    emit({}, chunk_);
  }
}

void OpenAiWriter::Part(const ChoicePart& part, const Usage& usage, const Emit& emit) {
  chunk_.assign(chunk_prefix_).append(",\"choices\":[");
  AppendChoice(part, true, &chunk_);
  chunk_.push_back(']');
  if (head_.continuous_usage) AppendUsage(usage, &chunk_);
  chunk_.push_back('}');
  emit({}, chunk_);
}

void OpenAiWriter::End(const Usage& usage, const Emit& emit) {
  if (!head_.include_usage) return;
  chunk_.assign(chunk_prefix_).append(",\"choices\":[]");
  AppendUsage(usage, &chunk_);
  chunk_.push_back('}');
  emit({}, chunk_);
}

}  // namespace braid
