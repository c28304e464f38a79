// The decode side of a hand-over: has prompts computed elsewhere, takes in what they have left and goes on here. Whatever
// fails on the way, the prompt is computed here instead: no request is lost.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/handover/handover_peer.h"
#include "engine/handover/staging_room.h"

namespace braid {

struct ImporterConfig {
  int64_t max_staged_bytes = int64_t{1} << 30;  // of images that arrive or wait for their admission; one may exceed it
  int max_transfers = 256;                      // under way; further requests are computed here
  int64_t prefill_timeout_ms = 600'000;         // how long a prompt may take elsewhere
};

struct ImporterStats {
  int under_way = 0;             // requests, until their end
  int64_t staged_bytes = 0;
  uint64_t taken = 0;            // requests that went on from another process's work
  uint64_t other_bits = 0;       // of them: from a process with another fingerprint
  uint64_t ended_there = 0;      // the first token was the last
  uint64_t recomputed = 0;       // the hand-over failed
  uint64_t not_tried = 0;        // several choices, logprobs of the prompt, or too much under way
  uint64_t bytes_received = 0;
};

class Importing;

// Must die before its engine; `clock` is the engine's. Thread: any.
class Importer {
 public:
  Importer(Engine* engine, const Clock* clock, const ImporterConfig& config);
  // Calls off what is under way: those requests get no further event from here.
  ~Importer();
  Importer(const Importer&) = delete;

  // As Engine::Submit, with the prompt computed at `peer` where that is possible. Events come from several threads, one
  // after another.
  absl::StatusOr<RequestHandle> Submit(GenerateRequest request, std::shared_ptr<HandoverPeer> peer);

  // As the engine's, for handles of either.
  void Cancel(RequestHandle handle);
  void CancelChoice(RequestHandle handle, int index);

  ImporterStats Stats() const;

 private:
  friend class Importing;

  std::shared_ptr<Importing> Find(RequestHandle handle) const;
  void Forget(RequestHandle handle);
  template <class Change>
  void Count(Change change) {
    std::lock_guard lock(mutex_);
    change(stats_);
  }

  Engine* const engine_;
  const Clock* const clock_;
  const ImporterConfig config_;
  const HandoverIdentity identity_;
  const std::shared_ptr<StagingRoom> room_;  // shared with the images in the engine

  mutable std::mutex mutex_;
  absl::flat_hash_map<RequestHandle, std::shared_ptr<Importing>> under_way_;
  uint64_t num_submitted_ = 0;
  ImporterStats stats_;
};

}  // namespace braid
