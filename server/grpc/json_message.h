// Protobuf messages as the JSON bodies that they stand for, and back. Field names are kept; 64-bit integers are JSON
// numbers (protobuf's own mapping writes text), so that one set of checks serves both doors.
#pragma once

#include <google/protobuf/message.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/base/json.h"

namespace braid {

// Absent fields and empty lists are left out. InvalidArgument names the field that JSON cannot hold: NaN, infinity.
absl::StatusOr<Json> JsonOfMessage(const google::protobuf::Message& message);

// Fills `message`. Members it does not know and nulls are passed over; a null in a list of numbers becomes NaN, in other
// lists an empty element. InvalidArgument names the member whose type does not fit.
absl::Status FillMessage(const Json& json, google::protobuf::Message* message);

}  // namespace braid
