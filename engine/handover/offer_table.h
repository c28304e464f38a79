// Prompts computed for other processes, by name, until they are released or their lease ends.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "engine/handover/held_prompt.h"
#include "engine/handover/prefill_offer.h"

namespace braid {

struct ExporterConfig {
  int64_t lease_ms = 30'000;
  int max_offers = 256;       // under way and kept; more are refused
};

struct ExporterStats {
  int kept = 0;               // offers
  uint64_t prompts = 0;       // computed for others
  uint64_t released = 0;      // of them: by a word of the other side
  uint64_t expired = 0;       // by the end of their lease
  uint64_t bytes_read = 0;
};

// Time is passed in. Thread: any.
class OfferTable {
 public:
  explicit OfferTable(const ExporterConfig& config);

  // A prompt is on its way. Unavailable: too many are.
  absl::Status Begin();
  // It came to nothing.
  void Fail();
  // It is done; `held` may be null: then the name is empty.
  OfferName Keep(std::shared_ptr<const HeldPrompt> held, int64_t now_ns);

  // What the offer keeps; it stays as long as the result lives. `expired` is called if the lease ends before the release.
  // NotFound: released, expired, or of another process.
  absl::StatusOr<std::shared_ptr<const HeldPrompt>> Open(const OfferName& offer, std::function<void()> expired);
  // Gives it back. NotFound as above.
  absl::Status Release(const OfferName& offer);
  // Ends the leases that are over.
  void Expire(int64_t now_ns);

  void CountRead(int64_t bytes);
  ExporterStats Stats() const;

 private:
  struct Offer {
    std::shared_ptr<const HeldPrompt> held;
    int64_t deadline_ns = 0;
    std::vector<std::function<void()>> expired;
  };
  absl::StatusOr<Offer*> Find(const OfferName& offer);  // under mutex_

  const ExporterConfig config_;
  const uint64_t epoch_;
  mutable std::mutex mutex_;
  absl::flat_hash_map<std::string, Offer> offers_;  // by id
  int under_way_ = 0;
  ExporterStats stats_;
};

}  // namespace braid
