#include "engine/engine_loop.h"

#include <unistd.h>

#include <algorithm>

#include "kernels/base/log.h"

namespace braid {
namespace {

constexpr std::chrono::milliseconds kFailureGrace{500};  // between the last words and the process's end
constexpr size_t kInboxCapacity = 1 << 20;
constexpr int kMaxChoices = 128;
// How long the loop may sleep while sequences wait for something other than a message: their deadlines.
constexpr std::chrono::milliseconds kDeadlinePoll{20};

SchedulerLimits LimitsOf(const RunnerShape& shape, const EngineInfo& info) {
  return {.num_blocks = shape.num_blocks,
          .num_state_slots = shape.num_state_slots,
          .max_model_len = info.max_model_len};
}

FinishReason FinishOf(EndReason reason) {
  switch (reason) {
    case EndReason::kStop: return FinishReason::kStop;
    case EndReason::kLength: return FinishReason::kLength;
    case EndReason::kCancelled:
    case EndReason::kDeadline: return FinishReason::kAbort;
    case EndReason::kFailed: return FinishReason::kError;
  }
  CHECK(false) << static_cast<int>(reason);
}

TokenLogprobs LogprobsOf(SampledRow row) { return {.logprob = row.logprob, .top = std::move(row.top), .rank = row.rank}; }

}  // namespace

EngineLoop::EngineLoop(const EngineConfig& config, EngineInfo info, std::unique_ptr<Backend> backend,
                       LoadedModel loaded, const RunnerShape& shape, std::unique_ptr<ModelRunner> runner,
                       std::unique_ptr<RankGroup> ranks, const Clock* clock)
    : config_(config),
      info_(std::move(info)),
      clock_(clock),
      backend_(std::move(backend)),
      loaded_(std::move(loaded)),
      scheduler_(config.scheduler, LimitsOf(shape, info_)),
      runner_(std::move(runner)),
      ranks_(std::move(ranks)),
      spec_of_([this](SequenceId id) -> const SamplingSpec* {
        const auto found = sequences_.find(id);
        return found == sequences_.end() ? nullptr : &found->second.spec;
      }),
      image_of_([this](SequenceId id) { return sequences_.at(id).image; }),
      watchdog_(clock, static_cast<int64_t>(config.step_timeout_s * 1e9), [this](SequenceId id) { return NameOf(id); }),
      inbox_(kInboxCapacity),
      draft_length_(config.scheduler.max_drafts) {
  ShowStats(false);
  backend_->OnFailure([this](const absl::Status& why) { TellFailure(why); });
  if (ranks_ != nullptr) ranks_->OnLost([this](const absl::Status& why) { inbox_.Put(RankLostMessage{why}); });
  thread_ = std::thread([this] { Run(); });
}

EngineLoop::~EngineLoop() {
  inbox_.Close();
  thread_.join();
  if (ranks_ == nullptr) return;
  ranks_->OnLost(nullptr);
  ranks_->Stop();
}

absl::Status EngineLoop::CheckRequest(const GenerateRequest& request) const {
  if (request.prompt.empty()) return absl::InvalidArgumentError("prompt: has no tokens");
  for (int32_t id : request.prompt) {
    if (id >= 0 && id < info_.vocab_size) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("prompt: token id ", id, " is not in 0..", info_.vocab_size - 1));
  }
  if (request.n < 1 || request.n > kMaxChoices) {
    return absl::InvalidArgumentError(absl::StrCat("n: ", request.n, " is not in 1..", kMaxChoices));
  }
  if (request.max_tokens < 1) {
    return absl::InvalidArgumentError(absl::StrCat("max_tokens: ", request.max_tokens, " is below 1"));
  }
  if (request.min_tokens < 0 || request.min_tokens > request.max_tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("min_tokens: ", request.min_tokens, " is not in 0..max_tokens (", request.max_tokens, ")"));
  }
  RETURN_IF_ERROR(request.sampling.Validate(info_.vocab_size));
  const int top = request.prompt_logprobs;
  if (top < -1 || (top > kMaxTopLogprobs && top != info_.vocab_size)) {
    return absl::InvalidArgumentError(absl::StrCat("prompt_logprobs: ", top, " is not in -1..", kMaxTopLogprobs,
                                                   ", nor the size of the vocabulary (", info_.vocab_size, ")"));
  }
  RETURN_IF_ERROR(CheckBegun(request));
  return scheduler_.CanEverRun(static_cast<int64_t>(request.prompt.size()), request.max_tokens);
}

