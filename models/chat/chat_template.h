// Messages and tools to the prompt's text, by the template that came with the checkpoint.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/base/json.h"
#include "models/chat/jinja_parser.h"

namespace braid {

// Immutable. Thread: any.
class ChatTemplate {
 public:
  // Returns the template, or InvalidArgument with the line that cannot be read.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Parse(std::string_view source, std::string bos_token,
                                                             std::string eos_token);

  // What a rendering sees. Pointers borrow; null stands for none.
  struct Input {
    const Json* messages = nullptr;
    const Json* tools = nullptr;
    const Json* documents = nullptr;
    bool add_generation_prompt = true;
    const Json* kwargs = nullptr;  // an object: further variables, which win over all others
    int64_t unix_time = 0;         // for strftime_now
  };

  // Returns the prompt. InvalidArgument holds the words of raise_exception, or the template's line and its fault.
  absl::StatusOr<std::string> Render(const Input& input) const;

  // The same over variables of the caller's choosing, an object, and none else.
  absl::StatusOr<std::string> RenderContext(const Json& variables, int64_t unix_time) const;

  // True when `word` stands in the template as a name, an attribute or a string ("enable_thinking", "developer").
  bool Mentions(std::string_view word) const;

  // True when a loop of the template walks a message's content as a list of parts.
  bool IteratesContentParts() const { return tree_.loops_over_content; }
  // True when the template asks whether a content is none, so that null must not become an empty string.
  bool TestsContentForNone() const { return tree_.tests_content_none; }

 private:
  ChatTemplate(JinjaTree tree, std::string bos_token, std::string eos_token);

  const JinjaTree tree_;
  const Json bos_token_, eos_token_;
};

// Prepares OpenAI-style messages for a template; InvalidArgument names the field that cannot be.
// - `tool_calls[].function.arguments` in a JSON string become an object;
// - lists of text parts become one string, unless the template walks parts;
// - null content of an assistant becomes "", unless the template tests for none;
// - of `reasoning`, `reasoning_content` and (where the template knows it) `thinking`, the missing are filled;
// - the role `developer` becomes `system`, unless the template mentions it.
absl::StatusOr<Json> NormalizeMessages(const Json& messages, const ChatTemplate& chat_template);

}  // namespace braid
