#include "server/openai/generate_call.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/openai/json_text.h"
#include "server/openai/prompt_text.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

// The reason's name in the metric of refusals.
std::string_view RejectionReason(const absl::Status& status) {
  if (absl::StrContains(status.message(), "drain")) return "draining";
  return absl::StrContains(status.message(), "token") ? "max_num_queued_tokens" : "max_num_queued_reqs";
}

absl::Status EndStatus(const TokenEvent& event) {
  if (!event.error.ok()) return event.error;
  return absl::InternalError("the request was ended before it was complete");
}

}  // namespace

GenerateCall::GenerateCall(Serving* serving, ReplyForm form, CallContext context, std::shared_ptr<ReplySink> sink)
    : PendingCall(serving, std::move(context), std::move(sink)), owner_(serving), form_(form), model_(*serving->model()) {
  owner_->CountCall(+1);
}

GenerateCall::~GenerateCall() {
  if (!ended_) owner_->CountCall(-1);  // dropped unanswered: the text threads stopped
}

// --- text thread ---

void GenerateCall::Run(const Json& body) {
  if (over()) return;
  absl::Status status = Prepare(body);
  if (status.ok()) status = Submit();
  if (!status.ok()) Fail(std::move(status));
}

absl::Status GenerateCall::Prepare(const Json& body) {
  const EngineInfo& info = model_.source->info();
  const RequestRules rules{owner_->config().limits, owner_->config().defaults, info.vocab_size};
  RETURN_IF_ERROR(form_ == ReplyForm::kChat ? ReadChat(body, rules) : ReadCompletion(body, rules));
  ASSIGN_OR_RETURN(const std::string model, owner_->ServedName(options_.model));
  if (model_.text.tokenizer == nullptr && !options_.stop.empty()) {
    return InvalidParam("stop", "stop: this model has no tokenizer; use stop_token_ids");
  }
  RETURN_IF_ERROR(FitContext(info.max_model_len));
  MakeChoices(model);
  return absl::OkStatus();
}

absl::Status GenerateCall::ReadChat(const Json& body, const RequestRules& rules) {
  ASSIGN_OR_RETURN(ChatRequest request, ReadChatRequest(body, rules));
  options_ = std::move(request.options);
  RETURN_IF_ERROR(owner_->ServedName(options_.model).status());
  ASSIGN_OR_RETURN(std::vector<int32_t> ids, EncodeChat(model_.text, request.input));
  prompts_.push_back({.ids = std::move(ids)});
  return absl::OkStatus();
}

absl::Status GenerateCall::ReadCompletion(const Json& body, const RequestRules& rules) {
  ASSIGN_OR_RETURN(CompletionRequest request, ReadCompletionRequest(body, rules));
  options_ = std::move(request.options);
  RETURN_IF_ERROR(owner_->ServedName(options_.model).status());
  echo_ = request.echo;
  const Tokenizer* tokenizer = model_.text.tokenizer.get();
  if (tokenizer == nullptr && !options_.return_token_ids) {
    return InvalidParam("return_token_ids", "return_token_ids: must be true, for this model has no tokenizer and answers token ids only");
  }
  for (const Prompt& prompt : request.prompts) {
    ASSIGN_OR_RETURN(std::vector<int32_t> ids, EncodePrompt(model_.text, prompt, request.add_special_tokens));
    PromptState state{.ids = std::move(ids)};
    if (const auto* text = std::get_if<std::string>(&prompt); echo_ && text != nullptr) state.echo = *text;
    else if (echo_ && tokenizer != nullptr) state.echo = tokenizer->Decode(state.ids, options_.skip_special_tokens);
    prompts_.push_back(std::move(state));
  }
  return absl::OkStatus();
}

// Refuses prompts that leave no room and clips max_tokens to what is left.
absl::Status GenerateCall::FitContext(int max_model_len) {
  const char* field = form_ == ReplyForm::kChat ? "messages" : "prompt";
  size_t longest = 0;
  for (const PromptState& prompt : prompts_) {
    if (prompt.ids.empty()) return InvalidParam(field, absl::StrCat(field, ": must give at least one token"));
    longest = std::max(longest, prompt.ids.size());
  }
  if (longest >= static_cast<size_t>(max_model_len)) {
    return WithDetails(absl::InvalidArgumentError(absl::StrCat("This model's maximum context length is ", max_model_len,
                                                               " tokens, and the prompt has ", longest,
                                                               ": at least one must be left for the answer.")),
                       field, "context_length_exceeded");
  }
  const int left = max_model_len - static_cast<int>(longest);
  drop_output_ = options_.max_tokens == 0;
  max_tokens_ = std::min(std::max(options_.max_tokens.value_or(left), 1), left);
  options_.min_tokens = std::min(options_.min_tokens, max_tokens_);
  return absl::OkStatus();
}

