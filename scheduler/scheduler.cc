#include "scheduler/scheduler.h"

#include <algorithm>

#include "kernels/base/errors.h"

namespace braid {

Scheduler::Scheduler(const SchedulerConfig& config, const SchedulerLimits& limits)
    : config_(config),
      limits_(limits),
      blocks_(limits.num_blocks),
      slots_(limits.num_state_slots),
      prefix_cache_(config.block_size, limits.num_state_slots > 0, config.prefix_cache ? limits.num_blocks : 0),
      caches_prefixes_(config.prefix_cache && limits.num_blocks > 0),
      takes_snapshots_(caches_prefixes_ && limits.num_state_slots > 0) {
  CHECK_GT(config.max_tokens_per_step, 0);
  CHECK_GT(config.max_sequences, 0);
  CHECK_GT(config.block_size, 0);
  CHECK_GT(config.state_grid, 0);
  CHECK_GT(limits.max_model_len, 0);
  CHECK_GE(config.max_drafts, 0);
  // Every running sequence may decode in every step, so more rows than the budget would starve some.
  const int num_rows = std::min(config.max_sequences, config.max_tokens_per_step);
  rows_.resize(num_rows);
  for (int32_t row = num_rows - 1; row >= 0; --row) free_rows_.push_back(row);
}

int Scheduler::BlocksFor(int64_t num_tokens) const {
  if (limits_.num_blocks == 0) return 0;
  return static_cast<int>((num_tokens + config_.block_size - 1) / config_.block_size);
}

absl::Status Scheduler::CanEverRun(int64_t prompt_tokens, int64_t max_tokens) const {
  if (prompt_tokens < 1) return absl::InvalidArgumentError("the prompt is empty; it needs at least one token");
  if (max_tokens < 1) return absl::InvalidArgumentError(absl::StrCat("max_tokens is ", max_tokens, "; the least is 1"));
  const int64_t context = limits_.max_model_len;
  if (prompt_tokens > context || max_tokens > context - prompt_tokens) {
    return absl::InvalidArgumentError(absl::StrCat("prompt (", prompt_tokens, " tokens) and max_tokens (", max_tokens,
                                                   ") exceed the context of ", context, " tokens"));
  }
  const int64_t memory = static_cast<int64_t>(limits_.num_blocks) * config_.block_size;
  if (limits_.num_blocks > 0 && prompt_tokens + max_tokens > memory) {
    return absl::InvalidArgumentError(absl::StrCat("prompt (", prompt_tokens, " tokens) and max_tokens (", max_tokens,
                                                   ") exceed the cache of ", limits_.num_blocks, " blocks of ",
                                                   config_.block_size, " tokens"));
  }
  return absl::OkStatus();
}

// ---- Apply: what happened outside

std::vector<Committed> Scheduler::Apply(std::vector<SchedulerEvent> events, int64_t now_ns) {
  ForgetEnded();
  now_ns_ = now_ns;
  std::vector<Committed> ended;
  for (SchedulerEvent& event : events) {
    if (auto* arrival = std::get_if<SequenceArrival>(&event)) {
      Arrive(std::move(*arrival), &ended);
    } else if (const auto* cost = std::get_if<StepCost>(&event)) {
      fixed_tokens_ = cost->fixed_tokens;
    } else if (std::holds_alternative<ResetPrefixCache>(event)) {
      prefix_cache_.Reset();
    } else if (auto* drafts = std::get_if<SequenceDrafts>(&event)) {
      TakeDrafts(std::move(*drafts));
    } else if (const auto* release = std::get_if<SequenceRelease>(&event)) {
      held_.erase(release->id);
      ++num_releases_;
    } else {
      Cancel(std::get<SequenceCancel>(event).id, &ended);
    }
  }
  EndOverdue(&ended);
  ShortenRunning();
  return ended;
}

void Scheduler::Arrive(SequenceArrival arrival, std::vector<Committed>* ended) {
  const int64_t prompt_tokens = static_cast<int64_t>(arrival.prompt.size());
  const int64_t num_known = prompt_tokens + static_cast<int64_t>(arrival.output.size());
  const bool has_room = arrival.max_tokens > static_cast<int64_t>(arrival.output.size()) && CanEverRun(num_known, 1).ok();
  if (!has_room || prompt_tokens < 1 || arrival.num_loaded < 0 || arrival.num_loaded >= num_known) {
    ended->push_back({.id = arrival.id, .ended = true, .reason = EndReason::kFailed});
    return;
  }
  int64_t max_length = std::min<int64_t>(prompt_tokens + arrival.max_tokens, limits_.max_model_len);
  if (limits_.num_blocks > 0) {
    max_length = std::min(max_length, static_cast<int64_t>(limits_.num_blocks) * config_.block_size);
  }
  const int priority = config_.policy == Policy::kPriority ? arrival.priority : 0;
  const SequenceOrder order = {.priority = priority, .arrival_ns = arrival.arrival_ns, .ticket = num_arrivals_++};
  const SequenceId id = arrival.id;
  auto sequence = std::make_unique<Sequence>(std::move(arrival), order, static_cast<int32_t>(max_length));
  if (sequence->deadline_ns != 0) deadlines_.emplace(sequence->deadline_ns, id);
  waiting_.Add(*sequence);
  const bool is_new = sequences_.emplace(id, std::move(sequence)).second;
  CHECK(is_new) << "sequence id " << id << " used twice";
}

void Scheduler::Cancel(SequenceId id, std::vector<Committed>* ended) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end() || found->second->status == SequenceStatus::kEnded) return;
  End(*found->second);
  ended->push_back({.id = id, .ended = true, .reason = EndReason::kCancelled});
}

