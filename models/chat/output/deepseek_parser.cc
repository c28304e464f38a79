#include "models/chat/output/deepseek_parser.h"

#include <algorithm>

#include "models/chat/output/json_text.h"

namespace braid {

using Step = JsonWalker::Step;

std::vector<std::string> DeepSeekToolParser::vanishing() const {
  return {std::string(kCallsBegin), std::string(kCallsEnd), std::string(kCallEnd)};
}

void DeepSeekToolParser::Begin() {
  state_ = State::kHead;
  head_.clear();
  body_.clear();
  call_.reset();
}

ToolParser::Progress DeepSeekToolParser::Read(MarkerScanner* text, DeltaWriter* out) {
  while (true) {
    if (state_ == State::kArguments) {
      const Progress progress = ReadArguments(text, out);
      if (progress == Progress::kOver || state_ == State::kArguments) return progress;
    }
    const MarkerScanner::Found found = text->Take(state_ == State::kBody ? body_tags_ : head_tags_);
    if (state_ == State::kHead) head_.append(found.before);
    if (state_ == State::kBody) body_.append(found.before);
    switch (found.marker) {
      case -1:
        return Progress::kMore;
      case kSeparates:
        if (state_ == State::kHead) state_ = State::kBody;
        break;
      case kBrace:
        BeginArguments(out);
        break;
      default:  // the call ends; one with a name and no arguments at all has {}
        if (state_ == State::kBody && !Name().empty()) NamedCall(Name()).EndBlank(out);
        if (found.marker != kBegins) return Progress::kOver;
        Begin();
    }
  }
}

void DeepSeekToolParser::BeginArguments(DeltaWriter* out) {
  state_ = State::kTail;  // a call of nobody is passed over
  if (Name().empty()) return;
  call_.emplace(Name());
  call_->Read("{", out);
  state_ = State::kArguments;
}

ToolParser::Progress DeepSeekToolParser::ReadArguments(MarkerScanner* text, DeltaWriter* out) {
  const CallProgress progress = call_->Read(text->rest(), out);
  text->Skip(progress.used);
  if (progress.step == Step::kMore) return Progress::kMore;
  if (progress.step == Step::kBad && !call_->begun()) {
    out->Content(call_->raw());
    return Progress::kOver;
  }
  state_ = State::kTail;
  return Progress::kMore;
}

void DeepSeekToolParser::End(bool cut, DeltaWriter* out) {
  if (!cut && state_ == State::kArguments && !call_->begun()) out->Content(call_->raw());
}

// The first line behind the separator; when there is none, what stands in front of it.
std::string DeepSeekToolParser::Name() const {
  std::string_view name = TrimSpace(body_);
  name = TrimSpace(name.substr(0, std::min(name.find('\n'), name.find("```"))));
  return std::string(name.empty() ? TrimSpace(head_) : name);
}

}  // namespace braid
