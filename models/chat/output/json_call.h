// Tool calls written in JSON, handed on while they come: the arguments are checked byte by byte, and the first of them
// leave as soon as they surely are an object.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "models/chat/output/delta_writer.h"
#include "models/chat/output/json_walker.h"

namespace braid {

// How far a call got in a piece of text.
struct CallProgress {
  size_t used = 0;                                  // bytes read; a byte that does not fit is not among them
  JsonWalker::Step step = JsonWalker::Step::kMore;  // kMore, kDone or kBad
};

// An arguments object on its way.
class JsonArguments {
 public:
  JsonWalker::Step Push(char byte);
  // More than the opening brace was right: text such as {bad json} is never taken for a call.
  bool certain() const { return significant_ >= 2; }
  // Only white space so far.
  bool blank() const { return significant_ == 0; }
  // Text not yet taken.
  std::string Take();

 private:
  JsonWalker walker_;
  std::string text_;
  int64_t significant_ = 0;  // bytes that are not white space
};

// A call whose name is known before its arguments come.
class NamedCall {
 public:
  explicit NamedCall(std::string name) : name_(std::move(name)) {}
  CallProgress Read(std::string_view text, DeltaWriter* out);
  // No arguments came, where they may be left out: they are {}.
  void EndBlank(DeltaWriter* out);
  bool blank() const { return arguments_.blank(); }
  bool begun() const { return begun_; }  // the name has been handed on
  // What was read, while not begun.
  const std::string& raw() const { return raw_; }
  const std::string& name() const { return name_; }

 private:
  void Flush(DeltaWriter* out);

  std::string name_, raw_;
  JsonArguments arguments_;
  bool begun_ = false;
};

// {"name": N, "arguments": {...}}, the members in any order; "parameters" says the same as "arguments".
class JsonCall {
 public:
  // `bare`: no marker says that a call comes, so the shape alone decides: arguments are a must, strange members are not
  // allowed. Elsewhere they are passed over.
  explicit JsonCall(bool bare) : bare_(bare) {}
  CallProgress Read(std::string_view text, DeltaWriter* out);
  bool begun() const { return begun_; }
  const std::string& raw() const { return raw_; }

 private:
  enum class State : uint8_t { kOpen, kFirstKey, kKey, kKeyText, kColon, kValueStart, kValue, kNext };
  enum class Role : uint8_t { kName, kArguments, kArgumentsText, kIgnored };  // of the member being read

  JsonWalker::Step Push(char byte);
  JsonWalker::Step Between(char byte);
  JsonWalker::Step KeyByte(char byte);
  JsonWalker::Step BeginValue(char byte);
  JsonWalker::Step ValueByte(char byte);
  JsonWalker::Step End();
  bool BeginArguments(char byte);
  bool EndValue();
  void Capture(char byte);
  void Flush(DeltaWriter* out);

  bool bare_;
  State state_ = State::kOpen;
  Role role_ = Role::kIgnored;
  JsonWalker walker_;     // of the key or value being read
  std::string captured_;  // its JSON text, where it is wanted
  std::string key_, name_;
  JsonArguments arguments_;
  std::string ready_;  // arguments that came whole, not yet handed on
  bool has_arguments_ = false, begun_ = false;
  std::string raw_;
};

}  // namespace braid