// What a sequence that began elsewhere brings.
absl::Status EngineLoop::CheckBegun(const GenerateRequest& request) const {
  const auto wrong = [](auto... words) { return absl::InvalidArgumentError(absl::StrCat(words...)); };
  const bool begun = !request.output.empty() || request.image != nullptr;
  if ((begun || request.hold) && request.n != 1) return wrong("n: ", request.n, " sequences cannot share a beginning");
  if (begun && request.prompt_logprobs >= 0) return wrong("prompt_logprobs: those of a prompt computed elsewhere are not known");
  for (int32_t id : request.output) {
    if (id < 0 || id >= info_.vocab_size) return wrong("output: token id ", id, " is not in 0..", info_.vocab_size - 1);
  }
  const int64_t num_output = static_cast<int64_t>(request.output.size());
  if (num_output >= request.max_tokens) {
    return wrong("output: ", num_output, " tokens leave nothing of max_tokens (", request.max_tokens, ")");
  }
  if (ranks_ != nullptr && (request.image != nullptr || request.hold)) {
    return absl::UnimplementedError("--tensor-parallel: prompts are not handed over between groups of ranks");
  }
  if (request.image == nullptr) return absl::OkStatus();
  const int64_t num_known = static_cast<int64_t>(request.prompt.size()) + num_output;
  const int32_t computed = request.image->computed;
  if (computed < 1 || computed >= num_known) return wrong("image: ", computed, " positions of ", num_known, " tokens");
  const int64_t bytes = runner_->memory().layout().ImageBytes(computed);
  if (static_cast<int64_t>(request.image->bytes.size()) == bytes) return absl::OkStatus();
  return wrong("image: ", request.image->bytes.size(), " bytes for ", computed, " positions, which take ", bytes);
}

absl::Status EngineLoop::Check(const GenerateRequest& request) const {
  RETURN_IF_ERROR(CheckRequest(request));
  return draining_ ? absl::UnavailableError("the server is draining") : absl::OkStatus();
}

// What has begun elsewhere is let in past a full queue: its client has tokens already.
absl::StatusOr<RequestHandle> EngineLoop::Submit(GenerateRequest request) {
  RETURN_IF_ERROR(Check(request));
  const int limit = config_.max_queue > 0 ? config_.max_queue : 4 * config_.scheduler.max_sequences;
  const int n = request.n;
  const bool begun = !request.output.empty() || request.image != nullptr;
  if (!begun && queued_.load() + n > limit) {
    return absl::UnavailableError(absl::StrCat("the queue is full: ", limit, " sequences are waiting"));
  }
  queued_ += n;
  inbox_sequences_ += n;
  ++in_flight_;
  const RequestHandle handle = next_handle_++;
  if (inbox_.Put(SubmitMessage{handle, std::move(request)}) == PutResult::kPut) return handle;
  queued_ -= n;
  inbox_sequences_ -= n;
  --in_flight_;
  return absl::UnavailableError("the engine is stopping");
}

EngineStats EngineLoop::Stats() const {
  std::lock_guard lock(stats_mutex_);
  return shown_;
}

void EngineLoop::Run() {
  while (!inbox_.closed()) Step();
}

