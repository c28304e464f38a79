// Reads tokenizer.json and tokenizer_config.json (Hugging Face tokenizers' file format).
#pragma once

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "models/tokenizer/tokenizer_parts.h"

namespace braid {

// Errors name the field; what the format knows and we do not is Unimplemented. `config_json` may be empty.
absl::StatusOr<std::unique_ptr<TokenizerParts>> PartsFromJson(std::string_view tokenizer_json,
                                                              std::string_view config_json);

}  // namespace braid
