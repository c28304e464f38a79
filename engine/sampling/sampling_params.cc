#include "engine/sampling/sampling_params.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace braid {
namespace {

// OK when low <= value <= high; NaN is neither.
absl::Status InRange(const char* field, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, " is not in ", low, "..", high));
}

absl::Status IsToken(const char* field, int32_t id, int vocab_size) {
  if (id >= 0 && id < vocab_size) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": token id ", id, " is not in 0..", vocab_size - 1));
}

}  // namespace

absl::Status SamplingParams::Validate(int vocab_size) const {
  absl::Status status;
  status.Update(InRange("temperature", temperature, 0, 2));
  status.Update(InRange("top_p", top_p, 0, 1));
  status.Update(InRange("top_k", top_k, -1, vocab_size));
  status.Update(InRange("min_p", min_p, 0, 1));
  status.Update(InRange("frequency_penalty", frequency_penalty, -2, 2));
  status.Update(InRange("presence_penalty", presence_penalty, -2, 2));
  status.Update(InRange("logprobs", logprobs, -1, kMaxTopLogprobs));
  if (!(repetition_penalty > 0) || !std::isfinite(repetition_penalty)) {
    status.Update(absl::InvalidArgumentError(
        absl::StrCat("repetition_penalty: ", repetition_penalty, " is not a finite number above 0")));
  }
  for (const auto& [id, bias] : logit_bias) {
    status.Update(IsToken("logit_bias", id, vocab_size));
    status.Update(InRange("logit_bias", bias, -100, 100));
  }
  for (int32_t id : allowed_token_ids) status.Update(IsToken("allowed_token_ids", id, vocab_size));
  return status;
}

}  // namespace braid
