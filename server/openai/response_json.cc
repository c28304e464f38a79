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
  out->append("}}");
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

std::string Prefix(const ReplyWriter::Head& head, std::string_view object) {
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

std::string_view FinishReasonJson(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone: return "null";
    case FinishReason::kStop: return "\"stop\"";
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
  } else {
    out.append("{\"tokens\":[").append(content_).append("],\"token_logprobs\":[").append(values_);
    out.append("],\"top_logprobs\":[").append(tops_).append("],\"text_offset\":[").append(offsets_).append("]}");
  }
  for (std::string* list : {&content_, &values_, &tops_, &offsets_}) list->clear();
  return out;
}

ReplyWriter::ReplyWriter(const Head& head) : form_(head.form), token_ids_(head.token_ids) {
  const bool chat = form_ == ReplyForm::kChat;
  whole_prefix_ = Prefix(head, chat ? "chat.completion" : "text_completion");
  chunk_prefix_ = Prefix(head, chat ? "chat.completion.chunk" : "text_completion");
}

void ReplyWriter::AppendChoice(const ChoicePart& part, bool chunk, std::string* out) const {
  out->append("{\"index\":");
  AppendJsonInt(part.index, out);
  if (form_ == ReplyForm::kCompletion) {
    out->append(",\"text\":");
    AppendJsonString(part.text, out);
  } else if (!chunk) {
    out->append(",\"message\":{\"role\":\"assistant\",\"content\":");
    AppendJsonString(part.text, out);
    out->append(",\"refusal\":null}");
  } else if (part.text.empty() && part.finish != FinishReason::kNone) {
    out->append(",\"delta\":{}");
  } else {
    out->append(",\"delta\":{\"content\":");
    AppendJsonString(part.text, out);
    out->push_back('}');
  }
  out->append(",\"logprobs\":").append(part.logprobs.empty() ? "null" : part.logprobs);
  out->append(",\"finish_reason\":").append(FinishReasonJson(part.finish));
  if (part.finish != FinishReason::kNone) out->append(",\"stop_reason\":").append(part.stop_reason);
  if (token_ids_) AppendIds("token_ids", part.token_ids, out);
  if (token_ids_ && !part.prompt_token_ids.empty()) AppendIds("prompt_token_ids", part.prompt_token_ids, out);
  out->push_back('}');
}

std::string ReplyWriter::Whole(std::span<const ChoicePart> choices, const Usage& usage,
                               const std::vector<int32_t>* prompt_token_ids) const {
  std::string out = whole_prefix_;
  out.append(",\"choices\":[");
  for (size_t i = 0; i < choices.size(); ++i) {
    if (i > 0) out.push_back(',');
    AppendChoice(choices[i], false, &out);
  }
  out.push_back(']');
  AppendUsage(usage, &out);
  if (form_ == ReplyForm::kChat) out.append(",\"service_tier\":null");
  if (prompt_token_ids != nullptr) AppendIds("prompt_token_ids", *prompt_token_ids, &out);
  out.push_back('}');
  return out;
}

void ReplyWriter::RoleChunk(int index, const Usage* usage, const std::vector<int32_t>* prompt_token_ids, std::string* out) const {
  out->append(chunk_prefix_).append(",\"choices\":[{\"index\":");
  AppendJsonInt(index, out);
  out->append(",\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]");
  if (usage != nullptr) AppendUsage(*usage, out);
  if (prompt_token_ids != nullptr) AppendIds("prompt_token_ids", *prompt_token_ids, out);
  out->push_back('}');
}

void ReplyWriter::Chunk(const ChoicePart& part, const Usage* usage, std::string* out) const {
  out->append(chunk_prefix_).append(",\"choices\":[");
  AppendChoice(part, true, out);
  out->push_back(']');
  if (usage != nullptr) AppendUsage(*usage, out);
  out->push_back('}');
}

void ReplyWriter::UsageChunk(const Usage& usage, std::string* out) const {
  out->append(chunk_prefix_).append(",\"choices\":[]");
  AppendUsage(usage, out);
  out->push_back('}');
}

}  // namespace braid
