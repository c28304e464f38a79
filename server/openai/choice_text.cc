#include "server/openai/choice_text.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "kernels/base/fresh_id.h"

namespace braid {
namespace {

// "call_" and 24 hexadecimal digits, as unique as chance makes it: a conversation may hold calls of many answers.
std::unique_ptr<OutputParser> ParserOf(const ChoiceTextOptions& options) {
  return options.format.has_value() ? MakeOutputParser(*options.format, options.parser) : nullptr;
}

}  // namespace

ChoiceText::ChoiceText(const Tokenizer& tokenizer, const ChoiceTextOptions& options)
    : stream_(tokenizer, options.skip_special_tokens && !options.format.has_value(), options.stop, options.include_stop),
      parser_(ParserOf(options)), show_reasoning_(options.show_reasoning), max_calls_(options.max_calls) {}

void ChoiceText::Push(int32_t id, ChoicePart* part) {
  std::string text = stream_.Push(id);
  if (parser_ == nullptr) {
    part->text += text;
  } else if (!text.empty()) {
    Add(parser_->Push(text), part);
  }
}

void ChoiceText::Finish(bool cut, ChoicePart* part) {
  const std::string text = stream_.Finish();
  if (parser_ == nullptr) {
    part->text += text;
    return;
  }
  if (!text.empty()) Add(parser_->Push(text), part);
  Add(parser_->Finish(cut), part);
}

void ChoiceText::Add(OutputDelta delta, ChoicePart* part) {
  if (show_reasoning_) part->reasoning += delta.reasoning;
  part->text += delta.content;
  for (ToolCallDelta& call : delta.tool_calls) AddCall(std::move(call), part);
}

void ChoiceText::AddCall(ToolCallDelta delta, ChoicePart* part) {
  if (max_calls_ > 0 && delta.index >= max_calls_) return;
  called_tools_ = true;
  auto& calls = part->tool_calls;
  auto call = std::find_if(calls.begin(), calls.end(), [&](const ToolCallPart& c) { return c.index == delta.index; });
  if (call == calls.end()) call = calls.insert(calls.end(), ToolCallPart{.index = delta.index});
  if (delta.name.has_value()) {
    call->id = absl::StrCat("call_", FreshHexId(24));
    call->name = *std::move(delta.name);
  }
  call->arguments += delta.arguments;
}

}  // namespace braid