void Scheduler::EndOverdue(std::vector<Committed>* ended) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_ns_) {
    const SequenceId id = deadlines_.begin()->second;
    End(*sequences_.at(id));
    ended->push_back({.id = id, .ended = true, .reason = EndReason::kDeadline});
  }
}

// What it computed outlives it; only its row is retired. No launched step goes on from its last token: it was full.
void Scheduler::Keep(Sequence& sequence) {
  CHECK_EQ(sequence.num_computed, sequence.num_known() - 1) << "sequence " << sequence.id;
  held_.emplace(sequence.id, Keepsake{sequence.num_computed, std::exchange(sequence.blocks, {}),
                                      std::exchange(sequence.prefix, {}), std::exchange(sequence.state_slot, {})});
}

// Takes the sequence out of all but sequences_, and running_, which ShortenRunning clears for many at once.
void Scheduler::End(Sequence& sequence) {
  if (sequence.deadline_ns != 0) deadlines_.erase({sequence.deadline_ns, sequence.id});
  if (sequence.status == SequenceStatus::kWaiting) {
    waiting_.Remove(sequence);
  } else {
    Retire(sequence);
    running_has_ended_ = true;
  }
  if (sequence.row >= 0) rows_[std::exchange(sequence.row, -1)] = nullptr;  // drops results still to come
  sequence.status = SequenceStatus::kEnded;
  ended_.push_back(sequence.id);
}

void Scheduler::ShortenRunning() {
  if (!std::exchange(running_has_ended_, false)) return;
  std::erase_if(running_, [](const Sequence* sequence) { return sequence->status == SequenceStatus::kEnded; });
}

void Scheduler::ForgetEnded() {
  for (const SequenceId id : ended_) sequences_.erase(id);
  ended_.clear();
}

// ---- Plan: who runs next

StepPlan Scheduler::Plan() {
  CHECK_LE(launched_.size(), 1u) << "plans uncommitted";
  Building step{.tokens_left = config_.max_tokens_per_step};
  step.plan.epoch = last_epoch_ + 1;
  step.plan.steps.reserve(rows_.size());
  PlanDecodes(step);
  BoundStall(step);
  PlanChunks(step);
  PlanAdmissions(step);
  PlanDrafts(step);
  if (step.plan.empty()) return {};  // released rows wait for a plan that is launched
  PlanSnapshots(step);
  step.plan.released_rows = std::exchange(released_rows_, {});
  last_epoch_ = step.plan.epoch;
  launched_.push_back({step.plan.epoch, step.num_samples, step.num_drafts, std::move(step.filled)});
  return std::move(step.plan);
}

