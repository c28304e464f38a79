#include "server/openai/text_calls.h"

#include <utility>
#include <vector>

#include "kernels/base/errors.h"
#include "server/openai/json_text.h"
#include "server/openai/prompt_text.h"
#include "server/openai/request_json.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

RequestRules RulesOf(const Serving& serving) {
  const LoadedModel& model = *serving.model();
  return {serving.config().limits, serving.config().defaults, model.source->info().vocab_size};
}

absl::StatusOr<const Tokenizer*> TokenizerOf(const Serving& serving) {
  const Tokenizer* tokenizer = serving.model()->text.tokenizer.get();
  if (tokenizer == nullptr) return absl::InvalidArgumentError("this model has no tokenizer; it is served by token ids");
  return tokenizer;
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
    ASSIGN_OR_RETURN(ids, EncodeChat(serving.model()->text, *input));
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
  return TextReply("prompt", tokenizer->Decode(request.tokens, request.skip_special_tokens)) + "}";
}

absl::StatusOr<std::string> ApplyTemplate(const Serving& serving, const Json& body) {
  ASSIGN_OR_RETURN(const ApplyTemplateRequest request, ReadApplyTemplateRequest(body, RulesOf(serving)));
  RETURN_IF_ERROR(serving.ServedName(request.model).status());
  ASSIGN_OR_RETURN(const std::string prompt, RenderPrompt(serving.model()->text, request.input));
  return TextReply("prompt", prompt) + "}";
}

}  // namespace braid
