#include "models/chat/output/staged_parser.h"

#include <string>
#include <utility>

#include "models/chat/output/json_text.h"

namespace braid {

StagedParser::StagedParser(const OutputMarkers& reasoning, bool starts_in_reasoning, std::unique_ptr<ToolParser> tools)
    : tools_(std::move(tools)), state_(starts_in_reasoning ? State::kReasoning : State::kContent) {
  std::vector<std::pair<std::string, Role>> content, thought;
  if (!reasoning.reasoning_begin.empty()) {
    content = {{reasoning.reasoning_begin, Role::kReasoningBegin}, {reasoning.reasoning_end, Role::kReasoningEnd}};
    thought = content;
  }
  if (tools_ != nullptr) {
    for (const std::string& marker : tools_->openers()) content.emplace_back(marker, Role::kOpener);
    for (const std::string& marker : tools_->vanishing()) content.emplace_back(marker, Role::kVanishing);
    if (!tools_->breaker().empty()) thought.emplace_back(tools_->breaker(), Role::kReasoningEnd);
  }
  in_content_ = Collect(content);
  in_reasoning_ = Collect(thought);
}

StagedParser::Markers StagedParser::Collect(const std::vector<std::pair<std::string, Role>>& markers) {
  std::vector<std::string> texts;
  std::vector<Role> roles;
  for (const auto& [text, role] : markers) {
    texts.push_back(text);
    roles.push_back(role);
  }
  return {MarkerSet(std::move(texts)), std::move(roles)};
}

OutputDelta StagedParser::Push(std::string_view text) {
  text_.Append(text);
  Run();
  return out_.Take();
}

OutputDelta StagedParser::Finish(bool cut) {
  text_.Close();
  Run();
  if (state_ == State::kCalls) tools_->End(cut, &out_);
  out_.Finish();
  return out_.Take();
}

void StagedParser::Run() {
  for (bool on = true; on;) {
    switch (state_) {
      case State::kReasoning:
        on = ReadReasoning();
        break;
      case State::kContent:
        on = ReadContent();
        break;
      case State::kCalls:
        on = ReadCalls();
        break;
    }
  }
}

// Each reader answers whether it got on; if not, it wants more text.
bool StagedParser::ReadReasoning() {
  const MarkerScanner::Found found = text_.Take(in_reasoning_.texts);
  out_.Reasoning(found.before);
  if (found.marker < 0) return false;
  if (in_reasoning_.roles[found.marker] == Role::kReasoningBegin) {
    // Some models repeat the marker that the prompt ended in; further on it is a word of the reasoning.
    if (out_.reasoning_begun()) out_.Reasoning(in_reasoning_.texts[found.marker]);
    return true;
  }
  out_.EndReasoning();
  state_ = State::kContent;
  return true;
}

bool StagedParser::ReadContent() {
  if (BeginsWithCalls()) return true;
  const MarkerScanner::Found found = text_.Take(in_content_.texts);
  out_.Content(found.before);
  if (found.marker < 0) return false;
  switch (in_content_.roles[found.marker]) {
    case Role::kReasoningBegin:
      // In the middle of content it is a word of the content.
      if (out_.content_begun()) {
        out_.Content(in_content_.texts[found.marker]);
      } else {
        state_ = State::kReasoning;
      }
      break;
    case Role::kOpener:
      BeginCalls();
      break;
    default:
      break;
  }
  return true;
}

bool StagedParser::BeginsWithCalls() {
  if (tools_ == nullptr || tools_->start_bytes().empty() || out_.content_begun() || out_.num_calls() > 0) return false;
  const std::string_view rest = text_.rest();
  const size_t first = rest.find_first_not_of(kWhiteSpace);
  if (first == std::string_view::npos || tools_->start_bytes().find(rest[first]) == std::string_view::npos) {
    return false;
  }
  out_.Content(rest.substr(0, first));
  text_.Skip(first);
  BeginCalls();
  return true;
}

void StagedParser::BeginCalls() {
  tools_->Begin();
  state_ = State::kCalls;
}

bool StagedParser::ReadCalls() {
  if (tools_->Read(&text_, &out_) == ToolParser::Progress::kMore) return false;
  state_ = State::kContent;
  return true;
}

}  // namespace braid
