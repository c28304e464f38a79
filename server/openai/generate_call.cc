#include "server/openai/generate_call.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "kernels/base/fresh_id.h"
#include "server/openai/chat_body.h"
#include "server/openai/json_text.h"
#include "server/openai/prompt_logprobs_json.h"
#include "server/openai/prompt_text.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

// The reason's name in the metric of refusals.
std::string_view RejectionReason(const absl::Status& status) {
  if (absl::StrContains(status.message(), "drain")) return "draining";
  return absl::StrContains(status.message(), "token") ? "max_num_queued_tokens" : "max_num_queued_reqs";
}

ReplyWriter::Emit EmitTo(ReplySink& sink) {
  return [&sink](std::string_view type, std::string_view json) { type.empty() ? sink.OnChunk(json) : sink.OnEvent(type, json); };
}

// Of a call that nobody waits for.
class SilentSink : public ReplySink {
 public:
  void OnReply(std::string) override {}
  void OnChunk(std::string_view) override {}
  void OnDone() override {}
  void OnError(const absl::Status&) override {}
};

absl::Status EndStatus(const TokenEvent& event) {
  if (!event.error.ok()) return event.error;
  return absl::InternalError("the request was ended before it was complete");
}

}  // namespace

GenerateCall::GenerateCall(Serving* serving, ApiKind kind, CallContext context, std::shared_ptr<ReplySink> sink)
    : PendingCall(serving, std::move(context), std::move(sink)), owner_(serving), kind_(kind), model_(*serving->model()) {
  owner_->CountCall(+1);
}

GenerateCall::~GenerateCall() {
  if (!ended_) owner_->CountCall(-1);  // dropped unanswered: the text threads stopped
}

// --- text thread ---

void GenerateCall::Run(const Json& body) {
  if (over()) return;
  const Json* behind = kind_ == ApiKind::kResponses ? FindMember(body, "background") : nullptr;
  if (behind != nullptr && *behind == true) return HandOver(body);
  absl::Status status = Prepare(body);
  if (status.ok()) status = Submit();
  if (!status.ok()) Fail(std::move(status));
}

// The answer is a response that is queued; another call, which no client can hang up, does the work.
void GenerateCall::HandOver(const Json& body) {
  CallContext context = this->context();
  context.post = [owner = owner_](std::function<void()> task) { owner->PostBackground(std::move(task)); };
  const auto worker = std::make_shared<GenerateCall>(owner_, kind_, std::move(context), std::make_shared<SilentSink>());
  auto queued = worker->RunInBackground(body);
  if (queued.ok()) return Reply(*std::move(queued));
  worker->Fail(queued.status());
  Fail(queued.status());
}

absl::StatusOr<std::string> GenerateCall::RunInBackground(const Json& body) {
  background_ = true;
  RETURN_IF_ERROR(Prepare(body));
  options_.stream = true;
  const std::string queued = static_cast<ResponsesWriter&>(*writer_).Queued();
  ResponseStore& store = owner_->responses();
  RETURN_IF_ERROR(store.Begin(*keep_, queued, shared_from_this()));
  const absl::Status status = Submit();
  if (status.ok()) return queued;
  store.Update(keep_->id, "failed", queued);  // it is no longer to be cancelled
  store.Delete(keep_->owner, keep_->id).IgnoreError();
  return status;
}

absl::Status GenerateCall::Prepare(const Json& body) {
  const EngineInfo& info = model_.source->info();
  const RequestRules rules{owner_->config().limits, model_.defaults, info.vocab_size, &owner_->responses(), context().api_key_id};
  RETURN_IF_ERROR(kind_ == ApiKind::kCompletion ? ReadCompletion(body, rules) : ReadChat(body, rules));
  ASSIGN_OR_RETURN(const std::string model, owner_->ServedName(options_.model));
  if (model_.text.tokenizer == nullptr && !options_.stop.empty()) {
    return InvalidParam("stop", "stop: this model has no tokenizer; use stop_token_ids");
  }
  RETURN_IF_ERROR(MakeTokenConstraint());
  TruncatePrompts(info.max_model_len);
  RETURN_IF_ERROR(FitContext(info.max_model_len));
  RETURN_IF_ERROR(CheckPromptLogprobs(info.vocab_size));
  RETURN_IF_ERROR(CheckResume());
  writer_ = MakeWriter(model);
  MakeChoices();
  return absl::OkStatus();
}

