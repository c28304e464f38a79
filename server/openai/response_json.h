// Chat and completion replies, whole and in chunks: usage, logprobs, finish reasons.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/token_event.h"
#include "models/tokenizer/tokenizer.h"
#include "server/openai/reply_writer.h"

namespace braid {

// How tokens' logprobs are listed, and in OpenAI's first two APIs all the rest: kEntries is a list's inside by itself.
enum class ReplyForm { kChat, kCompletion, kEntries };

// The logprobs of one choice's tokens. Thread: one at a time.
class LogprobsText {
 public:
  // `tokenizer` may be null: tokens are then printed as "token_id:N", as `as_ids` asks for in any case.
  LogprobsText(ReplyForm form, const Tokenizer* tokenizer, bool as_ids, int top);

  // Adds a token with its logprobs; null: the first token of a prompt, which has none.
  void Add(int32_t id, const TokenLogprobs* logprobs);

  // Returns the JSON of what was added since the last call; offsets of completions go on counting.
  std::string Take();

 private:
  std::string_view Spelling(int32_t id);
  void AddChat(int32_t id, const TokenLogprobs& logprobs);
  void AddCompletion(int32_t id, const TokenLogprobs* logprobs);
  void AppendEntry(int32_t id, float logprob);

  const ReplyForm form_;
  const Tokenizer* const tokenizer_;
  const bool as_ids_;
  const int top_;
  std::string spelled_;                    // storage of "token_id:N"
  std::string content_;                    // chat; of completions the tokens
  std::string values_, tops_, offsets_;    // completions
  int64_t offset_ = 0;                     // characters
};

// The answer of a chat or completions call.
class OpenAiWriter : public ReplyWriter {
 public:
  struct Head {
    ReplyForm form = ReplyForm::kChat;
    std::string id, model, fingerprint;
    int64_t created_unix_s = 0;
    int num_choices = 1;
    bool token_ids = false;                 // show them ...
    std::vector<int32_t> prompt_token_ids;  // ... and these, of a chat's prompt
    bool include_usage = false;             // a stream: in a last chunk
    bool continuous_usage = false;          // a stream: in every chunk
    std::string opening;                    // a chat's text before the output
  };
  explicit OpenAiWriter(Head head);

  std::string Whole(std::span<const ChoicePart> choices, const Usage& usage) override;
  void Begin(const Usage& usage, const Emit& emit) override;
  void Part(const ChoicePart& part, const Usage& usage, const Emit& emit) override;
  void End(const Usage& usage, const Emit& emit) override;

 private:
  void AppendChoice(const ChoicePart& part, bool chunk, std::string* out) const;
  void AppendMessage(const ChoicePart& part, std::string* out) const;
  void AppendDelta(const ChoicePart& part, std::string* out) const;
  void AppendRoleChunk(int index, const Usage& usage, std::string* out) const;

  const Head head_;
  const std::string whole_prefix_, chunk_prefix_;  // up to the list of choices
  std::string chunk_;                              // scratch
};

// "stop", "length", "tool_calls", ... in quotes; null for a sequence that goes on.
std::string_view FinishReasonJson(const ChoicePart& part);

}  // namespace braid
