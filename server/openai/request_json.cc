#include "server/openai/request_json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "kernels/base/fresh_id.h"
#include "server/openai/chat_messages.h"
#include "server/openai/output_rules_json.h"
#include "server/openai/request_fields.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();

// Fields that this version does not serve: an answer that ignores them would be wrong.
void RefuseUnserved(RequestFields& fields) {
  for (const char* field : {"kv_transfer_params", "chat_template", "suffix"}) {
    if (fields.Has(field)) fields.Fail(field, "is not supported by this server");
  }
  for (const char* field : {"guided_json", "guided_regex", "guided_choice", "guided_grammar"}) {
    if (fields.Has(field)) fields.Fail(field, "is not supported any more; use structured_outputs");
  }
}

void ReadBias(RequestFields& fields, const RequestRules& rules, SamplingParams* sampling) {
  const Json* bias = fields.Object("logit_bias");
  if (bias == nullptr) return;
  if (bias->size() > static_cast<size_t>(rules.limits.max_logit_bias)) {
    return fields.Fail("logit_bias", absl::StrCat("holds ", bias->size(), " ids; at most ", rules.limits.max_logit_bias, " are allowed"));
  }
  for (const auto& [name, value] : bias->items()) {
    int32_t id = -1;
    if (!absl::SimpleAtoi(name, &id) || id < 0 || id >= rules.vocab_size) {
      return fields.Fail("logit_bias", absl::StrCat(Shown(name), " is not a token id of 0 to ", rules.vocab_size - 1));
    }
    const double number = value.is_number() ? value.get<double>() : NAN;
    if (!(number >= -100 && number <= 100)) {
      return fields.Fail("logit_bias", absl::StrCat("the bias of ", id, " must be -100 to 100, not ", Shown(value)));
    }
    sampling->logit_bias.emplace_back(id, static_cast<float>(number));
  }
}