// What design and README call the step loop. The CPU waits for each step's tokens before it plans the next (depth 0).
void EngineLoop::Step() {
  Publish(scheduler_.Apply(TakeInbox(), clock_->NowNs()), {});
  const StepPlan plan = scheduler_.Plan();
  queued_ = inbox_sequences_ + scheduler_.Stats().waiting;
  if (plan.empty()) {
    ShowStats(false);
    if (scheduler_.HasWork()) return inbox_.WaitFor(kDeadlinePoll);
    return inbox_.Wait();
  }
  ShowStats(true);
  const int64_t start_ns = clock_->NowNs();
  watchdog_.Begin(plan);
  if (ranks_ != nullptr) ranks_->Step(plan, spec_of_);
  runner_->Draft(plan, spec_of_, image_of_);
  DropLoaded(plan);
  const int64_t drafted_ns = clock_->NowNs();
  runner_->Forward(plan, spec_of_);
  std::vector<RowOutput> outputs = runner_->Sample(spec_of_);
  watchdog_.End();
  CountStep(plan);
  const int64_t end_ns = clock_->NowNs();
  step_cost_.Observe(plan.num_tokens(), 1e-9 * static_cast<double>(end_ns - drafted_ns));
  DraftedStep drafted = CountDrafts(plan, outputs);
  drafted.seconds = 1e-9 * static_cast<double>(end_ns - start_ns);
  if (config_.adapt_drafts) draft_length_.Observe(drafted);
  const StepResult result = ResultOf(plan.epoch, outputs);
  Publish(scheduler_.Commit(result), outputs);
}

std::vector<SchedulerEvent> EngineLoop::TakeInbox() {
  std::vector<SchedulerEvent> events = {step_cost_.cost()};
  AddDrafts(&events);
  for (Message& message : inbox_.TakeAll()) {
    std::visit([&](auto& m) { Take(std::move(m), &events); }, message);
  }
  return events;
}

void EngineLoop::Take(SubmitMessage message, std::vector<SchedulerEvent>* events) {
  GenerateRequest& request = message.request;
  inbox_sequences_ -= request.n;
  std::vector<int32_t> end_ids = request.stop_token_ids;
  const bool may_have_to_end = request.constraint != nullptr && request.constraint->grammar != nullptr;
  if (!request.ignore_eos || may_have_to_end) {
    end_ids.insert(end_ids.end(), info_.eos_token_ids.begin(), info_.eos_token_ids.end());
  }
  LiveRequest live{.request = {}, .sequences = {}, .unfinished = request.n};
  for (int index = 0; index < request.n; ++index) {
    const SequenceId id = next_sequence_++;
    live.sequences.push_back(id);
    LiveSequence& sequence = sequences_[id];
    sequence = {.request = message.handle,
                .index = index,
                .spec = {.params = request.sampling,
                         .stream = static_cast<uint32_t>(index),
                         .min_tokens = request.min_tokens,
                         .end_ids = end_ids,
                         .prompt_logprobs = request.prompt_logprobs}};
    if (request.constraint != nullptr) {
      sequence.constraint = std::make_unique<LookaheadConstraint>(request.constraint, info_.vocab_size);
      sequence.spec.constraint = sequence.constraint.get();
    }
    if (speculates()) sequence.drafter = DrafterFor(request);
    for (const int32_t token : request.output) {
      if (sequence.constraint != nullptr) sequence.constraint->Commit(token);
      if (sequence.drafter != nullptr) sequence.drafter->Append(token);
    }
    sequence.image = request.image;
    if (request.prompt_logprobs >= 0) sequence.prompt_logprobs.resize(request.prompt.size() - 1);
    events->push_back(SequenceArrival{.id = id,
                                      .prompt = request.prompt,
                                      .output = request.output,
                                      .max_tokens = request.max_tokens,
                                      .min_tokens = request.min_tokens,
                                      .stop_token_ids = end_ids,
                                      .priority = request.priority,
                                      .arrival_ns = request.arrival_ns,
                                      .deadline_ns = request.deadline_ns,
                                      .cache_salt = request.cache_salt,
                                      .computes_all = request.prompt_logprobs >= 0,
                                      .num_loaded = request.image != nullptr ? request.image->computed : 0,
                                      .holds = request.hold});
  }
  request.image = nullptr;
  live.request = std::move(request);
  requests_.emplace(message.handle, std::move(live));
}

