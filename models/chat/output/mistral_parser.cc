#include "models/chat/output/mistral_parser.h"

#include "models/chat/output/json_text.h"

namespace braid {
namespace {

using Step = JsonWalker::Step;

}  // namespace

void MistralToolParser::Begin() {
  state_ = State::kStart;
  over_ = named_ = false;
  name_.clear();
}

// Each part answers whether it got on; if not, it wants more text or the block is over.
ToolParser::Progress MistralToolParser::Read(MarkerScanner* text, DeltaWriter* out) {
  bool on = true;
  while (on) {
    switch (state_) {
      case State::kStart:
        on = Start(text);
        break;
      case State::kList:
        return list_.Read(text, out);
      case State::kName:
        on = ReadName(text, out);
        break;
      case State::kArguments:
        on = ReadArguments(text, out);
        break;
      case State::kDrop:
        on = text->Take(openers_).marker >= 0;
        if (on) Begin();
        break;
    }
  }
  return over_ ? Progress::kOver : Progress::kMore;
}

bool MistralToolParser::Start(MarkerScanner* text) {
  const size_t begin = text->rest().find_first_not_of(kWhiteSpace);
  text->Skip(begin == std::string_view::npos ? text->rest().size() : begin);
  if (begin == std::string_view::npos) return false;
  const char first = text->rest()[0];
  state_ = first == '[' || first == '{' ? State::kList : State::kName;
  list_.Begin();
  return true;
}

bool MistralToolParser::ReadName(MarkerScanner* text, DeltaWriter* out) {
  const MarkerScanner::Found found = text->Take(name_tags_);
  if (!named_) name_.append(found.before);
  if (found.marker < 0) return false;
  if (found.marker == kBegins) {
    if (!named_) out->Content(name_);
    Begin();
    return true;
  }
  named_ = true;
  if (found.marker == kCallId) return true;
  call_.emplace(std::string(TrimSpace(name_)));
  if (found.marker == kBrace) call_->Read("{", out);
  state_ = State::kArguments;
  return true;
}

bool MistralToolParser::ReadArguments(MarkerScanner* text, DeltaWriter* out) {
  const CallProgress progress = call_->Read(text->rest(), out);
  text->Skip(progress.used);
  if (progress.step == Step::kDone) over_ = true;
  if (progress.step != Step::kBad) return false;
  state_ = State::kDrop;
  if (call_->begun()) return true;
  out->Content(call_->name() + call_->raw());
  over_ = true;
  return false;
}

void MistralToolParser::End(bool cut, DeltaWriter* out) {
  if (state_ == State::kList) return list_.End(cut, out);
  if (cut || (state_ == State::kArguments && call_->begun())) return;
  if (state_ == State::kName && !named_) out->Content(name_);
  if (state_ == State::kArguments) out->Content(call_->name() + call_->raw());
}

}  // namespace braid