void ReadSampling(RequestFields& fields, const RequestRules& rules, SamplingParams* sampling) {
  const GenerationDefaults& defaults = rules.defaults;
  const auto number = [&](const char* field, double least, double most, float absent) {
    return static_cast<float>(fields.Number(field, least, most).value_or(absent));
  };
  sampling->temperature = number("temperature", 0, 2, defaults.temperature);
  sampling->top_p = number("top_p", 0, 1, defaults.top_p);
  sampling->top_k = static_cast<int>(fields.Int("top_k", -1, kMaxInt).value_or(defaults.top_k));
  sampling->min_p = number("min_p", 0, 1, defaults.min_p);
  sampling->frequency_penalty = number("frequency_penalty", -2, 2, 0);
  sampling->presence_penalty = number("presence_penalty", -2, 2, 0);
  sampling->repetition_penalty = number("repetition_penalty", 0, 100, defaults.repetition_penalty);
  if (sampling->repetition_penalty <= 0) fields.Fail("repetition_penalty", "must be above 0");
  const auto seed = fields.Int("seed", std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  sampling->seed = seed.has_value() ? static_cast<uint64_t>(*seed) : FreshSeed();
  ReadBias(fields, rules, sampling);
  sampling->allowed_token_ids = fields.TokenIds("allowed_token_ids", rules.vocab_size, rules.vocab_size);
  const Json* allowed = fields.Find("allowed_token_ids");
  if (allowed != nullptr && allowed->empty()) fields.Fail("allowed_token_ids", "must hold at least one id, or be left out");
}

void ReadStop(RequestFields& fields, const RequestRules& rules, GenerationOptions* options) {
  const Json* stop = fields.Find("stop");
  if (stop != nullptr && stop->is_string()) {
    options->stop.push_back(*stop);
  } else if (stop != nullptr) {
    const Json* list = fields.Array("stop", rules.limits.max_stop_strings);
    if (list == nullptr) return;
    for (const Json& text : *list) {
      if (!text.is_string()) return fields.Fail("stop", absl::StrCat("must be a string or a list of strings, not of ", Shown(text)));
      options->stop.push_back(text);
    }
  }
  for (const std::string& text : options->stop) {
    if (text.empty() || text.size() > static_cast<size_t>(rules.limits.max_stop_bytes)) {
      fields.Fail("stop", absl::StrCat("a stop string must be of 1 to ", rules.limits.max_stop_bytes, " bytes, not ", text.size()));
    }
  }
  options->stop_token_ids = fields.TokenIds("stop_token_ids", rules.limits.max_stop_token_ids, rules.vocab_size);
  options->include_stop_str_in_output = fields.Bool("include_stop_str_in_output", false);
}

void ReadStream(RequestFields& fields, GenerationOptions* options) {
  options->stream = fields.Bool("stream", false);
  const Json* stream_options = fields.Object("stream_options");
  if (stream_options == nullptr) return;
  if (!options->stream) return fields.Fail("stream_options", "is only allowed with stream: true");
  RequestFields inner(*stream_options);
  options->include_usage = inner.Bool("include_usage", false);
  options->continuous_usage_stats = inner.Bool("continuous_usage_stats", false);
  if (!inner.status().ok()) fields.Fail("stream_options", std::string(inner.status().message()));
}

void ReadPromptLogprobs(RequestFields& fields, const RequestRules& rules, GenerationOptions* options) {
  const auto top = fields.Int("prompt_logprobs", -1, rules.limits.max_top_logprobs);
  if (!top.has_value()) return;
  options->prompt_logprobs = static_cast<int>(*top);
  if (options->stream) fields.Fail("prompt_logprobs", "is not told in a stream; leave out stream or prompt_logprobs");
}

// Salts keep prefixes of tenants apart.
std::string ReadSalt(RequestFields& fields) {
  const auto salt = fields.String("cache_salt");
  if (!salt.has_value()) return "";
  if (salt->empty() || salt->size() > 128 || salt->find_first_of(std::string_view("@/\\\0", 4)) != std::string::npos) {
    fields.Fail("cache_salt", "must be of 1 to 128 characters, none of them @ / \\ or NUL");
  }
  return *salt;
}

std::string ReadRequestId(RequestFields& fields) {
  const std::string id = fields.String("request_id").value_or("");
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (id.size() > 128 || !plain) fields.Fail("request_id", "must be of at most 128 visible ASCII characters");
  return id;
}

void ReadOptions(RequestFields& fields, const RequestRules& rules, GenerationOptions* options) {
  RefuseUnserved(fields);
  ReadOutputRules(fields, rules.limits, &options->output);
  options->model = fields.String("model").value_or("");
  ReadSampling(fields, rules, &options->sampling);
  options->n = static_cast<int>(fields.Int("n", 1, rules.limits.max_n).value_or(1));
  const auto best_of = fields.Int("best_of", 1, rules.limits.max_n);
  if (best_of.has_value() && *best_of != 1 && *best_of != options->n) fields.Fail("best_of", "must be 1 or equal to n");
  options->min_tokens = static_cast<int>(fields.Int("min_tokens", 0, kMaxInt).value_or(0));
  options->ignore_eos = fields.Bool("ignore_eos", false);
  ReadStop(fields, rules, options);
  options->skip_special_tokens = fields.Bool("skip_special_tokens", true);
  fields.Bool("spaces_between_special_tokens", true);
  ReadStream(fields, options);
  ReadPromptLogprobs(fields, rules, options);
  options->return_token_ids = fields.Bool("return_token_ids", false);
  options->return_tokens_as_token_ids = fields.Bool("return_tokens_as_token_ids", false);
  if (fields.Has("resume_token_ids")) options->resume = fields.TokenIds("resume_token_ids", kMaxInt, rules.vocab_size);
  options->priority = static_cast<int>(fields.Int("priority", -kMaxInt, kMaxInt).value_or(0));
  options->request_id = ReadRequestId(fields);
  const auto truncate = fields.Int("truncate_prompt_tokens", -1, kMaxInt);
  if (truncate == 0) fields.Fail("truncate_prompt_tokens", "must be -1 (to the context) or at least 1, not 0");
  if (truncate.has_value()) options->truncate_prompt_tokens = static_cast<int>(*truncate);
  options->cache_salt = ReadSalt(fields);
  fields.String("user");
}

void CheckMinTokens(RequestFields& fields, const GenerationOptions& options) {
  if (options.max_tokens.has_value() && options.min_tokens > *options.max_tokens) {
    fields.Fail("min_tokens", absl::StrCat("must be at most max_tokens (", *options.max_tokens, "), not ", options.min_tokens));
  }
}

void ReadChatLogprobs(RequestFields& fields, const RequestRules& rules, SamplingParams* sampling) {
  const bool wanted = fields.Bool("logprobs", false);
  const int top = static_cast<int>(fields.Int("top_logprobs", 0, rules.limits.max_top_logprobs).value_or(0));
  if (top > 0 && !wanted) fields.Fail("top_logprobs", "needs logprobs: true");
  sampling->logprobs = wanted ? top : -1;
}

void ReadEffort(RequestFields& fields, Json* kwargs) {
  const auto effort = fields.String("reasoning_effort");
  if (!effort.has_value()) return;
  const auto known = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};
  if (std::find(known.begin(), known.end(), *effort) == known.end()) {
    return fields.Fail("reasoning_effort", absl::StrCat("must be none, minimal, low, medium, high, xhigh or max, not ", Shown(*effort)));
  }
  if (!kwargs->contains("reasoning_effort")) (*kwargs)["reasoning_effort"] = *effort;
  if (!kwargs->contains("enable_thinking")) (*kwargs)["enable_thinking"] = *effort != "none";
}

