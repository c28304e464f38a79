// The messages of handover.proto as the engine's structs, and back. What is read may come from anybody: counts are
// bounded and lists that belong together are as long as each other; whether the values fit the model is the engine's to
// check. Errors name the field and its value.
#pragma once

#include "absl/status/statusor.h"
#include "engine/handover/prefill_offer.h"
#include "proto/handover.pb.h"

namespace braid {

void WriteCall(const PrefillCall& call, v1::PrefillRequest* message);
absl::StatusOr<PrefillCall> ReadCall(const v1::PrefillRequest& message);

void WriteOffer(const PrefillOffer& offer, v1::PrefillReply* message);
absl::StatusOr<PrefillOffer> ReadOffer(const v1::PrefillReply& message);

void WriteName(const OfferName& name, v1::OfferId* message);
absl::StatusOr<OfferName> ReadName(const v1::OfferId& message);

}  // namespace braid