// Null: the draft head guesses.
std::unique_ptr<Drafter> EngineLoop::DrafterFor(const GenerateRequest& request) const {
  if (config_.make_drafter) return config_.make_drafter(request.prompt);
  if (loaded_.draft_head != nullptr) return nullptr;
  return std::make_unique<NgramDrafter>(request.prompt);
}

// What the next decodes may carry.
void EngineLoop::AddDrafts(std::vector<SchedulerEvent>* events) {
  num_drafts_ = config_.scheduler.max_drafts;
  if (config_.adapt_drafts) num_drafts_ = draft_length_.Choose(static_cast<int>(undrafted_.size()));
  for (const SequenceId id : std::exchange(undrafted_, {})) {
    const auto found = sequences_.find(id);
    if (found == sequences_.end() || num_drafts_ == 0) continue;
    SequenceDrafts drafts = DraftsFor(id, found->second);
    if (drafts.count > 0) events->push_back(std::move(drafts));
  }
}

// The draft head's are left to the ranks: it guesses under the masks.
SequenceDrafts EngineLoop::DraftsFor(SequenceId id, LiveSequence& sequence) const {
  SequenceDrafts drafts{.id = id, .count = num_drafts_, .tokens = {}};
  if (sequence.drafter == nullptr) return drafts;
  drafts.tokens = sequence.drafter->Propose(num_drafts_);
  if (sequence.constraint != nullptr) sequence.constraint->Shape(num_drafts_, &drafts.tokens);
  drafts.count = static_cast<int>(drafts.tokens.size());
  return drafts;
}

void EngineLoop::Take(const CancelMessage& message, std::vector<SchedulerEvent>* events) {
  const auto found = requests_.find(message.handle);
  if (found == requests_.end()) return;
  const std::vector<SequenceId> sequences = found->second.sequences;
  for (int index = 0; index < static_cast<int>(sequences.size()); ++index) {
    if (message.index != kAllChoices && message.index != index) continue;
    if (!sequences_.contains(sequences[index])) continue;
    events->push_back(SequenceCancel{sequences[index]});
    if (message.index == index) End(sequences[index]);
  }
}

void EngineLoop::Take(const AbortMessage& message, std::vector<SchedulerEvent>* events) {
  abort_reason_ = message.why;
  for (const auto& [id, sequence] : sequences_) events->push_back(SequenceCancel{id});
}

void EngineLoop::Take(const ResetMessage&, std::vector<SchedulerEvent>* events) {
  events->push_back(ResetPrefixCache{});
}

void EngineLoop::Take(const ReleaseMessage& message, std::vector<SchedulerEvent>* events) {
  events->push_back(SequenceRelease{message.id});
}

// Between steps; within one the backend notices.
void EngineLoop::Take(const RankLostMessage& message, std::vector<SchedulerEvent>*) {
  TellFailure(message.why);
  _exit(kRankLostExit);
}

// After a preemption all of it is computed here.
void EngineLoop::DropLoaded(const StepPlan& plan) {
  for (const RowAdmission& admission : plan.admitted) {
    if (admission.loads) sequences_.at(admission.id).image = nullptr;
  }
}

