#include "models/chat/output/xml_tool_parser.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "models/chat/output/json_text.h"

namespace braid {
namespace {

constexpr ValueTypes kJsonTypes =
    kNullValue | kIntegerValue | kNumberValue | kBooleanValue | kObjectValue | kArrayValue;

std::string Attribute(std::string_view head, std::string_view name) {
  const std::string opening = absl::StrCat(" ", std::string(name), "=\"");
  const size_t found = head.find(opening);
  if (found == std::string_view::npos) return "";
  const size_t begin = found + opening.size();
  const size_t end = head.find('"', begin);
  return std::string(head.substr(begin, end == std::string_view::npos ? end : end - begin));
}

}  // namespace

const XmlDialect& FunctionTags() {
  static const auto* const kTags = new XmlDialect{.block_begin = "<tool_call>",
                                                  .block_end = "</tool_call>",
                                                  .call_begin = "<function=",
                                                  .call_end = "</function>",
                                                  .parameter_begin = "<parameter=",
                                                  .parameter_end = "</parameter>",
                                                  .block_ends_reasoning = true};
  return *kTags;
}

const XmlDialect& DsmlTags() {
  static const auto* const kTags = new XmlDialect{.block_begin = "<｜DSML｜function_calls>",
                                                  .block_end = "</｜DSML｜function_calls>",
                                                  .call_begin = "<｜DSML｜invoke",
                                                  .call_end = "</｜DSML｜invoke>",
                                                  .parameter_begin = "<｜DSML｜parameter",
                                                  .parameter_end = "</｜DSML｜parameter>",
                                                  .attributes = true};
  return *kTags;
}

XmlToolParser::XmlToolParser(const XmlDialect& dialect, Json tools)
    : dialect_(dialect),
      schemas_(std::move(tools)),
      head_tags_(TagsOf({kHeadEnd, kCallBegin, kCallEnd, kParameterBegin, kParameterEnd, kBlockBegin, kBlockEnd})),
      body_tags_(TagsOf({kCallBegin, kCallEnd, kParameterBegin, kBlockBegin, kBlockEnd})),
      value_tags_(TagsOf({kParameterEnd, kParameterBegin, kCallEnd})) {}

XmlToolParser::Tags XmlToolParser::TagsOf(std::vector<Tag> tags) const {
  const std::string texts[] = {dialect_.call_begin,
                               dialect_.call_end,
                               dialect_.parameter_begin,
                               dialect_.parameter_end,
                               dialect_.block_begin,
                               dialect_.block_end,
                               ">"};
  std::vector<std::string> markers;
  for (const Tag tag : tags) markers.push_back(texts[tag]);
  return {MarkerSet(std::move(markers)), std::move(tags)};
}

const XmlToolParser::Tags& XmlToolParser::WantedTags() const {
  switch (state_) {
    case State::kBody:
      return body_tags_;
    case State::kValue:
      return value_tags_;
    default:
      return head_tags_;
  }
}

void XmlToolParser::Begin() {
  state_ = State::kName;
  head_.clear();
}

ToolParser::Progress XmlToolParser::Read(MarkerScanner* text, DeltaWriter* out) {
  while (true) {
    const Tags& tags = WantedTags();
    const MarkerScanner::Found found = text->Take(tags.markers);
    Text(found.before, out);
    if (found.marker < 0) return Progress::kMore;
    if (Structure(tags.meanings[found.marker], out) == Progress::kOver) return Progress::kOver;
  }
}

void XmlToolParser::Text(std::string_view text, DeltaWriter* out) {
  if (state_ == State::kName || state_ == State::kKey) head_.append(text);
  if (state_ != State::kValue || !wanted_) return;
  if (streamed_) {
    StreamText(text, out);
  } else {
    value_.append(text);
  }
}

ToolParser::Progress XmlToolParser::Structure(Tag tag, DeltaWriter* out) {
  // A tag may end without '>': a name counts nevertheless, a parameter does not.
  if (state_ == State::kName) BeginCall(out);
  if (state_ == State::kKey && tag == kHeadEnd) {
    BeginParameter(out);
    return Progress::kMore;
  }
  if (state_ == State::kValue) EndParameter(out);
  state_ = State::kBody;
  switch (tag) {
    case kParameterBegin:
      state_ = State::kKey;
      head_.clear();
      return Progress::kMore;
    case kCallBegin:
      EndCall(out);
      Begin();
      return Progress::kMore;
    case kCallEnd:
    case kBlockBegin:
    case kBlockEnd:
      EndCall(out);
      return Progress::kOver;
    default:
      return Progress::kMore;
  }
}

std::string XmlToolParser::NameIn(std::string_view head) const {
  return dialect_.attributes ? Attribute(head, "name") : std::string(TrimSpace(head));
}

void XmlToolParser::BeginCall(DeltaWriter* out) {
  name_ = NameIn(head_);
  named_ = !name_.empty();
  members_ = {};
  keys_.clear();
  if (named_) out->BeginCall(name_);
}

void XmlToolParser::EndCall(DeltaWriter* out) {
  if (std::exchange(named_, false)) members_.Close(out);
}

void XmlToolParser::BeginParameter(DeltaWriter* out) {
  state_ = State::kValue;
  key_ = NameIn(head_);
  wanted_ = named_ && !key_.empty() && keys_.insert(key_).second;
  if (!wanted_) return;
  const std::string string = dialect_.attributes ? Attribute(head_, "string") : "";
  types_ = string == "true" ? kStringValue : string == "false" ? kJsonTypes : schemas_.TypesOf(name_, key_);
  streamed_ = types_ == kStringValue || types_ == 0;
  value_.clear();
  value_begun_ = held_newline_ = false;
  if (!streamed_) return;
  members_.Open(key_, out);
  out->Arguments("\"");
}

// The newline at either end of the value is not part of it, so the last one waits for what follows it.
void XmlToolParser::StreamText(std::string_view text, DeltaWriter* out) {
  if (text.empty()) return;
  std::string json;
  if (!dialect_.attributes) {
    if (!std::exchange(value_begun_, true) && text[0] == '\n') text.remove_prefix(1);
    if (text.empty()) return;
    if (std::exchange(held_newline_, text.back() == '\n')) AppendEscaped("\n", &json);
    if (held_newline_) text.remove_suffix(1);
  }
  AppendEscaped(text, &json);
  out->Arguments(json);
}

void XmlToolParser::EndParameter(DeltaWriter* out) {
  if (!wanted_) return;
  if (streamed_) {
    out->Arguments("\"");
    return;
  }
  members_.Open(key_, out);
  out->Arguments(WholeValue());
}

std::string XmlToolParser::WholeValue() const {
  std::string_view value = value_;
  if (!dialect_.attributes) {
    if (value.starts_with('\n')) value.remove_prefix(1);
    if (value.ends_with('\n')) value.remove_suffix(1);
    return ConvertValue(value, types_);
  }
  const std::string_view json = TrimSpace(value);
  return types_ != kJsonTypes || !ParseJson(json).ok() ? ConvertValue(value, types_) : std::string(json);
}

void XmlToolParser::End(bool cut, DeltaWriter* out) {
  if (cut || state_ == State::kName) return;
  if (state_ == State::kValue) EndParameter(out);
  EndCall(out);
}

}  // namespace braid
