// The engine: requests in, token events out. Owns the scheduler, the memory, the model and its compute team.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine_config.h"
#include "engine/generate_request.h"
#include "engine/handover/sequence_layout.h"
#include "engine/step_stats.h"
#include "kernels/base/clock.h"

namespace braid {

class Checkpoint;
class Tokenizer;

// What the server may know of the model behind the engine.
struct EngineInfo {
  int vocab_size = 0;              // embedding rows
  int max_model_len = 0;           // tokens of prompt and output together
  std::vector<int32_t> eos_token_ids;
  std::string fingerprint;         // what token bits depend on besides request and seed
  int block_size = 0;
  int num_blocks = 0;
  int num_state_slots = 0;         // 0 for models without recurrent state; those of snapshots included
  bool prefix_cache = false;
  int64_t state_bytes_per_sequence = 0;
  std::string kv_dtype;
  std::string model_digest;        // of the weights' names, shapes and samples of their bytes, as hex
};

// A request's name inside the engine.
using RequestHandle = uint64_t;

class EngineLoop;

// Thread: any for the public functions; events arrive on the engine's own thread.
class Engine {
 public:
  // Packs the weights of `checkpoint` (borrowed for the call), sizes the pools, starts the engine thread. Shows a
  // progress bar on a terminal, one log line a phase otherwise. `clock` outlives the engine.
  static absl::StatusOr<std::unique_ptr<Engine>> Start(const EngineConfig& config, const Checkpoint& checkpoint,
                                                       const Clock* clock);

  // For tests and benches: the same engine around a model that computes nothing. Its tokens are whole characters of
  // `tokenizer`, drawn by seed, choice and place in the output; steps end `step` apart at least.
  static absl::StatusOr<std::unique_ptr<Engine>> StartFake(const EngineConfig& config, const Tokenizer& tokenizer,
                                                           std::chrono::microseconds step, const Clock* clock);
  ~Engine();

  const EngineInfo& info() const;

  // Queues the request. InvalidArgument: it can never run (bad ids, past the context, past the memory).
  // Unavailable: the queue is full, or the engine is draining. After an error no event comes.
  absl::StatusOr<RequestHandle> Submit(GenerateRequest request);

  // What Submit would say of the request itself and of draining, not of the queue.
  absl::Status Check(const GenerateRequest& request) const;

  // Ends a request within one step: its blocks are free before the next. Its sequences report kAbort.
  // Unknown handles (already ended) are ignored.
  void Cancel(RequestHandle handle);

  // Ends one choice of a request, as Cancel does all of them, but without an event: the caller has what it wants.
  void CancelChoice(RequestHandle handle, int index);

  // Refuses new requests from now on; those inside go on.
  void BeginDrain();

  // Ends everything that is inside with kAbort (the status says why); for the end of a drain.
  void AbortAll(absl::Status why);

  // Drops all of the prefix cache that no request inside uses, within one step.
  void ResetPrefixCache();

  // How a sequence's memory lies in a hand-over.
  const SequenceLayout& layout() const;

  // Requests inside: waiting and running.
  int InFlight() const;

  // A snapshot of the gauges and counters. Thread: any.
  EngineStats Stats() const;

 private:
  explicit Engine(std::unique_ptr<EngineLoop> loop);
  std::unique_ptr<EngineLoop> loop_;
};

}  // namespace braid