absl::Status GenerateCall::ReadChat(const Json& body, const RequestRules& rules) {
  ASSIGN_OR_RETURN(ChatBody read, ReadChatBody(kind_, body, rules));
  ChatRequest& request = read.request;
  options_ = std::move(request.options);
  echo_body_ = std::move(read.echo);
  keep_ = std::move(read.keep);
  RETURN_IF_ERROR(owner_->ServedName(options_.model).status());
  auto encoded = EncodeChat(model_.text, request.input);
  if (!encoded.ok()) return ParamOf(encoded.status()) == "messages" ? WithDetails(encoded.status(), PromptField(kind_)) : encoded.status();
  EncodedChat chat = *std::move(encoded);
  const Json& last = request.input.messages.back();
  if (request.echo && last["role"] == "assistant" && last.value("content", Json()).is_string()) opening_ = last["content"];
  ChooseFormat(request, chat.text);
  prompts_.push_back({.ids = std::move(chat.ids)});
  return absl::OkStatus();
}

// How the answer's text is to be read: the model's own format, or the one that TellTools taught it.
void GenerateCall::ChooseFormat(const ChatRequest& request, const std::string& prompt) {
  const OutputFormat own = model_.text.output_format;
  const OutputMarkers& markers = MarkersOf(own);
  tools_ = request.input.tools;
  call_format_ = own == OutputFormat::kPlain || !model_.text.chat_template->Mentions("tools") ? OutputFormat::kHermes : own;
  if (!markers.reasoning_end.empty()) {
    const bool off = request.input.kwargs.value("enable_thinking", Json()) == false;
    const bool inside = PromptEndsInReasoning(own, prompt);
    reasoning_ = inside ? ReasoningStart::kInside : off ? ReasoningStart::kNone : ReasoningStart::kMayOpen;
  }
  const bool parse_tools = !tools_.is_null(), parse_reasoning = !markers.reasoning_end.empty();
  if (!parse_tools && !parse_reasoning) return;
  text_options_.format = parse_tools ? call_format_ : own;
  text_options_.parser = {.tools = tools_,
                          .starts_in_reasoning = reasoning_ == ReasoningStart::kInside,
                          .parse_tools = parse_tools,
                          .parse_reasoning = parse_reasoning};
  text_options_.show_reasoning = options_.output.include_reasoning;
  text_options_.max_calls = options_.output.parallel_tool_calls ? 0 : 1;
}

