// The answer of POST /v1/messages: a message, or the events that build it up.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "server/openai/reply_writer.h"

namespace braid {

// One choice, told as content blocks: thinking, text, tool use. A whole reply is told like a stream that nobody hears, so
// both have the same blocks.
class MessagesWriter : public ReplyWriter {
 public:
  struct Head {
    std::string id;      // without "msg_"
    std::string model;
  };
  explicit MessagesWriter(Head head) : head_(std::move(head)) {}

  std::string Whole(std::span<const ChoicePart> choices, const Usage& usage) override;
  void Begin(const Usage& usage, const Emit& emit) override;
  void Part(const ChoicePart& part, const Usage& usage, const Emit& emit) override;
  void End(const Usage& usage, const Emit& emit) override;
  bool Fail(const absl::Status& status, const Usage& usage, const Emit& emit) override;

 private:
  // The block that is being told.
  struct Block {
    enum class Kind { kNone, kThinking, kText, kToolUse };
    Kind kind = Kind::kNone;
    std::string text;        // or the input's JSON so far
    std::string id, name;    // of a tool use
    int call_index = -1;
  };

  void Open(Block::Kind kind, const ToolCallPart* call, const Emit& emit);
  void Close(const Emit& emit);
  void Say(Block::Kind kind, const std::string& text, const Emit& emit);
  void SayCall(const ToolCallPart& call, const Emit& emit);
  void SendDelta(std::string_view type, std::string_view member, const std::string& text, const Emit& emit) const;
  void EndBlocks(const ChoicePart& part, const Emit& emit);

  std::string Signature() const;
  std::string BlockJson(bool done) const;
  std::string Message(const Usage& usage) const;

  const Head head_;
  Block block_;
  std::vector<std::string> blocks_;       // told
  bool used_tools_ = false;
  std::string stop_reason_ = "null";      // JSON, as is the next
  std::string stop_sequence_ = "null";
};

}  // namespace braid
