#include "server/openai/text_calls.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "models/tokenizer/text_stream.h"
#include "server/anthropic/messages_request.h"
#include "server/openai/json_text.h"
#include "server/openai/prompt_text.h"
#include "server/openai/request_json.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

RequestRules RulesOf(const Serving& serving) {
  const LoadedModel& model = *serving.model();
  return {serving.config().limits, model.defaults, model.source->info().vocab_size};
}

absl::StatusOr<const Tokenizer*> TokenizerOf(const Serving& serving) {
  const Tokenizer* tokenizer = serving.model()->text.tokenizer.get();
  if (tokenizer == nullptr) return absl::InvalidArgumentError("this model has no tokenizer; it is served by token ids");
  return tokenizer;
}

// ,"chunks":[...]: what a stream would send for each token, null where it holds back; the last has what was left.
void AppendChunks(const Tokenizer& tokenizer, const DetokenizeRequest& request, std::string* out) {
  TextStream stream(tokenizer, request.skip_special_tokens);
  out->append(",\"chunks\":[");
  for (size_t i = 0; i < request.tokens.size(); ++i) {
    std::string text = stream.Push(request.tokens[i]);
    if (i + 1 == request.tokens.size()) text += stream.Finish();
    if (i > 0) out->push_back(',');
    text.empty() ? void(out->append("null")) : AppendJsonString(text, out);
  }
  out->push_back(']');
}

// An object that begins with one text member; the caller closes it.
std::string TextReply(std::string_view name, std::string_view text) {
  std::string out = "{";
  AppendJsonString(name, &out);
  out.push_back(':');
  AppendJsonString(text, &out);
  return out;
}

}  // namespace

absl::StatusOr<std::string> Tokenize(const Serving& serving, const Json& body) {
  ASSIGN_OR_RETURN(const TokenizeRequest request, ReadTokenizeRequest(body, RulesOf(serving)));
  RETURN_IF_ERROR(serving.ServedName(request.model).status());
  ASSIGN_OR_RETURN(const Tokenizer* tokenizer, TokenizerOf(serving));
  std::vector<int32_t> ids;
  if (const auto* input = std::get_if<TemplateInput>(&request.source)) {
    ASSIGN_OR_RETURN(EncodedChat chat, EncodeChat(serving.model()->text, *input));
    ids = std::move(chat.ids);
  } else {
    ids = tokenizer->Encode(std::get<std::string>(request.source), {.add_special_tokens = request.add_special_tokens,
                                                                    .parse_special_tokens = request.parse_special});
  }
  std::string out = "{\"count\":";
  AppendJsonInt(static_cast<int64_t>(ids.size()), &out);
  out.append(",\"max_model_len\":");
  AppendJsonInt(serving.model()->source->info().max_model_len, &out);
  out.append(",\"tokens\":[");
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) out.push_back(',');
    AppendJsonInt(ids[i], &out);
  }
  out.append("],\"token_strs\":").append(request.return_token_strs ? "[" : "null");
  for (size_t i = 0; request.return_token_strs && i < ids.size(); ++i) {
    if (i > 0) out.push_back(',');
    AppendJsonString(tokenizer->TokenString(ids[i]), &out);
  }
  out.append(request.return_token_strs ? "]}" : "}");
  return out;
}

absl::StatusOr<std::string> Detokenize(const Serving& serving, const Json& body) {
  ASSIGN_OR_RETURN(const DetokenizeRequest request, ReadDetokenizeRequest(body, RulesOf(serving)));
  RETURN_IF_ERROR(serving.ServedName(request.model).status());
  ASSIGN_OR_RETURN(const Tokenizer* tokenizer, TokenizerOf(serving));
  std::string out = TextReply("prompt", tokenizer->Decode(request.tokens, request.skip_special_tokens));
  if (request.stream) AppendChunks(*tokenizer, request, &out);
  return out + "}";
}

absl::StatusOr<std::string> ApplyTemplate(const Serving& serving, const Json& body) {
  ASSIGN_OR_RETURN(const ApplyTemplateRequest request, ReadApplyTemplateRequest(body, RulesOf(serving)));
  RETURN_IF_ERROR(serving.ServedName(request.model).status());
  ASSIGN_OR_RETURN(const std::string prompt, RenderPrompt(serving.model()->text, request.input));
  return TextReply("prompt", prompt) + "}";
}

absl::StatusOr<std::string> CountTokens(const Serving& serving, const Json& body) {
  ASSIGN_OR_RETURN(const ChatRequest request, ReadCountTokensRequest(body, RulesOf(serving)));
  RETURN_IF_ERROR(serving.ServedName(request.options.model).status());
  ASSIGN_OR_RETURN(const EncodedChat chat, EncodeChat(serving.model()->text, request.input));
  return absl::StrCat("{\"input_tokens\":", chat.ids.size(), "}");
}

}  // namespace braid
