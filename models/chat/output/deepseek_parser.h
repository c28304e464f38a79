// DeepSeek's calls: the name between two markers, the arguments as JSON, bare (V3.1) or behind the word "function", the
// name's own line and a fence (V3, R1). Either is read wherever it comes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/chat/output/json_call.h"
#include "models/chat/output/tool_parser.h"

namespace braid {

class DeepSeekToolParser : public ToolParser {
 public:
  static constexpr std::string_view kCallsBegin = "<｜tool▁calls▁begin｜>", kCallsEnd = "<｜tool▁calls▁end｜>",
                                    kCallBegin = "<｜tool▁call▁begin｜>", kCallEnd = "<｜tool▁call▁end｜>",
                                    kSeparator = "<｜tool▁sep｜>";

  std::vector<std::string> openers() const override { return {std::string(kCallBegin)}; }
  std::vector<std::string> vanishing() const override;
  void Begin() override;
  Progress Read(MarkerScanner* text, DeltaWriter* out) override;
  void End(bool cut, DeltaWriter* out) override;

 private:
  enum class State { kHead, kBody, kArguments, kTail };
  enum Tag { kBegins, kEnds, kAllEnd, kSeparates, kBrace };  // places in the sets
  Progress ReadArguments(MarkerScanner* text, DeltaWriter* out);
  void BeginArguments(DeltaWriter* out);
  std::string Name() const;

  MarkerSet head_tags_{
      {std::string(kCallBegin), std::string(kCallEnd), std::string(kCallsEnd), std::string(kSeparator)}};
  MarkerSet body_tags_{
      {std::string(kCallBegin), std::string(kCallEnd), std::string(kCallsEnd), std::string(kSeparator), "{"}};
  State state_ = State::kHead;
  std::string head_, body_;  // in front of the separator, and between it and the arguments
  std::optional<NamedCall> call_;
};

}  // namespace braid
