// A chat's messages, or a text, to the ids that the model is given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "models/text_model.h"
#include "server/openai/request_json.h"

namespace braid {

// Renders messages with the model's chat template; InvalidArgument when it has none or refuses them.
absl::StatusOr<std::string> RenderPrompt(const TextModel& text, const TemplateInput& input);

struct EncodedChat {
  std::string text;
  std::vector<int32_t> ids;
};

// Renders and encodes; InvalidArgument also for a model without tokenizer.
absl::StatusOr<EncodedChat> EncodeChat(const TextModel& text, const TemplateInput& input);

// Encodes a completion's prompt, which may be ids already.
absl::StatusOr<std::vector<int32_t>> EncodePrompt(const TextModel& text, const Prompt& prompt, bool add_special_tokens);

}  // namespace braid
