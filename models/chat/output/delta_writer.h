// Collects what a parser is certain of, and keeps white space in order: none around the reasoning, none between it and
// the content, none that only separates content from calls.
#pragma once

#include <string>
#include <string_view>

#include "models/chat/output/output_parser.h"

namespace braid {

class DeltaWriter {
 public:
  void Reasoning(std::string_view text);
  // A second stretch of reasoning begins on a line of its own.
  void EndReasoning();
  void Content(std::string_view text);
  void BeginCall(std::string name);
  // JSON text of the arguments of the last call begun.
  void Arguments(std::string_view json);
  // No more text comes: white space at the end counts only where content is all there was.
  void Finish();
  OutputDelta Take();

  // Something other than white space came in this stretch of reasoning.
  bool reasoning_begun() const { return reasoning_begun_; }
  // Something other than white space came as content since the start, the last reasoning and the last call.
  bool content_begun() const { return content_begun_; }
  bool any_content() const { return any_content_; }  // in the whole answer
  int num_calls() const { return num_calls_; }

 private:
  OutputDelta delta_;
  std::string held_reasoning_, held_content_;  // white space that counts when text follows
  int num_calls_ = 0;
  bool reasoning_begun_ = false, content_begun_ = false;
  bool any_reasoning_ = false, any_content_ = false;
  bool skip_space_ = false;  // the reasoning has just ended
};

// Writes an arguments object member by member.
class MemberWriter {
 public:
  // `, "key": ` with what must stand in front.
  static std::string Opening(std::string_view key, bool first);
  void Open(std::string_view key, DeltaWriter* out);
  void Close(DeltaWriter* out);

 private:
  bool first_ = true;
};

}  // namespace braid
