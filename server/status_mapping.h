// absl::Status to HTTP statuses and error bodies. A status carries the request field and the error's word as payloads;
// its code is also the gRPC code (the numbers are the same).
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace braid {

// Returns InvalidArgument about the request field `param`.
absl::Status InvalidParam(std::string_view param, std::string_view message);

// Returns `status` with the request field and/or the error's word ("model_not_found") attached; empty: left as it is.
absl::Status WithDetails(absl::Status status, std::string_view param, std::string_view code = {});

// What was attached; empty when nothing was.
std::string ParamOf(const absl::Status& status);
std::string CodeOf(const absl::Status& status);

// The HTTP status of an error.
int HttpStatusOf(const absl::Status& status);

// The seconds a client should wait before it tries again: 1..60; 0 when trying again will not help.
int RetryAfterSeconds(const absl::Status& status);

// {"error":{"message","type","param","code"}} of an error; of an HTTP status that no absl code stands for.
std::string ErrorBody(const absl::Status& status);
std::string ErrorBody(int http_status, std::string_view message, std::string_view code = {});

}  // namespace braid