void Scheduler::PlanDecodes(Building& step) {
  for (size_t i = 0; i < running_.size(); ++i) {  // a preemption shortens running_ from its end, never before i
    Sequence& sequence = *running_[i];
    if (sequence.prefilling() || sequence.full() || sequence.drafts_in_flight > 0) continue;
    if (GrowForDecode(sequence, step)) AddStep(sequence, 1, step);
  }
}

// Makes sure that the next position has a block; preempts from the end of running_ while there is none. False: the
// sequence must sit this step out, since it was preempted itself or the block is still touched by a launched step.
bool Scheduler::GrowForDecode(Sequence& sequence, Building& step) {
  if (BlocksFor(sequence.num_computed + 1) <= static_cast<int>(sequence.blocks.size())) return true;
  while (blocks_.num_free() == 0 && prefix_cache_.num_idle() == 0) {
    if (step.blocks_awaited < retiring_blocks_) {
      ++step.blocks_awaited;
      return false;
    }
    Preempt(*running_.back());
    if (sequence.status != SequenceStatus::kRunning) return false;
  }
  sequence.blocks.push_back(TakeBlock());
  step.plan.new_blocks.push_back({sequence.row, {sequence.blocks.back().id()}});
  return true;
}

// A step of n decodes costs fixed + n; c prompt tokens beside them make it fixed + n + c <= max_stall (fixed + n).
void Scheduler::BoundStall(Building& step) {
  const double decodes = static_cast<double>(step.plan.steps.size());
  if (decodes == 0 || config_.max_stall == 0 || config_.chunked_prefill != ChunkedPrefill::kOn) return;
  const double bound = std::max(1.0, (config_.max_stall - 1) * (fixed_tokens_ + decodes));
  if (bound < step.tokens_left) step.tokens_left = static_cast<int>(bound);
}

void Scheduler::PlanChunks(Building& step) {
  for (Sequence* sequence : running_) {
    if (step.tokens_left <= 0) return;
    if (sequence->prefilling()) AddChunk(*sequence, step);
  }
}

void Scheduler::PlanAdmissions(Building& step) {
  const bool fixed_batch = config_.batching == Batching::kStatic;
  if (fixed_batch && running_.empty()) {
    batch_open_ = true;
    batch_size_ = 0;
  }
  if (fixed_batch && !batch_open_) return;
  while (!waiting_.empty() && HasPlaceFor(waiting_.front())) {
    if (fixed_batch && batch_size_ == num_rows()) break;
    if (!BudgetAllows(waiting_.front(), step)) return;  // an open batch goes on filling in the next step
    Admit(waiting_.front(), step);
  }
  batch_open_ = false;
}

bool Scheduler::HasPlaceFor(const Sequence& sequence) {
  return sequence.row < 0 && !free_rows_.empty() && HasStateSlot() && FitsIn(sequence);
}

bool Scheduler::BudgetAllows(const Sequence& sequence, const Building& step) const {
  if (config_.chunked_prefill != ChunkedPrefill::kOff) return step.tokens_left > 0;
  return step.num_prompts == 0 || sequence.num_known() <= step.tokens_left;
}

// Moves the sequence from the line into a row, with blocks for all known tokens and the one after; cached ones first.
void Scheduler::Admit(Sequence& sequence, Building& step) {
  waiting_.Remove(sequence);
  sequence.status = SequenceStatus::kRunning;
  sequence.prefill_end = sequence.num_known();
  if (sequence.first_scheduled_ns == 0) sequence.first_scheduled_ns = now_ns_;
  sequence.row = free_rows_.back();
  free_rows_.pop_back();
  rows_[sequence.row] = &sequence;
  step.plan.admitted.push_back(StartBehindPrefix(sequence));
  const size_t num_blocks = BlocksFor(sequence.num_known() + 1);
  while (sequence.blocks.size() < num_blocks) sequence.blocks.push_back(TakeBlock());
  RowBlocks added = {.row = sequence.row};
  for (const BlockRef& block : sequence.blocks) added.blocks.push_back(block.id());
  const auto before = [](const Sequence* a, const Sequence* b) { return a->order < b->order; };
  running_.insert(std::upper_bound(running_.begin(), running_.end(), &sequence, before), &sequence);
  ++batch_size_;
  if (!added.blocks.empty()) step.plan.new_blocks.push_back(std::move(added));
  AddChunk(sequence, step);
}

