// Bodies to structs: each field checked, and named in its error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/sampling/sampling_params.h"
#include "kernels/base/json.h"
#include "server/openai/output_rules.h"
#include "server/serving.h"

namespace braid {

class ResponseStore;

// What chat and completions share.
struct GenerationOptions {
  std::string model;                  // as asked; empty: absent
  SamplingParams sampling;
  int n = 1;
  std::optional<int> max_tokens;      // of each choice
  int min_tokens = 0;
  bool ignore_eos = false;
  std::vector<int32_t> stop_token_ids;
  std::vector<std::string> stop;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage_stats = false;
  bool return_token_ids = false;
  bool return_tokens_as_token_ids = false;
  std::optional<int> prompt_logprobs;  // best ids told beside each token of the prompt; -1: the whole vocabulary
  int priority = 0;
  int truncate_prompt_tokens = 0;     // keep so many of the prompt's last; -1: what the context holds; 0: keep all
  std::string cache_salt;             // empty: absent
  std::string request_id;             // empty: absent
  std::optional<std::vector<int32_t>> resume;  // a stream that began elsewhere: its tokens so far, not told again
  OutputRules output;
};

// What the chat template is given, for chat, tokenize and apply-template.
struct TemplateInput {
  Json messages;
  Json tools;                         // null: none
  Json documents;                     // null: none
  Json kwargs = Json::object();
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  bool add_special_tokens = false;
};

struct ChatRequest {
  GenerationOptions options;
  TemplateInput input;
  bool echo = false;                  // the answer begins with the last message, when it is the assistant's
};

using Prompt = std::variant<std::string, std::vector<int32_t>>;

struct CompletionRequest {
  GenerationOptions options;          // max_tokens is set; 0 only with echo
  std::vector<Prompt> prompts;
  bool echo = false;
  bool add_special_tokens = true;
};

struct TokenizeRequest {
  std::string model;
  std::variant<std::string, TemplateInput> source;
  bool add_special_tokens = true;
  bool parse_special = true;
  bool return_token_strs = false;
};

struct DetokenizeRequest {
  std::string model;
  std::vector<int32_t> tokens;
  bool skip_special_tokens = false;
  bool stream = false;                // also what the streaming detokenizer gives for each token
};

struct ApplyTemplateRequest {
  std::string model;
  TemplateInput input;
};

// What the checks need to know.
struct RequestRules {
  const ServingLimits& limits;
  const GenerationDefaults& defaults;
  int vocab_size;
  ResponseStore* responses = nullptr;  // null: none are kept
  std::string caller = {};             // whose responses
};

absl::StatusOr<ChatRequest> ReadChatRequest(const Json& body, const RequestRules& rules);
absl::StatusOr<CompletionRequest> ReadCompletionRequest(const Json& body, const RequestRules& rules);
absl::StatusOr<TokenizeRequest> ReadTokenizeRequest(const Json& body, const RequestRules& rules);
absl::StatusOr<DetokenizeRequest> ReadDetokenizeRequest(const Json& body, const RequestRules& rules);
absl::StatusOr<ApplyTemplateRequest> ReadApplyTemplateRequest(const Json& body, const RequestRules& rules);

}  // namespace braid