absl::Status GenerateCall::MakeTokenConstraint() {
  const OutputRules& rules = options_.output;
  if (model_.text.tokenizer == nullptr) {
    if (rules.structured.kind == StructuredOutput::Kind::kNone && rules.bad_words.empty()) return absl::OkStatus();
    const std::string field = rules.bad_words.empty() ? rules.structured.field : "bad_words";
    return InvalidParam(field, absl::StrCat(field, ": this model has no tokenizer"));
  }
  const ConstraintModel model{model_.text.tokenizer.get(), model_.vocabulary, model_.source->info().eos_token_ids, call_format_};
  ASSIGN_OR_RETURN(constraint_, MakeConstraint(rules, tools_, reasoning_, model, &owner_->grammars()));
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

// Keeps the last tokens of each prompt, if the request wants it so.
void GenerateCall::TruncatePrompts(int max_model_len) {
  const int asked = options_.truncate_prompt_tokens;
  if (asked == 0) return;
  const int room = std::max(1, max_model_len - std::max(1, options_.max_tokens.value_or(1)));
  const size_t kept = static_cast<size_t>(asked > 0 ? asked : room);
  for (PromptState& prompt : prompts_) {
    if (prompt.ids.size() > kept) prompt.ids.erase(prompt.ids.begin(), prompt.ids.end() - static_cast<ptrdiff_t>(kept));
  }
}

// Refuses prompts that leave no room and clips max_tokens to what is left.
absl::Status GenerateCall::FitContext(int max_model_len) {
  const std::string field(PromptField(kind_));
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

absl::Status GenerateCall::CheckPromptLogprobs(int vocab_size) const {
  if (!options_.prompt_logprobs.has_value()) return absl::OkStatus();
  const int top = *options_.prompt_logprobs;
  int64_t tokens = 0;
  for (const PromptState& prompt : prompts_) tokens += static_cast<int64_t>(prompt.ids.size()) * options_.n;
  const int64_t ids = top < 0 ? vocab_size : top + 1;
  if (tokens <= kMaxPromptLogprobEntries / ids) return absl::OkStatus();
  return InvalidParam("prompt_logprobs", absl::StrCat("prompt_logprobs: ", top, " means ", ids, " ids for each of ", tokens,
                                                      " prompt tokens (of all prompts times n); at most ",
                                                      kMaxPromptLogprobEntries, " entries are answered"));
}

// As many as the echo or the field wants, as GenerateRequest counts them.
int GenerateCall::PromptLogprobs() const {
  const int of_echo = echo_ ? options_.sampling.logprobs : -1;
  if (!options_.prompt_logprobs.has_value()) return of_echo;
  return *options_.prompt_logprobs < 0 ? model_.source->info().vocab_size : std::max(of_echo, *options_.prompt_logprobs);
}

// A stream that goes on has one choice, and a token to come.
absl::Status GenerateCall::CheckResume() const {
  if (!options_.resume.has_value()) return absl::OkStatus();
  const auto wrong = [](auto... words) { return InvalidParam("resume_token_ids", absl::StrCat("resume_token_ids: ", words...)); };
  if (!options_.stream) return wrong("only a stream goes on");
  if (prompts_.size() != 1 || options_.n != 1 || echo_ || drop_output_) return wrong("goes with one prompt, one choice and no echo");
  if (options_.resume->size() < static_cast<size_t>(max_tokens_)) return absl::OkStatus();
  return wrong(options_.resume->size(), " tokens leave nothing of max_tokens (", max_tokens_, ")");
}

std::unique_ptr<ReplyWriter> GenerateCall::MakeWriter(const std::string& model) {
  OpenAiWriter::Head head{.id = options_.request_id.empty() ? context().request_id : options_.request_id,
                          .model = model,
                          .fingerprint = model_.source->info().fingerprint,
                          .created_unix_s = static_cast<int64_t>(std::time(nullptr)),
                          .num_choices = static_cast<int>(prompts_.size()) * options_.n,
                          .token_ids = options_.return_token_ids,
                          .include_usage = options_.include_usage,
                          .continuous_usage = options_.continuous_usage_stats,
                          .opening = opening_};
  if (kind_ == ApiKind::kChat && options_.return_token_ids) head.prompt_token_ids = prompts_[0].ids;
  if (kind_ == ApiKind::kResponses) head.id = SecretHexId(48);  // whoever knows it may fetch it, where there are no keys
  if (keep_.has_value()) keep_->id = absl::StrCat("resp_", head.id);
  return MakeReplyWriter(kind_, std::move(head), std::move(echo_body_), MakeKeep());
}

ResponsesWriter::Keep GenerateCall::MakeKeep() {
  if (!keep_.has_value()) return nullptr;
  ResponseStore* const store = &owner_->responses();
  if (background_) {
    return [store, id = keep_->id](std::string_view status, const std::string& response) { store->Update(id, status, response); };
  }
  return [store, fresh = *std::move(keep_)](std::string_view status, const std::string& response) {
    if (status != "in_progress") store->Keep(fresh, status, response);
  };
}

void GenerateCall::MakeChoices() {
  const Tokenizer* tokenizer = model_.text.tokenizer.get();
  text_options_.skip_special_tokens = options_.skip_special_tokens;
  text_options_.stop = options_.stop;
  text_options_.include_stop = options_.include_stop_str_in_output;
  choices_.resize(prompts_.size() * options_.n);
  for (size_t i = 0; i < choices_.size(); ++i) {
    Choice& choice = choices_[i];
    choice.part.index = static_cast<int>(i);
    if (tokenizer != nullptr) choice.text = std::make_unique<ChoiceText>(*tokenizer, text_options_);
    if (options_.sampling.logprobs >= 0) {
      choice.logprobs.emplace(FormOf(kind_), tokenizer, options_.return_tokens_as_token_ids, options_.sampling.logprobs);
    }
  }
  for (PromptState& prompt : prompts_) {
    prompt.unfinished = options_.n;
    usage_.prompt_tokens += static_cast<int64_t>(prompt.ids.size());
  }
  unfinished_ = static_cast<int>(choices_.size());
  opened_ = options_.resume.has_value();
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
  request.constraint = constraint_;
  request.prompt_logprobs = PromptLogprobs();
  request.cache_salt = options_.cache_salt.empty() ? context().api_key_id : absl::StrCat(context().api_key_id, "/", options_.cache_salt);
  if (options_.resume.has_value()) request.output = *options_.resume;
  request.prefill_peer = context().prefill_peer;
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
  {
    std::lock_guard lock(inbox_mutex_);
    events_.swap(inbox_);
    drain_posted_ = false;
  }
  const bool goes_on = std::all_of(events_.begin(), events_.end(), [&](const auto& arrived) { return Take(sink, arrived.first, arrived.second); });
  events_.clear();
  if (!goes_on) return;
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
    SendError(sink, EndStatus(event));
    OnEnd(false);
    return false;
  }
  if (!choice.begun) Begin(prompt, event, choice);
  const size_t tokens_before = static_cast<size_t>(choice.output_tokens);
  AddTokens(event, choice);
  if (choice.text != nullptr && choice.text->matched_stop().has_value()) {
    FinishByStopString(prompt, event.index, choice);
  } else if (event.finish != FinishReason::kNone) {
    choice.part.finish = drop_output_ ? FinishReason::kLength : event.finish;
    choice.done = true;
  }
  if (choice.done) {
    if (choice.text != nullptr && !drop_output_) choice.text->Finish(choice.part.finish == FinishReason::kLength, &choice.part);
    const bool named = options_.output.tool_choice.kind == ToolChoice::Kind::kNamed;
    choice.part.ends_in_calls = choice.text != nullptr && choice.text->called_tools() && !named;
    --unfinished_;
    --prompts_[prompt].unfinished;
    if (event.index == 0 && prompt == 0) progress_.finish = choice.part.finish;
  }
  const bool wanted = (choice.logprobs.has_value() || options_.return_token_ids) && static_cast<size_t>(choice.output_tokens) > tokens_before;
  if (options_.stream && (choice.done || wanted || choice.part.has_news())) SendPart(sink, choice);
  return true;
}

// A choice's first tokens have come: what the prompt gives it.
void GenerateCall::Begin(int prompt, const TokenEvent& event, Choice& choice) {
  choice.begun = true;
  PromptState& state = prompts_[prompt];
  usage_.cached_tokens += std::max(0, event.cached_tokens - state.cached_tokens);
  state.cached_tokens = std::max(state.cached_tokens, event.cached_tokens);
  progress_.cached_tokens = static_cast<int>(usage_.cached_tokens);
  if (options_.resume.has_value()) return Replay(choice);
  if (kind_ == ApiKind::kCompletion && options_.return_token_ids) choice.part.prompt_token_ids = state.ids;
  if (state.logprobs.empty()) state.logprobs = event.prompt_logprobs;
  if (options_.prompt_logprobs.has_value() && (kind_ == ApiKind::kCompletion || choice.part.index == 0)) {
    const int top = *options_.prompt_logprobs < 0 ? PromptLogprobs() : *options_.prompt_logprobs;
    choice.part.prompt_logprobs = PromptLogprobsJson(state.ids, state.logprobs, top, model_.text.tokenizer.get());
  }
  if (!echo_) return;
  choice.part.text = state.echo;
  if (!choice.logprobs.has_value()) return;
  choice.logprobs->Add(state.ids[0], nullptr);
  for (size_t i = 1; i < state.ids.size(); ++i) {
    choice.logprobs->Add(state.ids[i], i - 1 < state.logprobs.size() ? &state.logprobs[i - 1] : nullptr);
  }
}

// What was told elsewhere goes through the choice's text, so that it goes on as it would have, and is not told again.
void GenerateCall::Replay(Choice& choice) {
  TokenEvent told;
  told.tokens.assign(options_.resume->begin(), options_.resume->end());
  for (size_t i = 0; i < told.tokens.size(); ++i) AddToken(told, i, choice);
  choice.part.text.clear();
  choice.part.reasoning.clear();
  choice.part.tool_calls.clear();
  choice.part.token_ids.clear();
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
  const bool of_message = kind_ == ApiKind::kResponses && choice.text != nullptr;  // whose logprobs leave out the reasoning's
  const bool shown = !of_message || !choice.text->in_reasoning();
  if (shown && choice.logprobs.has_value() && i < event.logprobs.size()) choice.logprobs->Add(id, &event.logprobs[i]);
  const bool stops = event.finish == FinishReason::kStop && event.stop_token >= 0 && i + 1 == event.tokens.size();
  if (stops) {
    const auto& asked = options_.stop_token_ids;
    if (std::find(asked.begin(), asked.end(), event.stop_token) != asked.end()) choice.part.stop_reason = absl::StrCat(event.stop_token);
  }
  if (choice.text == nullptr || (stops && !options_.include_stop_str_in_output)) return true;
  if (choice.text->in_reasoning()) ++usage_.reasoning_tokens;
  choice.text->Push(id, &choice.part);
  if (of_message && choice.logprobs.has_value() && choice.text->in_reasoning()) choice.logprobs->Take();
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

void GenerateCall::SendPart(ReplySink& sink, Choice& choice) {
  const ReplyWriter::Emit emit = EmitTo(sink);
  if (!std::exchange(opened_, true)) writer_->Begin(usage_, emit);
  if (choice.logprobs.has_value()) choice.part.logprobs = choice.logprobs->Take();
  writer_->Part(choice.part, usage_, emit);
  choice.part.text.clear();
  choice.part.reasoning.clear();
  choice.part.tool_calls.clear();
  choice.part.token_ids.clear();
  choice.part.prompt_token_ids.clear();
}

void GenerateCall::SendEnd(ReplySink& sink) {
  if (options_.stream) {
    writer_->End(usage_, EmitTo(sink));
    return sink.OnDone();
  }
  std::vector<ChoicePart> parts;
  parts.reserve(choices_.size());
  for (Choice& choice : choices_) {
    if (choice.logprobs.has_value()) choice.part.logprobs = choice.logprobs->Take();
    parts.push_back(std::move(choice.part));
  }
  sink.OnReply(writer_->Whole(parts, usage_));
}

void GenerateCall::SendError(ReplySink& sink, const absl::Status& status) {
  if ((opened_ || background_) && writer_->Fail(status, usage_, EmitTo(sink))) return sink.OnBroken(status);
  sink.OnError(status);
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
