#include "scheduler/testing/fake_ranks.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace braid {
namespace {

uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9e3779b97f4a7c15u + b + 0x7f4a7c159e3779b9u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t FakeModel::CacheValue(uint64_t before, int32_t token) { return Mix(before, static_cast<uint64_t>(token)); }

uint64_t FakeModel::NextState(uint64_t state, int32_t token) { return Mix(state, static_cast<uint64_t>(token)); }

int32_t FakeModel::Draw(SequenceId id, int32_t length, uint64_t cache_sum, uint64_t state) const {
  const uint64_t logits = Mix(Mix(cache_sum, state), static_cast<uint64_t>(length));
  if (static_cast<int>(Mix(logits, id) % 1000) < failures_in_1000) return -1;
  return static_cast<int32_t>(logits % static_cast<uint64_t>(vocab_size));
}

std::vector<int32_t> RunAlone(const FakeModel& model, const SchedulerLimits& limits, const SequenceArrival& arrival,
                              EndReason* reason) {
  std::vector<int32_t> output;
  uint64_t value = 0, sum = 0, state = 0;
  int32_t length = 0;
  const auto take_in = [&](int32_t token) {
    value = FakeModel::CacheValue(value, token);
    if (limits.num_blocks > 0) sum += value;
    if (limits.num_state_slots > 0) state = FakeModel::NextState(state, token);
    ++length;
  };
  for (const int32_t token : arrival.prompt) take_in(token);
  const auto& stops = arrival.stop_token_ids;
  while (true) {
    const int32_t token = model.Draw(arrival.id, length, sum, state);
    output.push_back(token);
    const int num_output = static_cast<int>(output.size());
    if (token < 0) {
      *reason = EndReason::kFailed;
      return output;
    }
    if (num_output >= arrival.min_tokens && std::find(stops.begin(), stops.end(), token) != stops.end()) {
      *reason = EndReason::kStop;
      return output;
    }
    if (num_output == arrival.max_tokens || length + 1 == limits.max_model_len) {
      *reason = EndReason::kLength;
      return output;
    }
    take_in(token);
  }
}

FakeRanks::FakeRanks(const FakeModel& model, const SchedulerConfig& config, const SchedulerLimits& limits, int num_rows)
    : model_(model),
      config_(config),
      limits_(limits),
      rows_(num_rows),
      blocks_(limits.num_blocks),
      cache_(static_cast<size_t>(limits.num_blocks) * config.block_size),
      states_(limits.num_state_slots) {}

void FakeRanks::Expect(bool holds, const char* what, uint64_t subject) {
  if (!holds && breach_.empty()) breach_ = absl::StrCat(what, " (", subject, ", epoch ", last_epoch_, ")");
}

void FakeRanks::Launch(const StepPlan& plan) {
  Expect(plan.epoch == last_epoch_ + 1, "epochs rise by one", plan.epoch);
  last_epoch_ = plan.epoch;
  loans_.clear();
  for (const int32_t row : plan.released_rows) Release(row);
  for (const RowAdmission& admission : plan.admitted) Admit(admission);
  for (const RowBlocks& added : plan.new_blocks) AddBlocks(added);
  if (!breach_.empty()) return;
  CheckOrderAndBudget(plan);
  Launched launched;
  launched.result.epoch = plan.epoch;
  launched.named.resize(rows_.size());
  for (const SequenceStep& step : plan.steps) {
    CheckStep(step, launched);
    if (!breach_.empty()) return;
    Compute(step, &launched);
  }
  for (const StateSnapshot& snapshot : plan.snapshots) Snapshot(snapshot, launched);
  in_flight_.push_back(std::move(launched));
}

StepResult FakeRanks::Finish() {
  StepResult result = std::move(in_flight_.front().result);
  in_flight_.pop_front();
  return result;
}

void FakeRanks::Release(int32_t index) {
  Row& row = rows_.at(index);
  Expect(row.live, "a released row is live", index);
  for (const Launched& launched : in_flight_) {
    Expect(!launched.named[index], "no launched step names a released row", index);
  }
  for (const int32_t block : row.blocks) blocks_held_ -= --blocks_[block].num_rows == 0;
  if (row.state_slot >= 0) states_[row.state_slot].row = -1;
  row = Row();
}

void FakeRanks::Admit(const RowAdmission& admission) {
  Row& row = rows_.at(admission.row);
  Expect(!row.live, "an admitted row is free", admission.row);
  Expect((admission.state_slot >= 0) == (limits_.num_state_slots > 0), "a slot where there is state", admission.id);
  Expect(admission.start >= 0 && admission.start < static_cast<int32_t>(admission.tokens.size()),
         "the last known token is computed", admission.id);
  Expect(admission.loads || admission.start % config_.block_size == 0, "whole blocks are shared", admission.id);
  Expect(!admission.loads || (admission.start > 0 && admission.restored_slot < 0), "loaded or restored", admission.id);
  row.live = true;
  row.id = admission.id;
  row.state_slot = admission.state_slot;
  row.tokens = admission.tokens;
  row.admitted_tokens = static_cast<int32_t>(admission.tokens.size());
  row.start = row.num_computed = row.folded = admission.start;
  row.loads = admission.loads;
  if (row.state_slot < 0) return;
  AdmitState(admission);
  row.states = {states_[row.state_slot].value};
}

void FakeRanks::AdmitState(const RowAdmission& admission) {
  State& state = states_.at(admission.state_slot);
  Expect(state.row < 0, "a state slot has one owner", admission.state_slot);
  Expect((admission.restored_slot >= 0 || admission.loads) == (admission.start > 0), "a state where there is a prefix",
         admission.id);
  if (admission.restored_slot < 0) {
    state = {.row = admission.row, .position = admission.start, .writer = admission.id};
    for (int32_t i = 0; i < admission.start; ++i) state.value = FakeModel::NextState(state.value, admission.tokens[i]);
    return;
  }
  const State source = states_.at(admission.restored_slot);
  Expect(source.row < 0, "a snapshot belongs to no row", admission.restored_slot);
  Expect(source.position == admission.start, "a snapshot is of the position wanted", admission.id);
  loans_.push_back({admission.id, source.writer});
  state = source;
  state.row = admission.row;
}

void FakeRanks::AddBlocks(const RowBlocks& added) {
  Row& row = rows_.at(added.row);
  Expect(row.live, "blocks go to a live row", added.row);
  for (const int32_t block : added.blocks) AddBlock(row, block);
}

void FakeRanks::AddBlock(Row& row, int32_t block) {
  const bool shared = !row.loads && static_cast<int32_t>(row.blocks.size()) * config_.block_size < row.start;
  Expect(shared || blocks_.at(block).num_rows == 0, "a block that is written has one owner", block);
  blocks_held_ += blocks_.at(block).num_rows++ == 0;
  row.blocks.push_back(block);
  if (shared) CheckShared(row, block);
  if (row.loads) Load(row);
}

// Writes the positions before row.start that lie in its last block.
void FakeRanks::Load(const Row& row) {
  const int32_t first = static_cast<int32_t>(row.blocks.size() - 1) * config_.block_size;
  blocks_[row.blocks.back()].writer = row.id;
  for (int32_t position = first; position < std::min(row.start, first + config_.block_size); ++position) {
    const uint64_t before = position > 0 ? CacheAt(row, position - 1) : 0;
    CacheAt(row, position) = FakeModel::CacheValue(before, row.tokens.at(position));
  }
}

bool FakeRanks::Keeps(const HeldSequence& held, const std::vector<int32_t>& tokens) const {
  uint64_t value = 0, state = 0;
  for (int32_t position = 0; position < held.num_computed; ++position) {
    value = FakeModel::CacheValue(value, tokens.at(position));
    state = FakeModel::NextState(state, tokens[position]);
    if (limits_.num_blocks == 0) continue;
    const size_t block = held.blocks.at(position / config_.block_size);
    if (cache_[block * config_.block_size + position % config_.block_size] != value) return false;
  }
  if (held.state_slot < 0) return limits_.num_state_slots == 0;
  const State& kept = states_.at(held.state_slot);
  return kept.position == held.num_computed && kept.value == state;
}

// The last of row.blocks holds what the row's own tokens would have left there.
void FakeRanks::CheckShared(Row& row, int32_t block) {
  const int32_t end = static_cast<int32_t>(row.blocks.size()) * config_.block_size;
  for (int32_t position = end - config_.block_size; position < end; ++position) {
    const uint64_t before = position > 0 ? CacheAt(row, position - 1) : 0;
    Expect(CacheAt(row, position) == FakeModel::CacheValue(before, row.tokens.at(position)),
           "a shared block holds the row's own prefix", block);
  }
  loans_.push_back({row.id, blocks_[block].writer});
}

void FakeRanks::CheckOrderAndBudget(const StepPlan& plan) {
  int num_prompts = 0;
  for (const SequenceStep& step : plan.steps) {
    const bool decodes = step.start >= rows_.at(step.row).admitted_tokens;
    Expect(decodes || step.num_drafts == 0, "only decodes carry drafts", step.id);
    num_prompts += !decodes;
    Expect(!decodes || num_prompts == 0, "decodes come first", step.id);
  }
  const bool whole_prompt = config_.chunked_prefill == ChunkedPrefill::kOff && num_prompts == 1;
  Expect(plan.num_tokens() <= config_.max_tokens_per_step || whole_prompt, "the budget is kept", plan.num_tokens());
}

uint64_t& FakeRanks::CacheAt(const Row& row, int32_t position) {
  const size_t block = row.blocks.at(position / config_.block_size);
  return cache_[block * config_.block_size + position % config_.block_size];
}

void FakeRanks::CheckStep(const SequenceStep& step, const Launched& launched) {
  const Row& row = rows_.at(step.row);
  Expect(row.live && row.id == step.id, "a step names a live row and its sequence", step.id);
  Expect(!launched.named[step.row], "a row has one step", step.id);
  Expect(step.num_tokens > 0, "a step has tokens", step.id);
  Expect(step.start == row.num_computed, "positions are computed once, in order", step.id);
  const int32_t end = step.start + step.num_tokens;
  const int32_t known = end - step.num_drafts;
  Expect(step.drafts.empty() || static_cast<int32_t>(step.drafts.size()) == step.num_drafts, "drafts are counted", step.id);
  Expect(known <= static_cast<int32_t>(row.tokens.size()), "every token is known on the device", step.id);
  Expect(known > step.start, "drafts stand behind a token", step.id);
  Expect(step.num_drafts <= config_.max_drafts, "no more drafts than allowed", step.id);
  Expect(end <= limits_.max_model_len, "positions lie in the context", step.id);
  Expect(limits_.num_blocks == 0 || end <= static_cast<int32_t>(row.blocks.size()) * config_.block_size,
         "every position has its block", step.id);
  Expect(step.samples == (end >= row.admitted_tokens), "the last known token samples", step.id);
  Expect(row.state_slot < 0 || states_[row.state_slot].position == step.start, "the state is of the position before",
         step.id);
}

// Takes in all tokens, drafts included, then moves the cursor back behind the last one that holds.
void FakeRanks::Compute(const SequenceStep& step, Launched* launched) {
  Row& row = rows_[step.row];
  const int32_t end = step.start + step.num_tokens, num_drafts = step.num_drafts;
  launched->named[step.row] = true;
  tokens_computed_ += step.num_tokens;
  row.tokens.insert(row.tokens.end(), step.drafts.begin(), step.drafts.end());
  while (static_cast<int32_t>(row.tokens.size()) < end) {  // the draft head's
    row.tokens.push_back(static_cast<int32_t>(Mix(row.id, row.tokens.size()) % static_cast<uint64_t>(model_.vocab_size)));
  }
  for (int32_t position = step.start; position < end; ++position) TakeIn(row, position);
  int32_t length = end - num_drafts, token = -1;
  row.folded = length / config_.state_grid * config_.state_grid;
  for (bool holds = step.samples; holds; length += holds) {
    token = DrawAfter(row, length);
    launched->result.results.push_back({.row = step.row, .id = row.id, .token = token});
    holds = length < end && row.tokens[length] == token;
  }
  drafts_accepted_ += length - (end - num_drafts);
  drafts_rejected_ += end - length;
  row.num_computed = length;
  row.tokens.resize(std::max<size_t>(length, row.tokens.size() - num_drafts));
  if (step.samples) row.tokens.push_back(token);
  if (row.state_slot < 0) return;
  row.states.resize(length - row.start + 1);
  states_[row.state_slot] = {step.row, length, row.states.back(), row.id};
}

// The token drawn behind the first `length` tokens of the row.
int32_t FakeRanks::DrawAfter(Row& row, int32_t length) {
  uint64_t sum = 0;
  for (int32_t position = 0; limits_.num_blocks > 0 && position < length; ++position) sum += CacheAt(row, position);
  return model_.Draw(row.id, length, sum, row.state_slot >= 0 ? row.states.at(length - row.start) : 0);
}

void FakeRanks::TakeIn(Row& row, int32_t position) {
  if (row.state_slot >= 0) row.states.push_back(FakeModel::NextState(row.states.back(), row.tokens[position]));
  if (limits_.num_blocks == 0) return;
  Block& block = blocks_[row.blocks[position / config_.block_size]];
  Expect(block.num_rows == 1, "a block that is written has one owner", row.id);
  block.writer = row.id;
  CacheAt(row, position) =
      FakeModel::CacheValue(position > 0 ? CacheAt(row, position - 1) : 0, row.tokens[position]);
}

void FakeRanks::Snapshot(const StateSnapshot& snapshot, const Launched& launched) {
  const Row& row = rows_.at(snapshot.row);
  State& copy = states_.at(snapshot.slot);
  Expect(launched.named[snapshot.row] && row.state_slot >= 0, "a snapshot is of a row of the step", row.id);
  Expect(row.folded % config_.block_size == 0, "a snapshot is taken where a block ends", row.id);
  Expect(row.folded >= row.start, "a snapshot is of the row's own state", row.id);
  Expect(copy.row < 0, "a snapshot overwrites no row's state", snapshot.slot);
  if (!breach_.empty()) return;
  copy = {-1, row.folded, row.states.at(row.folded - row.start), row.id};
}

}  // namespace braid
