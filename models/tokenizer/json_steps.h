// Reads the normalizer, pre_tokenizer and decoder of a tokenizer.json into steps.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "models/tokenizer/decoder.h"
#include "models/tokenizer/json_field.h"
#include "models/tokenizer/normalizer.h"
#include "models/tokenizer/pre_split.h"

namespace braid {

// Each takes the object with a "type", or null; a Sequence is laid out flat.
absl::StatusOr<std::vector<NormalizerStep>> NormalizerSteps(const JsonField& normalizer);
absl::StatusOr<std::vector<SplitStep>> SplitSteps(const JsonField& pre_tokenizer);
absl::StatusOr<std::vector<DecoderStep>> DecoderSteps(const JsonField& decoder);

}  // namespace braid
