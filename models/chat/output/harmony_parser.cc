#include "models/chat/output/harmony_parser.h"

#include <algorithm>
#include <utility>

#include "models/chat/output/json_text.h"

namespace braid {
namespace {

using Step = JsonWalker::Step;

enum Marker { kStart, kChannel, kMessage, kConstrain, kEnd, kCallEnd, kReturn };
constexpr size_t kMaxHeaderBytes = 1024;  // what is longer is cut: no header of a model is

const MarkerSet& Markers() {
  static const auto* const kMarkers =
      new MarkerSet({"<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|call|>", "<|return|>"});
  return *kMarkers;
}

// Who a message is for: the word behind "to=".
std::string Recipient(std::string_view header) {
  const size_t found = header.find("to=");
  if (found == std::string_view::npos) return "";
  const std::string_view name = header.substr(found + 3);
  return std::string(name.substr(0, name.find_first_of(kWhiteSpace)));
}

// A header may begin like this with no marker in front: the prompt ended behind the role.
bool MayBeRecipient(std::string_view text) {
  constexpr std::string_view kTo = "to=";
  return text.substr(0, kTo.size()) == kTo.substr(0, text.size());
}

void AppendBounded(std::string_view text, std::string* header) {
  header->append(text.substr(0, kMaxHeaderBytes - std::min(kMaxHeaderBytes, header->size())));
}

}  // namespace

HarmonyParser::HarmonyParser(const OutputParserOptions& options)
    : parse_tools_(options.parse_tools), parse_reasoning_(options.parse_reasoning) {
  if (!options.starts_in_reasoning) return;
  any_marker_ = true;
  channel_ = "analysis";
  OpenBody();
}

OutputDelta HarmonyParser::Push(std::string_view text) {
  text_.Append(text);
  Run();
  return out_.Take();
}

OutputDelta HarmonyParser::Finish(bool cut) {
  text_.Close();
  Run();
  if (state_ == State::kHeader && !any_marker_) out_.Content(role_);
  if (state_ == State::kBody && !(cut && sink_ == Sink::kCall)) CloseBody();
  out_.Finish();
  return out_.Take();
}

void HarmonyParser::Run() {
  while (state_ == State::kHeader ? ReadHeader() : ReadBody()) {
  }
}

// Both readers answer whether a marker was met.
bool HarmonyParser::ReadHeader() {
  const MarkerScanner::Found found = text_.Take(Markers());
  if (any_marker_) {
    AppendBounded(found.before, in_channel_ ? &channel_ : &role_);
  } else {
    role_.append(found.before);
    while (lead_ < role_.size() && IsWhiteSpace(role_[lead_])) ++lead_;
    if (!MayBeRecipient(std::string_view(role_).substr(lead_))) OpenBare();
  }
  if (found.marker < 0) return false;
  any_marker_ = true;
  if (state_ == State::kHeader) {
    HeaderMarker(found.marker);
  } else {
    BodyMarker(found.marker);
  }
  return true;
}

// The answer begins with neither marker nor recipient: the model writes no header, or the prompt ended behind one.
void HarmonyParser::OpenBare() {
  any_marker_ = true;
  const std::string text = std::exchange(role_, {});
  OpenText();
  Body(text);
}

void HarmonyParser::HeaderMarker(int marker) {
  switch (marker) {
    case kChannel:
      in_channel_ = true;
      break;
    case kConstrain:
      AppendBounded(" ", in_channel_ ? &channel_ : &role_);
      break;
    case kMessage:
      OpenBody();
      break;
    default:
      OpenHeader();
  }
}

bool HarmonyParser::ReadBody() {
  const MarkerScanner::Found found = text_.Take(Markers());
  Body(found.before);
  if (found.marker >= 0) BodyMarker(found.marker);
  return found.marker >= 0;
}

void HarmonyParser::BodyMarker(int marker) {
  if (marker == kMessage || marker == kConstrain) return;
  CloseBody();
  OpenHeader();
  in_channel_ = marker == kChannel;
}

void HarmonyParser::OpenHeader() {
  state_ = State::kHeader;
  role_.clear();
  channel_.clear();
  in_channel_ = false;
}

void HarmonyParser::OpenBody() {
  state_ = State::kBody;
  std::string recipient = Recipient(role_);
  if (recipient.empty()) recipient = Recipient(channel_);
  constexpr std::string_view kFunctions = "functions.";
  if (recipient.starts_with(kFunctions)) recipient.erase(0, kFunctions.size());
  if (recipient.empty() || !parse_tools_) return OpenText();
  call_.emplace(std::move(recipient));
  sink_ = Sink::kCall;
}

HarmonyParser::Sink HarmonyParser::TextSink() const {
  return TrimSpace(channel_).starts_with("analysis") && parse_reasoning_ ? Sink::kReasoning : Sink::kContent;
}

// Messages of content follow each other on lines of their own.
void HarmonyParser::OpenText() {
  state_ = State::kBody;
  sink_ = TextSink();
  if (sink_ == Sink::kContent && out_.any_content()) out_.Content("\n");
}

void HarmonyParser::Body(std::string_view text) {
  switch (sink_) {
    case Sink::kReasoning:
      return out_.Reasoning(text);
    case Sink::kContent:
      return out_.Content(text);
    case Sink::kCall:
      return CallText(text);
    case Sink::kNowhere:
      return;
  }
}

// Arguments that are no JSON object are text, unless some have been handed on: then the rest is dropped.
void HarmonyParser::CallText(std::string_view text) {
  const CallProgress progress = call_->Read(text, &out_);
  if (progress.step == Step::kMore) return;
  sink_ = Sink::kNowhere;
  if (call_->begun()) return;
  OpenText();
  Body(call_->raw());
  Body(text.substr(progress.used));
}

void HarmonyParser::CloseBody() {
  if (sink_ == Sink::kReasoning) out_.EndReasoning();
  if (sink_ != Sink::kCall || call_->begun()) return;
  if (call_->blank()) return call_->EndBlank(&out_);
  OpenText();
  Body(call_->raw());
  if (sink_ == Sink::kReasoning) out_.EndReasoning();
}

}  // namespace braid
