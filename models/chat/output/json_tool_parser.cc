#include "models/chat/output/json_tool_parser.h"

#include <algorithm>
#include <utility>

namespace braid {
namespace {

using Step = JsonWalker::Step;

std::vector<std::string> Joined(std::vector<std::string> first, const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

}  // namespace

JsonToolParser::JsonToolParser(JsonToolFormat format)
    : format_(std::move(format)), ends_(Joined(format_.openers, format_.closers)) {}

ToolParser::Progress JsonToolParser::Read(MarkerScanner* text, DeltaWriter* out) {
  while (!text->rest().empty()) {
    switch (state_) {
      case State::kBetween:
        if (!FindCall(text)) return text->rest().empty() ? Progress::kMore : Progress::kOver;
        break;
      case State::kCall:
        if (!ReadCall(text, out)) return Progress::kOver;
        break;
      case State::kDrop:
        if (!Drop(text)) return state_ == State::kDrop ? Progress::kMore : Progress::kOver;
        break;
    }
  }
  return Progress::kMore;
}

// Passes over what stands around calls: the brackets of a list, separators, a brace too many.
bool JsonToolParser::FindCall(MarkerScanner* text) {
  const size_t begin = text->rest().find_first_not_of(" \t\r\n[],;}");
  text->Skip(std::min(begin, text->rest().size()));
  if (text->rest().empty() || text->rest()[0] != '{') return false;
  call_.emplace(format_.bare);
  state_ = State::kCall;
  return true;
}

// False: this was no call, and its text has become content.
bool JsonToolParser::ReadCall(MarkerScanner* text, DeltaWriter* out) {
  const CallProgress progress = call_->Read(text->rest(), out);
  text->Skip(progress.used);
  if (progress.step == Step::kDone) state_ = State::kBetween;
  if (progress.step != Step::kBad) return true;
  if (!call_->begun()) {
    out->Content(call_->raw());
    return false;
  }
  state_ = State::kDrop;
  return true;
}

// Passes over a call that broke; true: another begins.
bool JsonToolParser::Drop(MarkerScanner* text) {
  const int marker = text->Take(ends_).marker;
  if (marker >= 0) Begin();
  return marker >= 0 && marker < static_cast<int>(format_.openers.size());
}

void JsonToolParser::End(bool cut, DeltaWriter* out) {
  if (state_ == State::kCall && !call_->begun() && (format_.bare || !cut)) out->Content(call_->raw());
}

}  // namespace braid