void Scheduler::AddChunk(Sequence& sequence, Building& step) {
  const int32_t wanted = sequence.ChunkEnd() - sequence.num_computed, size = ChunkSize(sequence, step.tokens_left);
  AddStep(sequence, size, step);
  ++step.num_prompts;
  // A cut chunk ends on the state grid; what that leaves of the budget is too little for a good chunk of another.
  if (config_.chunked_prefill == ChunkedPrefill::kOn && size < wanted) step.tokens_left = 0;
}

// Chunks that the budget cuts end on the state grid where that is possible, so that the scan's tiles are full;
// SplitFuse has the step full instead.
int32_t Scheduler::ChunkSize(const Sequence& sequence, int budget) const {
  const int32_t start = sequence.num_computed, rest = sequence.ChunkEnd() - start;
  if (config_.chunked_prefill == ChunkedPrefill::kOff || rest <= budget) return rest;
  if (config_.chunked_prefill == ChunkedPrefill::kSplitFuse) return budget;
  const int32_t end = (start + budget) / config_.state_grid * config_.state_grid;
  return end > start ? end - start : budget;
}

void Scheduler::AddStep(Sequence& sequence, int32_t num_tokens, Building& step) {
  const bool samples = sequence.num_computed + num_tokens >= sequence.prefill_end;
  step.plan.steps.push_back({.row = sequence.row,
                             .id = sequence.id,
                             .start = sequence.num_computed,
                             .num_tokens = num_tokens,
                             .prefill = sequence.prefilling(),
                             .samples = samples});
  step.tokens_left -= num_tokens;
  step.num_samples += samples;
  sequence.num_computed += num_tokens;
  sequence.num_in_flight += samples;
  sequence.last_epoch = step.plan.epoch;
  if (!caches_prefixes_ || sequence.num_computed < sequence.next_full_end) return;
  step.filled.push_back({sequence.row, sequence.id, sequence.num_computed});
  sequence.next_full_end = (sequence.num_computed / config_.block_size + 1) * config_.block_size;
}

// ---- Giving back

// Sends the last of running_ back to the line; its token in flight, if any, still counts when it is committed.
void Scheduler::Preempt(Sequence& sequence) {
  CHECK(running_.back() == &sequence);
  CHECK_LE(sequence.last_epoch, last_epoch_) << "sequence " << sequence.id << " is in the plan being built";
  running_.pop_back();
  Retire(sequence);
  sequence.status = SequenceStatus::kWaiting;
  sequence.num_computed = 0;
  sequence.prefill_end = 0;
  ++sequence.num_preemptions;
  ++num_preemptions_;
  waiting_.Add(sequence);
}

// Gives back what the sequence holds, now or when the last launched step that names it is committed.
void Scheduler::Retire(Sequence& sequence) {
  Retiring retiring = {sequence.last_epoch, sequence.row, std::exchange(sequence.blocks, {}),
                       std::exchange(sequence.prefix, {}), std::exchange(sequence.state_slot, {}), sequence.failed};
  sequence.newest_snapshot = nullptr;
  if (retiring.epoch <= committed_epoch_) return Release(retiring);
  retiring_blocks_ += static_cast<int>(retiring.blocks.size());
  retiring_.push_back(std::move(retiring));
}

void Scheduler::Release(Retiring& retiring) {
  if (Sequence* sequence = std::exchange(rows_[retiring.row], nullptr)) sequence->row = -1;
  free_rows_.push_back(retiring.row);
  released_rows_.push_back(retiring.row);
  retiring.blocks.clear();
  if (retiring.failed) prefix_cache_.Drop(std::exchange(retiring.prefix, {}));
  retiring.prefix = {};
  retiring.state_slot = {};
  ++num_releases_;
}

