#include "engine/handover/offer_check.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr int64_t kMaxLeaseMs = 24 * 3600 * 1000;
constexpr size_t kOfferIdDigits = 32;

template <class... Words>
absl::Status Wrong(const Words&... words) {
  return absl::InvalidArgumentError(absl::StrCat("offer.", words...));
}

template <class Value>
absl::Status Same(const std::string& field, const Value& theirs, const Value& ours) {
  if (theirs == ours) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(field, ": ", theirs, " is not ours, ", ours));
}

absl::Status CheckAttention(const AttentionCacheShape& theirs, const AttentionCacheShape& ours, size_t layer) {
  const std::string place = absl::StrCat("layout.attention[", layer, "].");
  RETURN_IF_ERROR(Same(place + "kv_heads", theirs.kv_heads, ours.kv_heads));
  return Same(place + "head_dim", theirs.head_dim, ours.head_dim);
}

absl::Status CheckMamba(const MambaStateLayout& theirs, const MambaStateLayout& ours, size_t layer) {
  const std::string place = absl::StrCat("layout.mamba[", layer, "].");
  RETURN_IF_ERROR(Same(place + "heads", theirs.heads, ours.heads));
  RETURN_IF_ERROR(Same(place + "head_dim", theirs.head_dim, ours.head_dim));
  RETURN_IF_ERROR(Same(place + "state_size", theirs.state_size, ours.state_size));
  RETURN_IF_ERROR(Same(place + "groups", theirs.groups, ours.groups));
  return Same(place + "conv_kernel", theirs.conv_kernel, ours.conv_kernel);
}

absl::Status CheckLayout(const SequenceLayout& theirs, const SequenceLayout& ours) {
  RETURN_IF_ERROR(Same("layout.form", theirs.form, ours.form));
  RETURN_IF_ERROR(Same<std::string>("layout.kv_dtype", DTypeName(theirs.kv_dtype), DTypeName(ours.kv_dtype)));
  RETURN_IF_ERROR(Same("layout.block_size", theirs.block_size, ours.block_size));
  RETURN_IF_ERROR(Same("layout.state_grid", theirs.state_grid, ours.state_grid));
  RETURN_IF_ERROR(Same("layout.attention: layers", theirs.cache.attention.size(), ours.cache.attention.size()));
  RETURN_IF_ERROR(Same("layout.mamba: layers", theirs.cache.mamba.size(), ours.cache.mamba.size()));
  for (size_t i = 0; i < ours.cache.attention.size(); ++i) {
    RETURN_IF_ERROR(CheckAttention(theirs.cache.attention[i], ours.cache.attention[i], i));
  }
  for (size_t i = 0; i < ours.cache.mamba.size(); ++i) {
    RETURN_IF_ERROR(CheckMamba(theirs.cache.mamba[i], ours.cache.mamba[i], i));
  }
  return absl::OkStatus();
}

absl::Status CheckLogprobs(const TokenLogprobs& logprobs, const PrefillCall& call) {
  const size_t asked = static_cast<size_t>(call.sampling.logprobs);
  if (logprobs.top.size() > asked) return Wrong("logprobs.top: ", logprobs.top.size(), " entries; ", asked, " were asked for");
  if (std::isnan(logprobs.logprob)) return Wrong("logprobs.logprob: is not a number");
  for (const auto& [id, logprob] : logprobs.top) {
    if (id < 0 || id >= call.asker.vocab_size) {
      return Wrong("logprobs.top: token id ", id, " is not in 0..", call.asker.vocab_size - 1);
    }
    if (std::isnan(logprob)) return Wrong("logprobs.top: the logprob of token ", id, " is not a number");
  }
  return absl::OkStatus();
}

absl::Status CheckTokens(const PrefillOffer& offer, const PrefillCall& call) {
  const size_t wanted = call.draws ? 1 : 0;
  if (offer.tokens.size() != wanted) return Wrong("tokens: ", offer.tokens.size(), " where ", wanted, " are wanted");
  for (const int32_t id : offer.tokens) {
    if (id < 0 || id >= call.asker.vocab_size) return Wrong("tokens: id ", id, " is not in 0..", call.asker.vocab_size - 1);
  }
  const size_t num_logprobs = call.sampling.logprobs >= 0 ? wanted : 0;
  if (offer.logprobs.size() != num_logprobs) {
    return Wrong("logprobs: ", offer.logprobs.size(), " where ", num_logprobs, " are wanted");
  }
  for (const TokenLogprobs& logprobs : offer.logprobs) RETURN_IF_ERROR(CheckLogprobs(logprobs, call));
  const bool stopped = offer.finish == FinishReason::kStop;
  if (!stopped && offer.finish != FinishReason::kNone) return Wrong("finish: ", static_cast<int>(offer.finish), " is neither none nor stop");
  if (stopped && (wanted == 0 || offer.stop_token != offer.tokens[0])) return Wrong("stop_token: ", offer.stop_token, " was not drawn");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckIdentity(const HandoverIdentity& theirs, const HandoverIdentity& ours) {
  RETURN_IF_ERROR(Same("model_digest", theirs.model_digest, ours.model_digest));
  RETURN_IF_ERROR(Same("vocab_size", theirs.vocab_size, ours.vocab_size));
  return CheckLayout(theirs.layout, ours.layout);
}

absl::Status CheckOffer(const PrefillOffer& offer, const PrefillCall& call) {
  RETURN_IF_ERROR(CheckIdentity(offer.from, call.asker));
  RETURN_IF_ERROR(CheckTokens(offer, call));
  const int32_t prompt = static_cast<int32_t>(call.prompt.size());
  if (offer.cached_tokens < 0 || offer.cached_tokens >= prompt) {
    return Wrong("cached_tokens: ", offer.cached_tokens, " is not in 0..", prompt - 1);
  }
  if (offer.name.id.empty()) {
    return offer.image_bytes == 0 ? absl::OkStatus() : Wrong("image_bytes: ", offer.image_bytes, " of an offer without id");
  }
  const bool is_hex = std::all_of(offer.name.id.begin(), offer.name.id.end(), absl::ascii_isxdigit);
  if (offer.name.id.size() != kOfferIdDigits || !is_hex) {
    return Wrong("id: ", offer.name.id.size(), " bytes where ", kOfferIdDigits, " hexadecimal digits are wanted");
  }
  const int32_t wanted = call.draws ? prompt : prompt - 1;
  if (offer.num_computed != wanted) return Wrong("num_computed: ", offer.num_computed, " where ", wanted, " is wanted");
  const int64_t bytes = call.asker.layout.ImageBytes(wanted);
  if (offer.image_bytes != bytes) return Wrong("image_bytes: ", offer.image_bytes, " where our layout has ", bytes);
  if (offer.lease_ms < 1 || offer.lease_ms > kMaxLeaseMs) {
    return Wrong("lease_ms: ", offer.lease_ms, " is not in 1..", kMaxLeaseMs);
  }
  return absl::OkStatus();
}

}  // namespace braid
