// Errors in the words of the Messages API.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace braid {

// {"type":"error","error":{"type","message"}} of an error; of an HTTP status.
std::string MessagesErrorBody(const absl::Status& status);
std::string MessagesErrorBody(int http_status, std::string_view message);

}  // namespace braid
