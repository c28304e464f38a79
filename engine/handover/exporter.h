// The prefill side of a hand-over: runs prompts for other processes and keeps what they have left until it is released
// or its lease ends.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/handover/offer_table.h"

namespace braid {

// Must die before its engine, after all that it has handed out. Thread: any.
class Exporter {
 public:
  // `clock` is the engine's.
  Exporter(Engine* engine, const Clock* clock, const ExporterConfig& config);
  ~Exporter();
  Exporter(const Exporter&) = delete;

  HandoverIdentity identity() const;

  // Computes the prompt; `done` comes on the engine's thread. Errors: FailedPrecondition names what differs between the
  // two processes, InvalidArgument what is wrong with the call, Unavailable: too much is under way; `done` then never comes.
  using OnOffer = std::function<void(absl::StatusOr<PrefillOffer>)>;
  absl::StatusOr<RequestHandle> Prefill(const PrefillCall& call, OnOffer done);
  // Nobody waits for the offer any more.
  void Cancel(RequestHandle handle) { engine_->Cancel(handle); }

  // What it keeps. Leases are ended every tenth of a second.
  OfferTable& offers() { return *offers_; }

 private:
  void Watch();

  Engine* const engine_;
  const Clock* const clock_;
  const ExporterConfig config_;
  const std::shared_ptr<OfferTable> offers_;  // shared with the prompts in the engine

  std::mutex mutex_;
  bool stop_ = false;
  std::condition_variable stopped_;
  std::thread watch_;  // last: it uses all of the above
};

}  // namespace braid
