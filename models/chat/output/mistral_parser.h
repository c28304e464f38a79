// Mistral's calls: [TOOL_CALLS] and a list of JSON objects, or (from v11 on) NAME[ARGS]{...}. Either is read wherever
// it comes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/chat/output/json_call.h"
#include "models/chat/output/json_tool_parser.h"
#include "models/chat/output/tool_parser.h"

namespace braid {

class MistralToolParser : public ToolParser {
 public:
  std::vector<std::string> openers() const override { return {"[TOOL_CALLS]"}; }
  void Begin() override;
  Progress Read(MarkerScanner* text, DeltaWriter* out) override;
  void End(bool cut, DeltaWriter* out) override;

 private:
  enum class State { kStart, kList, kName, kArguments, kDrop };
  enum Tag { kBegins, kArgs, kCallId, kBrace };  // places in the sets
  bool Start(MarkerScanner* text);
  bool ReadName(MarkerScanner* text, DeltaWriter* out);
  bool ReadArguments(MarkerScanner* text, DeltaWriter* out);

  MarkerSet openers_{{"[TOOL_CALLS]"}};
  MarkerSet name_tags_{{"[TOOL_CALLS]", "[ARGS]", "[CALL_ID]", "{"}};
  JsonToolParser list_{{.openers = {"[TOOL_CALLS]"}}};
  State state_ = State::kStart;
  bool over_ = false;
  std::string name_;
  bool named_ = false;  // the name has ended, an id may follow
  std::optional<NamedCall> call_;
};

}  // namespace braid
