// A call that generates: one body to prompts, their token events to a reply or a stream of chunks.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "server/openai/api_forms.h"
#include "server/openai/choice_text.h"
#include "server/openai/output_constraint.h"
#include "server/openai/pending_call.h"
#include "server/openai/request_json.h"

namespace braid {

// Parsed, rendered, encoded and submitted on a text thread (Run); events come on the engine's thread (OnEvent) and are
// turned into text where answers arrive (Drain).
class GenerateCall : public PendingCall {
 public:
  GenerateCall(Serving* serving, ApiKind kind, CallContext context, std::shared_ptr<ReplySink> sink);
  ~GenerateCall() override;

  void Run(const Json& body);

 private:
  struct Choice {
    ChoicePart part;                       // not yet sent
    std::unique_ptr<ChoiceText> text;      // null without tokenizer
    std::optional<LogprobsText> logprobs;  // when asked for
    int output_tokens = 0;
    int64_t last_token_ns = 0;
    bool begun = false, done = false;
  };
  struct PromptState {
    std::vector<int32_t> ids;
    std::string echo;                             // text before the output
    std::vector<TokenLogprobs> logprobs;          // of positions 1.., where the request wants them
    int cached_tokens = 0;
    int unfinished = 0;                           // choices
  };

  void HandOver(const Json& body);
  absl::StatusOr<std::string> RunInBackground(const Json& body);
  absl::Status Prepare(const Json& body);
  absl::Status ReadChat(const Json& body, const RequestRules& rules);
  void ChooseFormat(const ChatRequest& request, const std::string& prompt);
  absl::Status ReadCompletion(const Json& body, const RequestRules& rules);
  absl::Status MakeTokenConstraint();
  void TruncatePrompts(int max_model_len);
  absl::Status FitContext(int max_model_len);
  absl::Status CheckPromptLogprobs(int vocab_size) const;
  int PromptLogprobs() const;
  absl::Status CheckResume() const;
  void MakeChoices();
  std::unique_ptr<ReplyWriter> MakeWriter(const std::string& model);
  ResponsesWriter::Keep MakeKeep();
  absl::Status Submit();
  GenerateRequest RequestFor(int prompt);

  void OnEvent(int prompt, TokenEvent event);
  void Drain(ReplySink& sink);
  bool Take(ReplySink& sink, int prompt, const TokenEvent& event);
  void Begin(int prompt, const TokenEvent& event, Choice& choice);
  void Replay(Choice& choice);
  void AddTokens(const TokenEvent& event, Choice& choice);
  bool AddToken(const TokenEvent& event, size_t i, Choice& choice);
  void FinishByStopString(int prompt, int index, Choice& choice);
  void Measure(const TokenEvent& event, Choice& choice);
  void SendPart(ReplySink& sink, Choice& choice);
  void SendEnd(ReplySink& sink);
  void SendError(ReplySink& sink, const absl::Status& status);
  void OnEnd(bool cancelled) override;

  Serving* const owner_;
  const ApiKind kind_;
  const LoadedModel& model_;

  // Set on the text thread before the first submission, then read where answers arrive.
  GenerationOptions options_;
  bool echo_ = false;
  bool drop_output_ = false;               // max_tokens 0: only the prompt is wanted
  int max_tokens_ = 0;
  Json echo_body_;                         // what the answer repeats of the body
  std::optional<ResponseStore::NewResponse> keep_;  // of a response that is kept
  bool background_ = false;                // nobody waits: a stream that is told to the store only
  std::string opening_;                    // of a chat with echo: the text before the output
  Json tools_;                             // of a chat; null: none
  ChoiceTextOptions text_options_;
  OutputFormat call_format_ = OutputFormat::kPlain;  // of tool calls
  ReasoningStart reasoning_ = ReasoningStart::kNone;
  std::shared_ptr<const ConstraintSpec> constraint_;  // shared with the engine
  std::unique_ptr<ReplyWriter> writer_;

  // Where answers arrive.
  std::vector<std::pair<int, TokenEvent>> events_;  // of the drain under way; keeps its memory between drains
  std::vector<PromptState> prompts_;
  std::vector<Choice> choices_;            // prompt number * n + index
  int unfinished_ = 0;
  bool opened_ = false;                    // the stream has begun
  Usage usage_;
  FinishedRequest progress_;

  // Both sides.
  std::mutex inbox_mutex_;
  std::vector<std::pair<int, TokenEvent>> inbox_;
  bool drain_posted_ = false;
  std::vector<std::optional<RequestHandle>> handles_;
  std::vector<std::pair<int, int>> early_cancels_;   // prompt, index: ended before the handle was known
  FinishedRequest reported_;               // progress_ as of the last drain
  bool submitted_ = false;
  bool complete_ = false;                  // every choice came to its own end
  bool ended_ = false;
};

}  // namespace braid
