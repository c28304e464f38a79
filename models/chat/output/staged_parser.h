// Answers in which marked reasoning, content and marked calls take turns: every format but harmony.
#pragma once

#include <memory>
#include <vector>

#include "models/chat/output/output_parser.h"
#include "models/chat/output/tool_parser.h"

namespace braid {

class StagedParser : public OutputParser {
 public:
  // `reasoning`: markers of the format, empty where it has none. `tools`: null where calls are not parsed.
  StagedParser(const OutputMarkers& reasoning, bool starts_in_reasoning, std::unique_ptr<ToolParser> tools);

  OutputDelta Push(std::string_view text) override;
  OutputDelta Finish(bool cut) override;
  bool in_reasoning() const override { return state_ == State::kReasoning; }

 private:
  enum class State { kReasoning, kContent, kCalls };
  enum class Role { kReasoningBegin, kReasoningEnd, kOpener, kVanishing };
  struct Markers {
    MarkerSet texts{{}};
    std::vector<Role> roles;
  };
  static Markers Collect(const std::vector<std::pair<std::string, Role>>& markers);

  void Run();
  bool ReadReasoning();
  bool ReadContent();
  bool ReadCalls();
  bool BeginsWithCalls();
  void BeginCalls();

  std::unique_ptr<ToolParser> tools_;
  Markers in_reasoning_, in_content_;
  State state_;
  MarkerScanner text_;
  DeltaWriter out_;
};

}  // namespace braid
