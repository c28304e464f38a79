#include "models/chat/output/json_call.h"

#include <utility>

#include "kernels/base/json.h"
#include "models/chat/output/json_text.h"

namespace braid {
namespace {

using Step = JsonWalker::Step;

// Appends a byte of JSON text; a control character inside a string is escaped.
void AppendByte(char byte, bool in_string, std::string* text) {
  if (in_string && static_cast<unsigned char>(byte) < 0x20) {
    AppendEscaped(std::string_view(&byte, 1), text);
  } else {
    text->push_back(byte);
  }
}

// The content of a JSON string; empty when it is none.
std::string DecodedString(const std::string& json) {
  const absl::StatusOr<Json> value = ParseJson(json);
  return value.ok() && value->is_string() ? value->get<std::string>() : "";
}

}  // namespace

Step JsonArguments::Push(char byte) {
  const bool space = IsWhiteSpace(byte), in_string = walker_.in_string();
  if (significant_ == 0 && (space || byte != '{')) return space ? Step::kMore : Step::kBad;
  const Step step = walker_.Push(byte);
  if (step == Step::kBad) return step;
  AppendByte(byte, in_string, &text_);
  significant_ += space ? 0 : 1;
  return step;
}

std::string JsonArguments::Take() { return std::exchange(text_, {}); }

CallProgress NamedCall::Read(std::string_view text, DeltaWriter* out) {
  CallProgress progress;
  while (progress.step == Step::kMore && progress.used < text.size()) {
    progress.step = arguments_.Push(text[progress.used]);
    if (progress.step != Step::kBad) ++progress.used;
  }
  if (!begun_) raw_.append(text.substr(0, progress.used));
  Flush(out);
  return progress;
}

void NamedCall::Flush(DeltaWriter* out) {
  if (!arguments_.certain()) return;
  if (!begun_) {
    begun_ = true;
    out->BeginCall(name_);
    raw_ = {};
  }
  out->Arguments(arguments_.Take());
}

void NamedCall::EndBlank(DeltaWriter* out) {
  if (!blank() || begun_) return;
  begun_ = true;
  out->BeginCall(name_);
  out->Arguments("{}");
}

CallProgress JsonCall::Read(std::string_view text, DeltaWriter* out) {
  CallProgress progress;
  while (progress.step == Step::kMore && progress.used < text.size()) {
    progress.step = Push(text[progress.used]);
    if (progress.step != Step::kBad) ++progress.used;
  }
  if (!begun_) raw_.append(text.substr(0, progress.used));
  Flush(out);
  return progress;
}

void JsonCall::Flush(DeltaWriter* out) {
  const bool certain = !ready_.empty() || arguments_.certain();
  if (name_.empty() || !certain) return;
  if (!begun_) {
    begun_ = true;
    out->BeginCall(name_);
    raw_ = {};
  }
  out->Arguments(std::exchange(ready_, {}));
  out->Arguments(arguments_.Take());
}

Step JsonCall::Push(char byte) {
  switch (state_) {
    case State::kKeyText:
      return KeyByte(byte);
    case State::kValue:
      return ValueByte(byte);
    default:
      return IsWhiteSpace(byte) ? Step::kMore : Between(byte);
  }
}

Step JsonCall::Between(char byte) {
  const auto want = [&](char wanted, State next) {
    state_ = next;
    return byte == wanted ? Step::kMore : Step::kBad;
  };
  switch (state_) {
    case State::kOpen:
      return want('{', State::kFirstKey);
    case State::kColon:
      return want(':', State::kValueStart);
    case State::kValueStart:
      return BeginValue(byte);
    case State::kNext:
      return byte == '}' ? End() : want(',', State::kKey);
    default:  // kFirstKey, kKey
      if (byte != '"') return byte == '}' && state_ == State::kFirstKey ? End() : Step::kBad;
      walker_ = JsonWalker();
      captured_.clear();
      state_ = State::kKeyText;
      return KeyByte(byte);
  }
}

void JsonCall::Capture(char byte) { AppendByte(byte, walker_.in_string(), &captured_); }

Step JsonCall::KeyByte(char byte) {
  Capture(byte);
  const Step step = walker_.Push(byte);
  if (step != Step::kDone) return step;
  key_ = DecodedString(captured_);
  const bool known = key_ == "name" || key_ == "arguments" || key_ == "parameters" || key_ == "type" || key_ == "id";
  state_ = State::kColon;
  return bare_ && !known ? Step::kBad : Step::kMore;
}

Step JsonCall::BeginValue(char byte) {
  role_ = Role::kIgnored;
  if (key_ == "name" && name_.empty()) {
    if (byte != '"') return Step::kBad;
    role_ = Role::kName;
  } else if ((key_ == "arguments" || key_ == "parameters") && !has_arguments_) {
    if (!BeginArguments(byte)) return Step::kBad;
  }
  walker_ = JsonWalker();
  captured_.clear();
  state_ = State::kValue;
  return ValueByte(byte);
}

// By the first byte of their value: an object, null, or an object written into a string.
bool JsonCall::BeginArguments(char byte) {
  has_arguments_ = true;
  if (byte == 'n') ready_ = "{}";
  if (byte == '{') role_ = Role::kArguments;
  if (byte == '"') role_ = Role::kArgumentsText;
  return byte == 'n' || byte == '{' || byte == '"';
}

Step JsonCall::ValueByte(char byte) {
  if (role_ == Role::kName || role_ == Role::kArgumentsText) Capture(byte);
  const Step step = role_ == Role::kArguments ? arguments_.Push(byte) : walker_.Push(byte);
  if (step == Step::kMore || step == Step::kBad) return step;
  state_ = State::kNext;
  if (!EndValue()) return Step::kBad;
  return step == Step::kEndedBefore ? Push(byte) : Step::kMore;
}

bool JsonCall::EndValue() {
  if (role_ == Role::kName) {
    name_ = DecodedString(captured_);
    return !name_.empty();
  }
  if (role_ != Role::kArgumentsText) return true;
  ready_ = DecodedString(captured_);
  const absl::StatusOr<Json> arguments = ParseJson(ready_);
  if (arguments.ok() && arguments->is_object()) return true;
  ready_.clear();
  return false;
}

Step JsonCall::End() {
  if (name_.empty() || (bare_ && !has_arguments_)) return Step::kBad;
  if (!has_arguments_) ready_ = "{}";
  return Step::kDone;
}

}  // namespace braid
