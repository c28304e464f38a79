// Whether what another process says fits what we have. All errors name the field, its value and ours.
#pragma once

#include "absl/status/status.h"
#include "engine/handover/prefill_offer.h"

namespace braid {

// FailedPrecondition unless a sequence of the one process can be read by the other.
absl::Status CheckIdentity(const HandoverIdentity& theirs, const HandoverIdentity& ours);

// InvalidArgument unless the offer answers the call: counts, token ids, bytes. Bounds every number by the call and our
// own layout, so that the offer may come from anybody.
absl::Status CheckOffer(const PrefillOffer& offer, const PrefillCall& call);

}  // namespace braid
