// Calls that need the text side only: tokenize, detokenize, apply-template, count_tokens.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/serving.h"

namespace braid {

// Returns the reply to `body`. Thread: text.
absl::StatusOr<std::string> Tokenize(const Serving& serving, const Json& body);
absl::StatusOr<std::string> Detokenize(const Serving& serving, const Json& body);
absl::StatusOr<std::string> ApplyTemplate(const Serving& serving, const Json& body);
absl::StatusOr<std::string> CountTokens(const Serving& serving, const Json& body);

}  // namespace braid
