// A chat template, and behind the line its variables as a JSON object.
#include "models/chat/chat_template.h"
#include "tests/fuzz/input.h"

namespace braid {
namespace {

void CheckPrompt(const absl::StatusOr<std::string>& prompt) {
  fuzz::CheckRefusal(prompt.status());
  if (prompt.ok()) CHECK(prompt->size() <= 4u << 20) << prompt->size();
}

}  // namespace
}  // namespace braid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace braid;
  const auto [source, text] = fuzz::Halves(fuzz::Text(data, size));
  const auto parsed = ChatTemplate::Parse(source, "<s>", "</s>");
  fuzz::CheckRefusal(parsed.status());
  if (!parsed.ok()) return 0;
  const auto given = ParseJson(text);
  const Json variables = given.ok() && given->is_object() ? *given : Json::object();
  CheckPrompt((*parsed)->RenderContext(variables, 1'700'000'000));
  const auto messages = variables.find("messages");
  if (messages == variables.end()) return 0;
  const auto normal = NormalizeMessages(*messages, **parsed);
  fuzz::CheckRefusal(normal.status());
  if (!normal.ok()) return 0;
  const auto tools = variables.find("tools");
  CheckPrompt((*parsed)->Render({.messages = &*normal, .tools = tools == variables.end() ? nullptr : &*tools}));
  return 0;
}