// Splits the rows' outputs: tokens for the scheduler, logprobs of the prompt for their sequences.
StepResult EngineLoop::ResultOf(uint64_t epoch, std::vector<RowOutput>& outputs) {
  StepResult result{.epoch = epoch, .results = {}};
  for (RowOutput& output : outputs) {
    if (output.where.samples) {
      result.results.push_back({output.where.row, output.where.id, output.sampled.token});
      continue;
    }
    const auto found = sequences_.find(output.where.id);
    if (found == sequences_.end() || found->second.prompt_logprobs.empty()) continue;
    found->second.prompt_logprobs[output.where.position] = LogprobsOf(std::move(output.sampled));
  }
  return result;
}

// Tells each sequence all that the step gave it at once; the outputs of its tokens stand one behind the other.
void EngineLoop::Publish(const std::vector<Committed>& committed, const std::vector<RowOutput>& outputs) {
  std::span<const RowOutput> behind(outputs);  // in the order of what was committed, with rows between that gave nothing
  for (std::span<const Committed> rest(committed); !rest.empty();) {
    const auto other = [&](const Committed& one) { return one.id != rest[0].id; };
    const size_t count = std::find_if(rest.begin(), rest.end(), other) - rest.begin();
    const auto of_it = [&](const RowOutput& output) { return output.where.samples && output.where.id == rest[0].id; };
    behind = behind.subspan(std::find_if(behind.begin(), behind.end(), of_it) - behind.begin());
    Tell(rest.first(count), behind);
    rest = rest.subspan(count);
  }
}

// Sends the sequence's event to its request and forgets the sequence if it has ended. `outputs` begins with those of
// the tokens, unless empty.
void EngineLoop::Tell(std::span<const Committed> news, std::span<const RowOutput> outputs) {
  const SequenceId id = news[0].id;
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;  // a choice that its caller has left
  LiveSequence& sequence = found->second;
  const SequenceInfo info = scheduler_.Info(id);
  TokenEvent event{.index = sequence.index,
                   .cached_tokens = info.cached_tokens,
                   .scheduled_ns = info.first_scheduled_ns,
                   .emitted_ns = clock_->NowNs(),
                   .num_preemptions = info.num_preemptions};
  for (size_t i = 0; i < news.size(); ++i) {
    if (news[i].token >= 0) AddToken(news[i].token, outputs.subspan(std::min(i, outputs.size())), sequence, &event);
  }
  const bool ended = news.back().ended;
  if (ended) {
    AddEnd(news.back(), sequence, &event);
    if (requests_.at(sequence.request).request.hold) event.held = HeldOf(id);
  } else if (speculates()) {
    undrafted_.push_back(id);
  }
  requests_.at(sequence.request).request.on_event(std::move(event));
  if (ended) End(id);
}

void EngineLoop::AddToken(int32_t token, std::span<const RowOutput> outputs, LiveSequence& sequence,
                          TokenEvent* event) {
  ++totals_.generated_tokens;
  if (sequence.constraint != nullptr) sequence.constraint->Commit(token);
  if (sequence.drafter != nullptr) sequence.drafter->Append(token);
  event->tokens.push_back(token);
  if (sequence.spec.params.logprobs >= 0 && !outputs.empty()) {
    event->logprobs.push_back(LogprobsOf(outputs[0].sampled));
  }
  if (event->prompt_logprobs.empty()) event->prompt_logprobs = std::exchange(sequence.prompt_logprobs, {});
}

void EngineLoop::AddEnd(const Committed& last, const LiveSequence& sequence, TokenEvent* event) const {
  event->finish = FinishOf(last.reason);
  if (last.reason == EndReason::kStop) event->stop_token = last.token;
  if (last.reason == EndReason::kCancelled) event->error = abort_reason_;
  if (last.reason == EndReason::kDeadline) event->error = absl::DeadlineExceededError("the deadline has passed");
  if (last.reason == EndReason::kFailed) {
    event->error = absl::InternalError("numerical_error: the logits of this sequence are not finite");
    Log(LogLevel::kError, "logits are not finite", {{"request", requests_.at(sequence.request).request.id}});
  }
}