void Scheduler::ReleaseRetired() {
  size_t kept = 0;
  for (Retiring& retiring : retiring_) {
    if (retiring.epoch > committed_epoch_) {
      if (Retiring& place = retiring_[kept++]; &place != &retiring) place = std::move(retiring);
    } else {
      retiring_blocks_ -= static_cast<int>(retiring.blocks.size());
      Release(retiring);
    }
  }
  retiring_.erase(retiring_.begin() + kept, retiring_.end());
}

// ---- Commit: what a step gave

std::vector<Committed> Scheduler::Commit(const StepResult& result) {
  if (result.epoch == 0 && result.results.empty()) return {};  // of an empty plan
  CHECK(!launched_.empty()) << "result of epoch " << result.epoch << " without a plan";
  CHECK_EQ(launched_.front().epoch, result.epoch);
  const int most = launched_.front().num_samples + launched_.front().num_drafts;
  CHECK_GE(static_cast<int>(result.results.size()), launched_.front().num_samples) << "in epoch " << result.epoch;
  CHECK_LE(static_cast<int>(result.results.size()), most) << "in epoch " << result.epoch;
  PublishBlocks(launched_.front());
  KeepSnapshots(result.epoch);
  launched_.pop_front();
  committed_epoch_ = result.epoch;
  std::vector<Committed> committed;
  committed.reserve(result.results.size());
  for (std::span<const SequenceResult> rest(result.results); !rest.empty();) {
    Sequence* sequence = rows_[rest[0].row];
    const bool known = sequence != nullptr && sequence->id == rest[0].id;
    rest = rest.subspan(known ? CommitStep(*sequence, rest, &committed) : 1);
  }
  ReleaseRetired();  // after the results: a preempted sequence keeps its row for them
  ShortenRunning();
  return committed;
}

void Scheduler::CommitToken(Sequence& sequence, int32_t token, std::vector<Committed>* committed) {
  Committed one = {.id = sequence.id, .token = token};
  if (token < 0) {
    one = {.id = sequence.id, .ended = true, .reason = EndReason::kFailed};
    sequence.failed = true;
  } else {
    one.ended = sequence.Append(token, &one.reason);
  }
  const bool runs = sequence.status == SequenceStatus::kRunning;
  if (one.ended && token >= 0 && one.reason == EndReason::kLength && sequence.holds && runs) Keep(sequence);
  if (one.ended) End(sequence);
  committed->push_back(one);
}

// ---- What the front may ask

bool Scheduler::HasWork() const { return !waiting_.empty() || !running_.empty(); }

SchedulerStats Scheduler::Stats() const {
  const int snapshots = prefix_cache_.num_snapshots() + static_cast<int>(pending_snapshots_.size());
  SchedulerStats stats = {.running = static_cast<int>(running_.size()),
                          .waiting = static_cast<int>(waiting_.size()),
                          .blocks_used = blocks_.num_used() - prefix_cache_.num_idle(),
                          .blocks_total = blocks_.num_total(),
                          .blocks_cached = prefix_cache_.num_idle(),
                          .state_slots_used = slots_.num_used() - snapshots,
                          .state_slots_total = slots_.num_total(),
                          .snapshots = snapshots,
                          .held = static_cast<int>(held_.size()),
                          .preemptions = num_preemptions_,
                          .prefix = prefix_counters_};
  stats.prefix.evicted_blocks = prefix_cache_.evicted_blocks();
  stats.prefix.evicted_snapshots = prefix_cache_.evicted_snapshots();
  return stats;
}

SequenceInfo Scheduler::Info(SequenceId id) const {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return {};
  return {found->second->first_scheduled_ns, found->second->num_preemptions, found->second->cached_tokens};
}

std::optional<HeldSequence> Scheduler::Held(SequenceId id) const {
  const auto found = held_.find(id);
  if (found == held_.end()) return std::nullopt;
  const Keepsake& kept = found->second;
  HeldSequence held = {.num_computed = kept.num_computed, .state_slot = kept.state_slot.id()};
  for (const BlockRef& block : kept.blocks) held.blocks.push_back(block.id());
  return held;
}

}  // namespace braid