void ReadTemplateInput(RequestFields& fields, const RequestRules& rules, TemplateInput* input) {
  const Json* messages = fields.Find("messages");
  if (messages == nullptr) return fields.Fail("messages", "is missing");
  if (absl::Status status = CheckMessages(*messages, rules.limits); !status.ok()) {
    return fields.Fail(std::move(status));
  }
  input->messages = *messages;
  if (const Json* tools = fields.Find("tools")) {
    if (absl::Status status = CheckTools(*tools, rules.limits); !status.ok()) {
      return fields.Fail(std::move(status));
    }
    input->tools = *tools;
  }
  if (const Json* documents = fields.Array("documents", 1024)) input->documents = *documents;
  if (const Json* kwargs = fields.Object("chat_template_kwargs")) input->kwargs = *kwargs;
  ReadEffort(fields, &input->kwargs);
  input->add_generation_prompt = fields.Bool("add_generation_prompt", true);
  input->continue_final_message = fields.Bool("continue_final_message", false);
  input->add_special_tokens = fields.Bool("add_special_tokens", false);
  if (!input->continue_final_message) return;
  const Json* asked = fields.Find("add_generation_prompt");
  if (asked != nullptr && input->add_generation_prompt) fields.Fail("continue_final_message", "cannot be true together with add_generation_prompt");
  input->add_generation_prompt = false;
}

void ReadTools(RequestFields& fields, ChatRequest* request) {
  OutputRules& output = request->options.output;
  ReadToolChoice(fields, request->input.tools, &output);
  if (output.tool_choice.kind == ToolChoice::Kind::kNone) request->input.tools = nullptr;
  if (output.tool_choice.forced() && output.structured.kind != StructuredOutput::Kind::kNone) {
    fields.Fail("tool_choice", absl::StrCat("cannot force a call when ", output.structured.field, " says what the answer must be"));
  }
}

void RefuseAudio(RequestFields& fields) {
  const Json* modalities = fields.Array("modalities", 16);
  if (modalities == nullptr) return;
  for (const Json& modality : *modalities) {
    if (modality != "text") fields.Fail("modalities", absl::StrCat(Shown(modality), " is not supported; this model writes \"text\" only"));
  }
}

// The prompts of a completions body: str, [str], [int] or [[int]].
absl::StatusOr<std::vector<Prompt>> ReadPrompts(const Json* prompt, const RequestRules& rules) {
  if (prompt == nullptr) return InvalidParam("prompt", "prompt: is missing");
  if (prompt->is_string()) return std::vector<Prompt>{prompt->get<std::string>()};
  const auto bad = [] { return InvalidParam("prompt", "prompt: must be a string, a list of strings, a list of token ids or a list of such lists"); };
  if (!prompt->is_array()) return bad();
  if (prompt->empty()) return InvalidParam("prompt", "prompt: must not be empty");
  if (prompt->front().is_number()) {
    ASSIGN_OR_RETURN(std::vector<int32_t> ids, ReadTokenIds("prompt", *prompt, rules.vocab_size));
    return std::vector<Prompt>{std::move(ids)};
  }
  if (prompt->size() > static_cast<size_t>(rules.limits.max_prompts)) {
    return InvalidParam("prompt", absl::StrCat("prompt: holds ", prompt->size(), " prompts; at most ", rules.limits.max_prompts, " are allowed"));
  }
  std::vector<Prompt> prompts;
  for (const Json& one : *prompt) {
    if (one.type() != prompt->front().type()) return bad();
    if (one.is_string()) {
      prompts.emplace_back(one.get<std::string>());
    } else if (one.is_array()) {
      ASSIGN_OR_RETURN(std::vector<int32_t> ids, ReadTokenIds("prompt", one, rules.vocab_size));
      prompts.emplace_back(std::move(ids));
    } else {
      return bad();
    }
  }
  return prompts;
}

}  // namespace

