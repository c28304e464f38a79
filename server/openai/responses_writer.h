// The answer of POST /v1/responses: a response object, or the events that build it up.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "kernels/base/json.h"
#include "server/openai/reply_writer.h"

namespace braid {

// One choice, told as output items: reasoning, message, function calls. A whole reply is told like a stream that nobody
// hears, so both have the same items.
class ResponsesWriter : public ReplyWriter {
 public:
  // Receives the response object before anybody is told: "in_progress" when a stream begins, then what it ends as.
  using Keep = std::function<void(std::string_view status, const std::string& response)>;

  struct Head {
    std::string id;              // without "resp_"
    std::string model;
    int64_t created_unix_s = 0;
    Json echo;                   // of ResponsesRequest
    Keep keep;                   // empty: it is not kept
  };
  explicit ResponsesWriter(Head head);

  std::string Whole(std::span<const ChoicePart> choices, const Usage& usage) override;
  void Begin(const Usage& usage, const Emit& emit) override;
  void Part(const ChoicePart& part, const Usage& usage, const Emit& emit) override;
  void End(const Usage& usage, const Emit& emit) override;
  bool Fail(const absl::Status& status, const Usage& usage, const Emit& emit) override;

  // The response object before anything has begun.
  std::string Queued() const { return Response("queued", nullptr); }

 private:
  // The item that is being told.
  struct Item {
    enum class Kind { kNone, kReasoning, kMessage, kCall };
    Kind kind = Kind::kNone;
    std::string id;
    std::string text;            // or the arguments so far
    std::string call_id, name;   // of a call
    int call_index = -1;
    std::string logprobs;        // entries of a message, commas between
  };

  void Open(Item::Kind kind, const ToolCallPart* call, const Emit& emit);
  void Close(const Emit& emit);
  void Say(Item::Kind kind, const std::string& text, const Emit& emit);
  void SayCall(const ToolCallPart& call, const Emit& emit);
  void Send(std::string_view type, std::string_view members, const Emit& emit);
  void SendOfItem(std::string_view type, std::string_view members, const Emit& emit);
  void SendResponse(std::string_view type, std::string_view status, const Usage* usage, const Emit& emit);

  std::string ItemJson(bool done) const;
  std::string TextPart(bool done) const;
  std::string Response(std::string_view status, const Usage* usage) const;
  std::string Kept(std::string_view status, const Usage* usage) const;
  bool cut() const { return finish_ == FinishReason::kLength; }

  const Head head_;
  const std::string echo_;           // its members
  Item item_;
  std::vector<std::string> items_;   // told
  std::string waiting_;              // logprobs of tokens whose text is not out yet
  FinishReason finish_ = FinishReason::kNone;
  std::string error_ = "null";       // JSON
  int64_t sequence_ = 0;
};

}  // namespace braid