void GenerateCall::MakeChoices(const std::string& model) {
  const Tokenizer* tokenizer = model_.text.tokenizer.get();
  const bool chat = form_ == ReplyForm::kChat;
  const std::string& id = options_.request_id.empty() ? context().request_id : options_.request_id;
  writer_.emplace(ReplyWriter::Head{.form = form_,
                                    .id = absl::StrCat(chat ? "chatcmpl-" : "cmpl-", id),
                                    .model = model,
                                    .fingerprint = model_.source->info().fingerprint,
                                    .created_unix_s = static_cast<int64_t>(std::time(nullptr)),
                                    .token_ids = options_.return_token_ids});
  choices_.resize(prompts_.size() * options_.n);
  for (size_t i = 0; i < choices_.size(); ++i) {
    Choice& choice = choices_[i];
    choice.part.index = static_cast<int>(i);
    if (tokenizer != nullptr) {
      choice.text = std::make_unique<TextStream>(*tokenizer, options_.skip_special_tokens, options_.stop, options_.include_stop_str_in_output);
    }
    if (options_.sampling.logprobs >= 0) {
      choice.logprobs.emplace(form_, tokenizer, options_.return_tokens_as_token_ids, options_.sampling.logprobs);
    }
  }
  for (PromptState& prompt : prompts_) {
    prompt.unfinished = options_.n;
    usage_.prompt_tokens += static_cast<int64_t>(prompt.ids.size());
  }
  unfinished_ = static_cast<int>(choices_.size());
  progress_.arrival_ns = context().arrival_ns;
  progress_.prompt_tokens = static_cast<int>(usage_.prompt_tokens);
  progress_.n = options_.n;
  progress_.max_tokens = max_tokens_;
}

GenerateRequest GenerateCall::RequestFor(int prompt) {
  GenerateRequest request;
  request.id = context().request_id;
  request.prompt = prompts_[prompt].ids;
  request.sampling = options_.sampling;
  request.n = options_.n;
  request.max_tokens = max_tokens_;
  request.min_tokens = options_.min_tokens;
  request.ignore_eos = options_.ignore_eos;
  request.stop_token_ids = options_.stop_token_ids;
  request.echo_logprobs = echo_ && options_.sampling.logprobs >= 0;
  request.priority = options_.priority;
  request.arrival_ns = context().arrival_ns;
  request.deadline_ns = context().deadline_ns;
  request.on_event = [self = std::static_pointer_cast<GenerateCall>(shared_from_this()), prompt](TokenEvent event) {
    self->OnEvent(prompt, std::move(event));
  };
  return request;
}

absl::Status GenerateCall::Submit() {
  if (context().deadline_ns != 0 && owner_->clock().NowNs() > context().deadline_ns) {
    return absl::DeadlineExceededError("the request's time was over before it could begin");
  }
  const int count = static_cast<int>(prompts_.size());  // from the first submission on, the rest is the drain's
  {
    std::lock_guard lock(inbox_mutex_);
    handles_.resize(count);
    reported_ = progress_;
    submitted_ = true;
  }
  for (int prompt = 0; prompt < count; ++prompt) {
    absl::StatusOr<RequestHandle> handle = model_.source->Submit(RequestFor(prompt));
    if (!handle.ok()) {
      if (absl::IsUnavailable(handle.status())) owner_->observer().OnRejected(RejectionReason(handle.status()));
      return handle.status();
    }
    std::vector<std::pair<int, int>> cancels;
    bool ended;
    {
      std::lock_guard lock(inbox_mutex_);
      ended = ended_;
      handles_[prompt] = *handle;
      cancels.swap(early_cancels_);
    }
    if (ended) {
      model_.source->Cancel(*handle);
      return absl::OkStatus();
    }
    for (const auto& cancel : cancels) model_.source->CancelChoice(*handles_[cancel.first], cancel.second);
  }
  return absl::OkStatus();
}

// --- engine thread ---

void GenerateCall::OnEvent(int prompt, TokenEvent event) {
  {
    std::lock_guard lock(inbox_mutex_);
    if (ended_) return;
    inbox_.emplace_back(prompt, std::move(event));
    if (std::exchange(drain_posted_, true)) return;
  }
  Post([this](ReplySink& sink) { Drain(sink); });
}

// --- where answers arrive ---

