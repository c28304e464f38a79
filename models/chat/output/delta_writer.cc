#include "models/chat/output/delta_writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "models/chat/output/json_text.h"

namespace braid {
namespace {

// Appends `text` to `out` but for the white space at its end, which waits in `held` for the next text.
void AppendHolding(std::string_view text, std::string* held, std::string* out) {
  const size_t body = text.find_last_not_of(kWhiteSpace) + 1;  // npos + 1 is 0
  if (body > 0) {
    out->append(*held).append(text.substr(0, body));
    held->clear();
  }
  held->append(text.substr(body));
}

std::string_view WithoutLeadingSpace(std::string_view text) {
  const size_t begin = text.find_first_not_of(kWhiteSpace);
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

}  // namespace

void DeltaWriter::Reasoning(std::string_view text) {
  if (!reasoning_begun_) {
    text = WithoutLeadingSpace(text);
    if (text.empty()) return;
    if (any_reasoning_) delta_.reasoning.push_back('\n');
    reasoning_begun_ = any_reasoning_ = true;
  }
  AppendHolding(text, &held_reasoning_, &delta_.reasoning);
}

void DeltaWriter::EndReasoning() {
  held_reasoning_.clear();
  reasoning_begun_ = content_begun_ = false;
  if (any_content_) return;
  held_content_.clear();
  skip_space_ = true;
}

void DeltaWriter::Content(std::string_view text) {
  if (skip_space_) {
    text = WithoutLeadingSpace(text);
    if (text.empty()) return;
    skip_space_ = false;
  }
  const size_t before = delta_.content.size();
  AppendHolding(text, &held_content_, &delta_.content);
  if (delta_.content.size() > before) content_begun_ = any_content_ = true;
}

void DeltaWriter::BeginCall(std::string name) {
  content_begun_ = false;
  delta_.tool_calls.push_back({.index = num_calls_++, .name = std::move(name)});
}

void DeltaWriter::Arguments(std::string_view json) {
  CHECK_GT(num_calls_, 0);
  if (json.empty()) return;
  if (delta_.tool_calls.empty()) delta_.tool_calls.push_back({.index = num_calls_ - 1});
  delta_.tool_calls.back().arguments.append(json);
}

void DeltaWriter::Finish() {
  if (num_calls_ == 0 && (any_content_ || !any_reasoning_)) delta_.content.append(held_content_);
  held_content_.clear();
  held_reasoning_.clear();
}

OutputDelta DeltaWriter::Take() { return std::exchange(delta_, {}); }

std::string MemberWriter::Opening(std::string_view key, bool first) {
  return absl::StrCat(first ? "{" : ", ", QuotedJson(key), ": ");
}

void MemberWriter::Open(std::string_view key, DeltaWriter* out) {
  out->Arguments(Opening(key, std::exchange(first_, false)));
}

void MemberWriter::Close(DeltaWriter* out) { out->Arguments(first_ ? "{}" : "}"); }

}  // namespace braid
