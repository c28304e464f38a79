// Another process as the importer sees it. How its words and bytes travel is the server's affair.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/handover/prefill_offer.h"

namespace braid {

// Calls a remote operation off; harmless when it is over.
using CallOff = std::function<void()>;

// Thread: any. Callbacks come on the peer's own threads, not inside the call that they answer, and once each.
class HandoverPeer {
 public:
  virtual ~HandoverPeer() = default;

  // Has the prompt computed there.
  virtual CallOff Prefill(const PrefillCall& call, std::function<void(absl::StatusOr<PrefillOffer>)> done) = 0;

  // Reads the image: `part` for each piece of it in order, then `done`. A part that is refused ends the transfer with
  // the refusal.
  using OnPart = std::function<absl::Status(int64_t offset, std::string_view bytes, uint32_t checksum)>;
  virtual CallOff Fetch(const OfferName& offer, OnPart part, std::function<void(absl::Status)> done) = 0;

  // The offer is not needed any more. Nobody waits for the answer; a lost one costs its lease.
  virtual void Release(const OfferName& offer) = 0;
};

}  // namespace braid