void GenerateCall::Drain(ReplySink& sink) {
  std::vector<std::pair<int, TokenEvent>> events;
  {
    std::lock_guard lock(inbox_mutex_);
    events.swap(inbox_);
    drain_posted_ = false;
  }
  for (const auto& [prompt, event] : events) {
    if (!Take(sink, prompt, event)) return;
  }
  {
    std::lock_guard lock(inbox_mutex_);
    reported_ = progress_;
    complete_ = unfinished_ == 0;
  }
  if (unfinished_ > 0) {
    if (options_.stream) sink.OnFlush();
    return;
  }
  if (!End()) return;
  SendEnd(sink);
  OnEnd(false);
}

// False when the call is over with this event.
bool GenerateCall::Take(ReplySink& sink, int prompt, const TokenEvent& event) {
  Choice& choice = choices_[static_cast<size_t>(prompt) * options_.n + event.index];
  if (choice.done) return true;
  progress_.num_preemptions = std::max(progress_.num_preemptions, event.num_preemptions);
  if (event.finish == FinishReason::kError || event.finish == FinishReason::kAbort) {
    progress_.finish = event.finish;
    {
      std::lock_guard lock(inbox_mutex_);
      reported_ = progress_;
    }
    if (!End()) return false;
    sink.OnError(EndStatus(event));
    OnEnd(false);
    return false;
  }
  if (!choice.begun) Begin(prompt, event, choice);
  const size_t tokens_before = static_cast<size_t>(choice.output_tokens);
  AddTokens(event, choice);
  if (choice.text != nullptr && choice.text->matched_stop().has_value()) {
    FinishByStopString(prompt, event.index, choice);
  } else if (event.finish != FinishReason::kNone) {
    if (choice.text != nullptr && !drop_output_) choice.part.text += choice.text->Finish();
    choice.part.finish = drop_output_ ? FinishReason::kLength : event.finish;
    choice.done = true;
  }
  if (choice.done) {
    --unfinished_;
    --prompts_[prompt].unfinished;
    if (event.index == 0 && prompt == 0) progress_.finish = choice.part.finish;
  }
  const bool wanted = (choice.logprobs.has_value() || options_.return_token_ids) && static_cast<size_t>(choice.output_tokens) > tokens_before;
  if (options_.stream && (choice.done || wanted || !choice.part.text.empty())) SendChunk(sink, choice);
  return true;
}

// A choice's first tokens have come: what the prompt gives it.
void GenerateCall::Begin(int prompt, const TokenEvent& event, Choice& choice) {
  choice.begun = true;
  PromptState& state = prompts_[prompt];
  usage_.cached_tokens += std::max(0, event.cached_tokens - state.cached_tokens);
  state.cached_tokens = std::max(state.cached_tokens, event.cached_tokens);
  progress_.cached_tokens = static_cast<int>(usage_.cached_tokens);
  if (form_ == ReplyForm::kCompletion && options_.return_token_ids) choice.part.prompt_token_ids = state.ids;
  if (!echo_) return;
  choice.part.text = state.echo;
  if (!choice.logprobs.has_value()) return;
  if (state.logprobs.empty()) state.logprobs = event.prompt_logprobs;
  choice.logprobs->Add(state.ids[0], nullptr);
  for (size_t i = 1; i < state.ids.size(); ++i) {
    choice.logprobs->Add(state.ids[i], i - 1 < state.logprobs.size() ? &state.logprobs[i - 1] : nullptr);
  }
}

void GenerateCall::AddTokens(const TokenEvent& event, Choice& choice) {
  if (event.tokens.empty()) return;
  Measure(event, choice);
  if (drop_output_) return;
  for (size_t i = 0; i < event.tokens.size(); ++i) {
    if (!AddToken(event, i, choice)) break;
  }
  progress_.longest_output_tokens = std::max(progress_.longest_output_tokens, choice.output_tokens);
}

// False when a stop string ends the choice with this token.
bool GenerateCall::AddToken(const TokenEvent& event, size_t i, Choice& choice) {
  const int32_t id = event.tokens[i];
  ++choice.output_tokens;
  ++usage_.completion_tokens;
  ++progress_.output_tokens;
  if (options_.return_token_ids) choice.part.token_ids.push_back(id);
  if (choice.logprobs.has_value() && i < event.logprobs.size()) choice.logprobs->Add(id, &event.logprobs[i]);
  const bool stops = event.finish == FinishReason::kStop && event.stop_token >= 0 && i + 1 == event.tokens.size();
  if (stops) {
    const auto& asked = options_.stop_token_ids;
    if (std::find(asked.begin(), asked.end(), event.stop_token) != asked.end()) choice.part.stop_reason = absl::StrCat(event.stop_token);
  }
  if (choice.text == nullptr || (stops && !options_.include_stop_str_in_output)) return true;
  choice.part.text += choice.text->Push(id);
  return !choice.text->matched_stop().has_value();
}