absl::StatusOr<ChatRequest> ReadChatRequest(const Json& body, const RequestRules& rules) {
  RequestFields fields(body);
  ChatRequest request;
  ReadTemplateInput(fields, rules, &request.input);
  ReadOptions(fields, rules, &request.options);
  ReadTools(fields, &request);
  ReadChatLogprobs(fields, rules, &request.options.sampling);
  RefuseAudio(fields);
  request.echo = fields.Bool("echo", false);
  const auto old_name = fields.Int("max_tokens", 1, kMaxInt);
  const auto new_name = fields.Int("max_completion_tokens", 1, kMaxInt);
  const auto max_tokens = new_name.has_value() ? new_name : old_name;
  if (max_tokens.has_value()) request.options.max_tokens = static_cast<int>(*max_tokens);
  CheckMinTokens(fields, request.options);
  RETURN_IF_ERROR(fields.status());
  return request;
}

absl::StatusOr<CompletionRequest> ReadCompletionRequest(const Json& body, const RequestRules& rules) {
  RequestFields fields(body);
  CompletionRequest request;
  ReadOptions(fields, rules, &request.options);
  request.echo = fields.Bool("echo", false);
  request.add_special_tokens = fields.Bool("add_special_tokens", true);
  const auto logprobs = fields.Int("logprobs", 0, rules.limits.max_logprobs);
  request.options.sampling.logprobs = static_cast<int>(logprobs.value_or(-1));
  request.options.max_tokens = static_cast<int>(fields.Int("max_tokens", request.echo ? 0 : 1, kMaxInt).value_or(16));
  CheckMinTokens(fields, request.options);
  RETURN_IF_ERROR(fields.status());
  ASSIGN_OR_RETURN(request.prompts, ReadPrompts(fields.Find("prompt"), rules));
  if (request.prompts.size() * request.options.n > static_cast<size_t>(std::max(rules.limits.max_prompts, rules.limits.max_n))) {
    return InvalidParam("n", absl::StrCat("n: ", request.prompts.size(), " prompts times ", request.options.n, " are too many choices"));
  }
  return request;
}

absl::StatusOr<TokenizeRequest> ReadTokenizeRequest(const Json& body, const RequestRules& rules) {
  RequestFields fields(body);
  TokenizeRequest request;
  request.model = fields.String("model").value_or("");
  request.return_token_strs = fields.Bool("return_token_strs", false);
  request.parse_special = fields.Bool("parse_special", true);
  if (fields.Has("messages")) {
    TemplateInput input;
    ReadTemplateInput(fields, rules, &input);
    request.add_special_tokens = input.add_special_tokens;
    request.source = std::move(input);
  } else {
    const char* name = fields.Has("content") && !fields.Has("prompt") ? "content" : "prompt";
    if (!fields.Has(name)) fields.Fail("prompt", "is missing; give prompt or messages");
    request.source = fields.String(name).value_or("");
    request.add_special_tokens = fields.Bool("add_special_tokens", true);
  }
  RETURN_IF_ERROR(fields.status());
  return request;
}

absl::StatusOr<DetokenizeRequest> ReadDetokenizeRequest(const Json& body, const RequestRules& rules) {
  RequestFields fields(body);
  DetokenizeRequest request;
  request.model = fields.String("model").value_or("");
  if (!fields.Has("tokens")) fields.Fail("tokens", "is missing");
  request.tokens = fields.TokenIds("tokens", std::numeric_limits<size_t>::max(), rules.vocab_size);
  request.skip_special_tokens = fields.Bool("skip_special_tokens", false);
  request.stream = fields.Bool("stream", false);
  RETURN_IF_ERROR(fields.status());
  return request;
}

absl::StatusOr<ApplyTemplateRequest> ReadApplyTemplateRequest(const Json& body, const RequestRules& rules) {
  RequestFields fields(body);
  ApplyTemplateRequest request;
  request.model = fields.String("model").value_or("");
  ReadTemplateInput(fields, rules, &request.input);
  if (fields.Has("chat_template")) fields.Fail("chat_template", "is not taken from requests");
  RETURN_IF_ERROR(fields.status());
  return request;
}

}  // namespace braid