// Null where nothing is left of it.
std::shared_ptr<const HeldPrompt> EngineLoop::HeldOf(SequenceId id) {
  std::optional<HeldSequence> held = scheduler_.Held(id);
  if (!held.has_value()) return nullptr;
  return std::make_shared<HeldPrompt>(&runner_->memory(), *std::move(held), [this, id] { inbox_.Put(ReleaseMessage{id}); });
}

// Thread: the watchdog's, during a step, which leaves both tables as they are.
std::string EngineLoop::NameOf(SequenceId id) const {
  const auto sequence = sequences_.find(id);
  if (sequence == sequences_.end()) return "left";
  return absl::StrCat(requests_.at(sequence->second.request).request.id, "[", sequence->second.index, "]");
}

void EngineLoop::End(SequenceId id) {
  const auto sequence = sequences_.find(id);
  const auto request = requests_.find(sequence->second.request);
  sequences_.erase(sequence);
  if (--request->second.unfinished > 0) return;
  requests_.erase(request);
  --in_flight_;
}

// The process is about to end: every answer under way ends first, with time for it to be sent.
void EngineLoop::TellFailure(const absl::Status& why) {
  for (const auto& [id, sequence] : sequences_) {
    requests_.at(sequence.request)
        .request.on_event({.index = sequence.index, .finish = FinishReason::kError, .error = why});
  }
  if (!sequences_.empty()) std::this_thread::sleep_for(kFailureGrace);
}

void EngineLoop::CountStep(const StepPlan& plan) {
  const int tokens = plan.num_tokens();
  ++totals_.steps;
  totals_.step_tokens_sum += tokens;
  for (size_t i = 0; i < std::size(EngineStats::kStepTokenBounds); ++i) {
    if (tokens <= EngineStats::kStepTokenBounds[i]) ++totals_.step_tokens_at_most[i];
  }
  for (const SequenceStep& step : plan.steps) {
    if (step.prefill) totals_.prompt_tokens_computed += step.num_tokens;
  }
}

// Every sampled output behind the first of its sequence is owed to a draft.
DraftedStep EngineLoop::CountDrafts(const StepPlan& plan, const std::vector<RowOutput>& outputs) {
  DraftedStep drafted{.drafts = num_drafts_, .fixed_tokens = step_cost_.cost().fixed_tokens};
  SpeculationCounters& counters = totals_.speculation;
  for (const SequenceStep& step : plan.steps) {
    counters.steps += step.num_drafts > 0;
    counters.draft_tokens += step.num_drafts;
    drafted.alone = drafted.alone && !step.prefill;
    drafted.decodes += !step.prefill && speculates() && sequences_.contains(step.id);
  }
  for (size_t i = 1, place = 0; i < outputs.size(); ++i) {
    const LogitRow &before = outputs[i - 1].where, &here = outputs[i].where;
    const bool accepted = before.samples && here.samples && before.id == here.id;
    place = accepted ? place + 1 : 0;
    counters.accepted_tokens += accepted;
    if (!accepted) continue;
    ++counters.accepted_at[place - 1];
    ++drafted.accepted_at[place - 1];
  }
  return drafted;
}

void EngineLoop::ShowStats(bool busy) {
  const SchedulerStats now = scheduler_.Stats();
  totals_.running = now.running;
  totals_.waiting = now.waiting;
  totals_.blocks_used = now.blocks_used;
  totals_.blocks_total = now.blocks_total;
  totals_.blocks_cached = now.blocks_cached;
  totals_.state_slots_used = now.state_slots_used;
  totals_.state_slots_total = now.state_slots_total;
  totals_.snapshots = now.snapshots;
  totals_.preemptions = now.preemptions;
  totals_.prefix = now.prefix;
  totals_.busy = busy;
  totals_.shown_ns = clock_->NowNs();
  std::lock_guard lock(stats_mutex_);
  shown_ = totals_;
}

}  // namespace braid
