// The engine's inside: requests and their sequences on one side, scheduler and runner on the other, one step after
// another. Thread: Run is the engine thread; what is marked "any" may be called from elsewhere.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <variant>
#include <vector>

#include "engine/drafting/draft_length.h"
#include "engine/drafting/ngram_drafter.h"
#include "engine/engine.h"
#include "engine/handover/held_prompt.h"
#include "engine/model_runner.h"
#include "engine/ranks/rank_group.h"
#include "engine/step_cost_model.h"
#include "engine/step_watchdog.h"
#include "kernels/base/queue.h"
#include "scheduler/scheduler.h"

namespace braid {

class EngineLoop {
 public:
  EngineLoop(const EngineConfig& config, EngineInfo info, std::unique_ptr<Backend> backend, LoadedModel loaded,
             const RunnerShape& shape, std::unique_ptr<ModelRunner> runner, std::unique_ptr<RankGroup> ranks,
             const Clock* clock);
  ~EngineLoop();

  // Thread: any.
  const EngineInfo& info() const { return info_; }
  const SequenceLayout& layout() const { return runner_->memory().layout(); }
  absl::StatusOr<RequestHandle> Submit(GenerateRequest request);
  absl::Status Check(const GenerateRequest& request) const;
  void Cancel(RequestHandle handle) { inbox_.Put(CancelMessage{handle, kAllChoices}); }
  void CancelChoice(RequestHandle handle, int index) { inbox_.Put(CancelMessage{handle, index}); }
  void BeginDrain() { draining_ = true; }
  void ResetCache() { inbox_.Put(ResetMessage{}); }
  void AbortAll(absl::Status why) { inbox_.Put(AbortMessage{std::move(why)}); }
  int InFlight() const { return in_flight_; }
  EngineStats Stats() const;

 private:
  static constexpr int kAllChoices = -1;

  struct SubmitMessage {
    RequestHandle handle;
    GenerateRequest request;
  };
  struct CancelMessage {
    RequestHandle handle;
    int index;  // kAllChoices, or one choice which then ends without an event
  };
  struct AbortMessage {
    absl::Status why;
  };
  struct ResetMessage {};
  struct ReleaseMessage {
    SequenceId id;
  };
  struct RankLostMessage {
    absl::Status why;
  };
  using Message = std::variant<SubmitMessage, CancelMessage, AbortMessage, ResetMessage, ReleaseMessage, RankLostMessage>;

  // One of a request's n sequences.
  struct LiveSequence {
    RequestHandle request = 0;
    int index = 0;
    SamplingSpec spec;
    std::unique_ptr<LookaheadConstraint> constraint;  // null: none
    std::unique_ptr<Drafter> drafter;                 // null: the draft head, if anybody
    std::vector<TokenLogprobs> prompt_logprobs;  // of prompt positions 1.., while not yet told
    std::shared_ptr<const SequenceImage> image;  // until it is loaded
  };
  struct LiveRequest {
    GenerateRequest request;
    std::vector<SequenceId> sequences;  // by index
    int unfinished = 0;
  };

  void Run();
  void Step();
  std::vector<SchedulerEvent> TakeInbox();
  bool speculates() const { return config_.scheduler.max_drafts > 0; }
  std::unique_ptr<Drafter> DrafterFor(const GenerateRequest& request) const;
  SequenceDrafts DraftsFor(SequenceId id, LiveSequence& sequence) const;
  void AddDrafts(std::vector<SchedulerEvent>* events);
  void Take(SubmitMessage message, std::vector<SchedulerEvent>* events);
  void Take(const CancelMessage& message, std::vector<SchedulerEvent>* events);
  void Take(const AbortMessage& message, std::vector<SchedulerEvent>* events);
  void Take(const ResetMessage& message, std::vector<SchedulerEvent>* events);
  void Take(const ReleaseMessage& message, std::vector<SchedulerEvent>* events);
  void Take(const RankLostMessage& message, std::vector<SchedulerEvent>* events);
  void DropLoaded(const StepPlan& plan);
  std::shared_ptr<const HeldPrompt> HeldOf(SequenceId id);
  std::string NameOf(SequenceId id) const;
  StepResult ResultOf(uint64_t epoch, std::vector<RowOutput>& outputs);
  void Publish(const std::vector<Committed>& committed, const std::vector<RowOutput>& outputs);
  void Tell(std::span<const Committed> news, std::span<const RowOutput> outputs);
  void AddToken(int32_t token, std::span<const RowOutput> outputs, LiveSequence& sequence, TokenEvent* event);
  void AddEnd(const Committed& last, const LiveSequence& sequence, TokenEvent* event) const;
  DraftedStep CountDrafts(const StepPlan& plan, const std::vector<RowOutput>& outputs);
  void End(SequenceId id);
  void TellFailure(const absl::Status& why);
  absl::Status CheckRequest(const GenerateRequest& request) const;
  absl::Status CheckBegun(const GenerateRequest& request) const;
  void CountStep(const StepPlan& plan);
  void ShowStats(bool busy);

  const EngineConfig config_;
  const EngineInfo info_;
  const Clock* const clock_;
  const std::unique_ptr<Backend> backend_;
  const LoadedModel loaded_;
  Scheduler scheduler_;
  const std::unique_ptr<ModelRunner> runner_;
  const std::unique_ptr<RankGroup> ranks_;  // null: this one is alone
  const SpecOf spec_of_;
  const ImageOf image_of_;
  StepWatchdog watchdog_;

  BoundedQueue<Message> inbox_;
  std::atomic<RequestHandle> next_handle_{1};
  std::atomic<int> in_flight_{0};        // requests
  std::atomic<int> queued_{0};           // sequences submitted and never scheduled yet, at most
  std::atomic<int> inbox_sequences_{0};  // of them, those still in the inbox
  std::atomic<bool> draining_{false};

  // Thread: engine.
  SequenceId next_sequence_ = 1;
  std::unordered_map<RequestHandle, LiveRequest> requests_;
  std::unordered_map<SequenceId, LiveSequence> sequences_;
  absl::Status abort_reason_ = absl::CancelledError("cancelled by the client");
  StepCostModel step_cost_;
  DraftLength draft_length_;
  int num_drafts_ = 0;  // that each decode of the next plan is to carry
  std::vector<SequenceId> undrafted_;  // have got a token and may carry drafts in the next plan
  EngineStats totals_;

  mutable std::mutex stats_mutex_;
  EngineStats shown_;  // guarded by stats_mutex_

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace braid
