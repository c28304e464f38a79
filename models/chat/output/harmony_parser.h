// gpt-oss: the answer is a row of messages, each with a header that names its channel and its recipient.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "models/chat/output/delta_writer.h"
#include "models/chat/output/json_call.h"
#include "models/chat/output/marker_scanner.h"
#include "models/chat/output/output_parser.h"

namespace braid {

// analysis is reasoning, a message to a function is a call, all else is content. The markers of the format never come
// out, whatever is parsed.
class HarmonyParser : public OutputParser {
 public:
  explicit HarmonyParser(const OutputParserOptions& options);

  OutputDelta Push(std::string_view text) override;
  OutputDelta Finish(bool cut) override;
  bool in_reasoning() const override { return state_ == State::kBody && sink_ == Sink::kReasoning; }

 private:
  enum class State { kHeader, kBody };
  enum class Sink { kReasoning, kContent, kCall, kNowhere };

  void Run();
  bool ReadHeader();
  void OpenBare();
  void HeaderMarker(int marker);
  bool ReadBody();
  void BodyMarker(int marker);
  void OpenHeader();
  void OpenBody();
  void OpenText();
  void Body(std::string_view text);
  void CallText(std::string_view text);
  void CloseBody();
  Sink TextSink() const;

  bool parse_tools_, parse_reasoning_;
  MarkerScanner text_;
  DeltaWriter out_;
  State state_ = State::kHeader;
  bool any_marker_ = false;
  size_t lead_ = 0;  // white space at the beginning, while there was no marker
  // The header so far: in front of <|channel|> and behind it.
  std::string role_, channel_;
  bool in_channel_ = false;
  Sink sink_ = Sink::kNowhere;
  std::optional<NamedCall> call_;
};

}  // namespace braid
