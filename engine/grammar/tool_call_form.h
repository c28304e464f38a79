// How each format writes a tool call, but for the arguments.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "models/chat/output/output_parser.h"

namespace braid {

// What stands around the parts of a call.
struct CallForm {
  std::string before_all, call_begin, name_end, call_end, between, after_all;
  bool quoted_name = false;  // the name is a JSON string
  // Parameters as tags instead of an object; `values_end` is what no raw value may hold.
  std::string parameter_begin, text_begin, json_begin, parameter_end, values_end;
  bool several = true;
};

// InvalidArgument for a format whose calls cannot be forced.
absl::StatusOr<CallForm> CallFormOf(OutputFormat format);

}  // namespace braid
