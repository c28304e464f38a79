// A template's tree over a context: its text, within limits, or why there is none.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/base/json.h"
#include "models/chat/jinja_parser.h"

namespace braid {

// The variables that a template sees, by name. Borrows the values.
using JinjaContext = std::vector<std::pair<std::string, const Json*>>;

// Returns what `tree` prints over `context`. InvalidArgument otherwise: the words of raise_exception as they are, else
// the line and what went wrong there (a passed limit is named). `unix_time` is what strftime_now tells, in UTC.
// Thread: any.
absl::StatusOr<std::string> RenderJinja(const JinjaTree& tree, const JinjaContext& context, int64_t unix_time,
                                        const JinjaLimits& limits = {});

}  // namespace braid
