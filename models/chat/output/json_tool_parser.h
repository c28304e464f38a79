// Calls written as JSON objects, one or several in a block between markers, or alone as the whole answer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/chat/output/json_call.h"
#include "models/chat/output/tool_parser.h"

namespace braid {

struct JsonToolFormat {
  std::vector<std::string> openers, closers;
  bool bare = false;  // an answer that begins with '{' may be a call, with no marker
};

// Reads {"name": N, "arguments": {...}}, also in a list, or several behind one another.
class JsonToolParser : public ToolParser {
 public:
  explicit JsonToolParser(JsonToolFormat format);

  std::vector<std::string> openers() const override { return format_.openers; }
  std::vector<std::string> vanishing() const override { return format_.closers; }
  std::string_view start_bytes() const override { return format_.bare ? "{" : ""; }
  void Begin() override { state_ = State::kBetween; }
  Progress Read(MarkerScanner* text, DeltaWriter* out) override;
  void End(bool cut, DeltaWriter* out) override;

 private:
  enum class State { kBetween, kCall, kDrop };
  bool FindCall(MarkerScanner* text);
  bool ReadCall(MarkerScanner* text, DeltaWriter* out);
  bool Drop(MarkerScanner* text);

  JsonToolFormat format_;
  MarkerSet ends_;  // openers, then closers: what ends a call that broke
  State state_ = State::kBetween;
  std::optional<JsonCall> call_;
};

}  // namespace braid
