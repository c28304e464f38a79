// Makes a tokenizer of the vocabulary in GGUF metadata.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "models/tokenizer/tokenizer.h"
#include "models/tokenizer/tokenizer_parts.h"

namespace braid {

// Errors name the metadata key.
absl::StatusOr<std::unique_ptr<TokenizerParts>> PartsFromGguf(const GgufVocabulary& vocabulary);

}  // namespace braid