void GenerateCall::FinishByStopString(int prompt, int index, Choice& choice) {
  choice.part.finish = FinishReason::kStop;
  choice.part.stop_reason.clear();
  AppendJsonString(*choice.text->matched_stop(), &choice.part.stop_reason);
  choice.done = true;
  std::optional<RequestHandle> handle;
  {
    std::lock_guard lock(inbox_mutex_);
    handle = handles_[prompt];
    if (!handle.has_value()) early_cancels_.emplace_back(prompt, index);
  }
  if (!handle.has_value()) return;
  if (prompts_[prompt].unfinished == 1) {
    model_.source->Cancel(*handle);
  } else {
    model_.source->CancelChoice(*handle, index);
  }
}

void GenerateCall::Measure(const TokenEvent& event, Choice& choice) {
  if (progress_.scheduled_ns == 0) progress_.scheduled_ns = event.scheduled_ns;
  if (progress_.first_token_ns == 0) {
    progress_.first_token_ns = event.emitted_ns;
    owner_->observer().OnFirstToken(event.emitted_ns - progress_.arrival_ns);
  }
  if (choice.last_token_ns != 0) owner_->observer().OnTokenGap(event.emitted_ns - choice.last_token_ns);
  choice.last_token_ns = progress_.last_token_ns = event.emitted_ns;
}

const Usage* GenerateCall::RunningUsage() { return options_.continuous_usage_stats ? &usage_ : nullptr; }

void GenerateCall::SendRoles(ReplySink& sink) {
  opened_ = true;
  if (form_ != ReplyForm::kChat) return;
  const Usage opening{.prompt_tokens = usage_.prompt_tokens, .cached_tokens = usage_.cached_tokens};
  for (size_t i = 0; i < choices_.size(); ++i) {
    const bool show_ids = i == 0 && options_.return_token_ids;
    chunk_.clear();
    writer_->RoleChunk(static_cast<int>(i), options_.continuous_usage_stats ? &opening : nullptr, show_ids ? &prompts_[0].ids : nullptr, &chunk_);
    sink.OnChunk(chunk_);
  }
}

void GenerateCall::SendChunk(ReplySink& sink, Choice& choice) {
  if (!opened_) SendRoles(sink);
  if (choice.logprobs.has_value()) choice.part.logprobs = choice.logprobs->Take();
  chunk_.clear();
  writer_->Chunk(choice.part, RunningUsage(), &chunk_);
  sink.OnChunk(chunk_);
  choice.part.text.clear();
  choice.part.token_ids.clear();
  choice.part.prompt_token_ids.clear();
}

void GenerateCall::SendEnd(ReplySink& sink) {
  if (options_.stream) {
    if (options_.include_usage) {
      chunk_.clear();
      writer_->UsageChunk(usage_, &chunk_);
      sink.OnChunk(chunk_);
    }
    return sink.OnDone();
  }
  std::vector<ChoicePart> parts;
  parts.reserve(choices_.size());
  for (Choice& choice : choices_) {
    if (choice.logprobs.has_value()) choice.part.logprobs = choice.logprobs->Take();
    parts.push_back(std::move(choice.part));
  }
  const bool show_ids = form_ == ReplyForm::kChat && options_.return_token_ids;
  sink.OnReply(writer_->Whole(parts, usage_, show_ids ? &prompts_[0].ids : nullptr));
}

// Whoever ended the call: what the engine still does for it is in vain.
void GenerateCall::OnEnd(bool cancelled) {
  std::vector<std::optional<RequestHandle>> handles;
  FinishedRequest finished;
  bool submitted, complete;
  {
    std::lock_guard lock(inbox_mutex_);
    ended_ = true;
    complete = complete_;
    handles = handles_;
    finished = reported_;
    submitted = submitted_;
    inbox_.clear();
  }
  owner_->CountCall(-1);
  if (!complete) {
    for (const auto& handle : handles) {
      if (handle.has_value()) model_.source->Cancel(*handle);
    }
  }
  if (!submitted) return;
  if (cancelled) finished.finish = FinishReason::kAbort;
  if (!complete && finished.finish != FinishReason::kAbort) finished.finish = FinishReason::kError;
  finished.finish_ns = owner_->clock().NowNs();
  owner_->observer().OnFinished(finished);
}

}  // namespace braid
