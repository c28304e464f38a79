// Tokens and text of the choices to whole and chunked replies: usage, logprobs, finish reasons.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/token_event.h"
#include "models/tokenizer/tokenizer.h"

namespace braid {

enum class ReplyForm { kChat, kCompletion };

struct Usage {
  int64_t prompt_tokens = 0, completion_tokens = 0, cached_tokens = 0;
};

// What one choice has to say: all of it in a whole reply, the news in a chunk.
struct ChoicePart {
  int index = 0;
  std::string text;
  std::vector<int32_t> token_ids;
  std::vector<int32_t> prompt_token_ids;  // completions only
  std::string logprobs;                   // as LogprobsText gives it; empty: none asked for
  FinishReason finish = FinishReason::kNone;
  std::string stop_reason = "null";       // JSON: a stop string, a stop id or null
};

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

// Writes replies of one call. Immutable. Thread: any.
class ReplyWriter {
 public:
  struct Head {
    ReplyForm form = ReplyForm::kChat;
    std::string id, model, fingerprint;
    int64_t created_unix_s = 0;
    bool token_ids = false;  // show them
  };
  explicit ReplyWriter(const Head& head);

  // `prompt_token_ids`: of a chat's prompt, when they are to be shown.
  std::string Whole(std::span<const ChoicePart> choices, const Usage& usage, const std::vector<int32_t>* prompt_token_ids) const;

  // The chunk that opens a chat choice.
  void RoleChunk(int index, const Usage* usage, const std::vector<int32_t>* prompt_token_ids, std::string* out) const;
  void Chunk(const ChoicePart& part, const Usage* usage, std::string* out) const;
  void UsageChunk(const Usage& usage, std::string* out) const;

 private:
  void AppendChoice(const ChoicePart& part, bool chunk, std::string* out) const;

  const ReplyForm form_;
  const bool token_ids_;
  std::string whole_prefix_, chunk_prefix_;  // up to the list of choices
};

// "stop", "length", ... in quotes; null for a sequence that goes on.
std::string_view FinishReasonJson(FinishReason reason);

}  // namespace braid
