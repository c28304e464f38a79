#include "server/openai/prompt_text.h"

#include <ctime>
#include <string_view>

#include "kernels/base/errors.h"
#include "server/openai/tool_prompt.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Cuts what the template wrote behind the last message, so that the model goes on with it.
absl::StatusOr<std::string> CutBehindLastMessage(std::string prompt, const Json& messages) {
  const auto content = messages.back().find("content");
  if (content == messages.back().end() || !content->is_string()) {
    return InvalidParam("continue_final_message", "continue_final_message: the last message must have a content string");
  }
  const std::string_view last = content->get_ref<const std::string&>();
  for (const std::string_view ending : {last, Trim(last)}) {
    const size_t at = prompt.rfind(ending);
    if (ending.empty() || at == std::string::npos) continue;
    prompt.resize(at + ending.size());
    return prompt;
  }
  return InvalidParam("continue_final_message", "continue_final_message: the chat template does not show the last message as it is");
}

}  // namespace

absl::StatusOr<std::string> RenderPrompt(const TextModel& text, const TemplateInput& input) {
  if (text.chat_template == nullptr) {
    return InvalidParam("messages", "messages: this model has no chat template; use /v1/completions");
  }
  auto messages = NormalizeMessages(input.messages, *text.chat_template);
  if (!messages.ok()) return WithDetails(messages.status(), "messages");
  const bool knows_tools = text.chat_template->Mentions("tools");
  if (!input.tools.is_null() && !knows_tools) *messages = TellTools(*messages, input.tools);
  ChatTemplate::Input given{.messages = &*messages,
                            .tools = input.tools.is_null() || !knows_tools ? nullptr : &input.tools,
                            .documents = input.documents.is_null() ? nullptr : &input.documents,
                            .add_generation_prompt = input.add_generation_prompt,
                            .kwargs = &input.kwargs,
                            .unix_time = static_cast<int64_t>(std::time(nullptr))};
  auto prompt = text.chat_template->Render(given);
  if (!prompt.ok()) return WithDetails(prompt.status(), "messages");
  if (!input.continue_final_message) return prompt;
  return CutBehindLastMessage(*std::move(prompt), *messages);
}

absl::StatusOr<EncodedChat> EncodeChat(const TextModel& text, const TemplateInput& input) {
  if (text.tokenizer == nullptr) {
    return InvalidParam("messages", "messages: this model has no tokenizer; use /v1/completions with token ids");
  }
  EncodedChat chat;
  ASSIGN_OR_RETURN(chat.text, RenderPrompt(text, input));
  chat.ids = text.tokenizer->Encode(chat.text, {.add_special_tokens = input.add_special_tokens, .parse_special_tokens = true});
  return chat;
}

absl::StatusOr<std::vector<int32_t>> EncodePrompt(const TextModel& text, const Prompt& prompt, bool add_special_tokens) {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return *ids;
  if (text.tokenizer == nullptr) return InvalidParam("prompt", "prompt: this model has no tokenizer; give token ids");
  return text.tokenizer->Encode(std::get<std::string>(prompt), {.add_special_tokens = add_special_tokens, .parse_special_tokens = true});
}

}  // namespace braid
