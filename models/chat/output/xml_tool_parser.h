// Calls written as tags, a pair around each parameter, whose values are text: Nemotron 3, Qwen3-Coder, DeepSeek V3.2.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "models/chat/output/schema_types.h"
#include "models/chat/output/tool_parser.h"

namespace braid {

struct XmlDialect {
  std::string block_begin, block_end;  // around one or more calls
  std::string call_begin, call_end, parameter_begin, parameter_end;
  // Names stand in name="..." and values as they are, JSON where string="false" stands by; else the name follows the
  // marker, and one newline at either end of a value is not part of it.
  bool attributes = false;
  bool block_ends_reasoning = false;
};
const XmlDialect& FunctionTags();  // <tool_call> <function=NAME> <parameter=KEY>
const XmlDialect& DsmlTags();      // <｜DSML｜invoke name="NAME"> <｜DSML｜parameter name="KEY" string="true">

// Parameters leave when they are complete; those that can only be strings, as they come.
class XmlToolParser : public ToolParser {
 public:
  XmlToolParser(const XmlDialect& dialect, Json tools);

  std::vector<std::string> openers() const override { return {dialect_.call_begin}; }
  std::vector<std::string> vanishing() const override { return {dialect_.block_begin, dialect_.block_end}; }
  std::string breaker() const override { return dialect_.block_ends_reasoning ? dialect_.block_begin : ""; }
  void Begin() override;
  Progress Read(MarkerScanner* text, DeltaWriter* out) override;
  void End(bool cut, DeltaWriter* out) override;

 private:
  // What a marker means; also the places in the sets below.
  enum Tag { kCallBegin, kCallEnd, kParameterBegin, kParameterEnd, kBlockBegin, kBlockEnd, kHeadEnd };
  enum class State { kName, kBody, kKey, kValue };
  struct Tags {
    MarkerSet markers;
    std::vector<Tag> meanings;
  };

  Tags TagsOf(std::vector<Tag> tags) const;
  const Tags& WantedTags() const;
  void Text(std::string_view text, DeltaWriter* out);
  Progress Structure(Tag tag, DeltaWriter* out);
  std::string NameIn(std::string_view head) const;
  void BeginCall(DeltaWriter* out);
  void EndCall(DeltaWriter* out);
  void BeginParameter(DeltaWriter* out);
  void StreamText(std::string_view text, DeltaWriter* out);
  void EndParameter(DeltaWriter* out);
  std::string WholeValue() const;

  const XmlDialect& dialect_;
  ToolSchemas schemas_;
  Tags head_tags_, body_tags_, value_tags_;

  State state_ = State::kName;
  std::string head_;    // text of the tag being read
  bool named_ = false;  // the call has a name: one without is passed over
  std::string name_;
  MemberWriter members_;
  std::set<std::string> keys_;  // parameters of this call: the first of a name counts
  // The parameter being read.
  bool wanted_ = false, streamed_ = false;
  bool value_begun_ = false, held_newline_ = false;  // of a streamed one
  ValueTypes types_ = 0;
  std::string key_, value_;
};

}  // namespace braid
