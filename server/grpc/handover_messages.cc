#include "server/grpc/handover_messages.h"

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr int kMaxLayers = 4096;
constexpr size_t kMaxText = 4096;      // bytes of a name or a salt
constexpr int kMaxIds = 1 << 20;       // of a list that is not the prompt
constexpr int kMaxPrompt = 1 << 24;
constexpr int kMaxDrawn = 16;

template <class... Words>
absl::Status Wrong(const Words&... words) {
  return absl::InvalidArgumentError(absl::StrCat(words...));
}

absl::Status AtMost(const char* field, size_t count, size_t most) {
  return count <= most ? absl::OkStatus() : Wrong(field, ": ", count, " entries or bytes; at most ", most, " are accepted");
}

absl::StatusOr<DType> ReadKvDType(const std::string& name) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    if (name == DTypeName(dtype)) return dtype;
  }
  return Wrong("layout.kv_dtype: \"", name.substr(0, 16), "\" is none of F32, F16, BF16");
}

void WriteLayout(const SequenceLayout& layout, v1::MemoryLayout* message) {
  message->set_form(layout.form);
  message->set_kv_dtype(DTypeName(layout.kv_dtype));
  message->set_block_size(layout.block_size);
  message->set_state_grid(layout.state_grid);
  for (const AttentionCacheShape& shape : layout.cache.attention) {
    v1::MemoryLayout::Attention* const layer = message->add_attention();
    layer->set_kv_heads(shape.kv_heads);
    layer->set_head_dim(shape.head_dim);
  }
  for (const MambaStateLayout& shape : layout.cache.mamba) {
    v1::MemoryLayout::Mamba* const layer = message->add_mamba();
    layer->set_heads(shape.heads);
    layer->set_head_dim(shape.head_dim);
    layer->set_state_size(shape.state_size);
    layer->set_groups(shape.groups);
    layer->set_conv_kernel(shape.conv_kernel);
  }
}

absl::StatusOr<SequenceLayout> ReadLayout(const v1::MemoryLayout& message) {
  SequenceLayout layout;
  RETURN_IF_ERROR(AtMost("layout.form", message.form().size(), kMaxText));
  RETURN_IF_ERROR(AtMost("layout.attention", message.attention_size(), kMaxLayers));
  RETURN_IF_ERROR(AtMost("layout.mamba", message.mamba_size(), kMaxLayers));
  ASSIGN_OR_RETURN(layout.kv_dtype, ReadKvDType(message.kv_dtype()));
  layout.form = message.form();
  layout.block_size = message.block_size();
  layout.state_grid = message.state_grid();
  for (const v1::MemoryLayout::Attention& layer : message.attention()) {
    layout.cache.attention.push_back({.kv_heads = layer.kv_heads(), .head_dim = layer.head_dim()});
  }
  for (const v1::MemoryLayout::Mamba& layer : message.mamba()) {
    layout.cache.mamba.push_back({.heads = layer.heads(),
                                  .head_dim = layer.head_dim(),
                                  .state_size = layer.state_size(),
                                  .groups = layer.groups(),
                                  .conv_kernel = layer.conv_kernel()});
  }
  return layout;
}

void WriteIdentity(const HandoverIdentity& identity, v1::Identity* message) {
  message->set_model_digest(identity.model_digest);
  message->set_fingerprint(identity.fingerprint);
  message->set_vocab_size(identity.vocab_size);
  WriteLayout(identity.layout, message->mutable_layout());
}

absl::StatusOr<HandoverIdentity> ReadIdentity(const v1::Identity& message) {
  RETURN_IF_ERROR(AtMost("model_digest", message.model_digest().size(), kMaxText));
  RETURN_IF_ERROR(AtMost("fingerprint", message.fingerprint().size(), kMaxText));
  HandoverIdentity identity{message.model_digest(), message.fingerprint(), message.vocab_size(), {}};
  ASSIGN_OR_RETURN(identity.layout, ReadLayout(message.layout()));
  return identity;
}

void WriteSampling(const SamplingParams& params, v1::DrawParams* message) {
  message->set_temperature(params.temperature);
  message->set_top_p(params.top_p);
  message->set_top_k(params.top_k);
  message->set_min_p(params.min_p);
  message->set_frequency_penalty(params.frequency_penalty);
  message->set_presence_penalty(params.presence_penalty);
  message->set_repetition_penalty(params.repetition_penalty);
  message->set_seed(params.seed);
  message->set_logprobs(params.logprobs);
  for (const auto& [id, bias] : params.logit_bias) {
    message->add_biased_ids(id);
    message->add_biases(bias);
  }
  message->mutable_allowed_ids()->Add(params.allowed_token_ids.begin(), params.allowed_token_ids.end());
}

absl::StatusOr<SamplingParams> ReadSampling(const v1::DrawParams& message) {
  RETURN_IF_ERROR(AtMost("sampling.biased_ids", message.biased_ids_size(), kMaxIds));
  RETURN_IF_ERROR(AtMost("sampling.allowed_ids", message.allowed_ids_size(), kMaxIds));
  if (message.biased_ids_size() != message.biases_size()) {
    return Wrong("sampling.biases: ", message.biases_size(), " for ", message.biased_ids_size(), " biased_ids");
  }
  SamplingParams params{.temperature = message.temperature(),
                        .top_p = message.top_p(),
                        .top_k = message.top_k(),
                        .min_p = message.min_p(),
                        .frequency_penalty = message.frequency_penalty(),
                        .presence_penalty = message.presence_penalty(),
                        .repetition_penalty = message.repetition_penalty(),
                        .seed = message.seed(),
                        .allowed_token_ids = {message.allowed_ids().begin(), message.allowed_ids().end()},
                        .logprobs = message.logprobs()};
  for (int i = 0; i < message.biases_size(); ++i) params.logit_bias.emplace_back(message.biased_ids(i), message.biases(i));
  return params;
}

absl::StatusOr<TokenLogprobs> ReadLogprobs(const v1::DrawnLogprobs& message) {
  RETURN_IF_ERROR(AtMost("logprobs.top_ids", message.top_ids_size(), kMaxIds));
  if (message.top_ids_size() != message.top_logprobs_size()) {
    return Wrong("logprobs.top_logprobs: ", message.top_logprobs_size(), " for ", message.top_ids_size(), " top_ids");
  }
  TokenLogprobs logprobs{.logprob = message.logprob()};
  for (int i = 0; i < message.top_ids_size(); ++i) logprobs.top.emplace_back(message.top_ids(i), message.top_logprobs(i));
  return logprobs;
}

}  // namespace

void WriteCall(const PrefillCall& call, v1::PrefillRequest* message) {
  WriteIdentity(call.asker, message->mutable_asker());
  message->set_request_id(call.request_id);
  message->mutable_prompt()->Add(call.prompt.begin(), call.prompt.end());
  message->set_draws(call.draws);
  WriteSampling(call.sampling, message->mutable_sampling());
  message->set_min_tokens(call.min_tokens);
  message->set_ignore_eos(call.ignore_eos);
  message->mutable_stop_ids()->Add(call.stop_token_ids.begin(), call.stop_token_ids.end());
  message->set_cache_salt(call.cache_salt);
  message->set_priority(call.priority);
  message->set_timeout_ms(call.timeout_ms);
}

absl::StatusOr<PrefillCall> ReadCall(const v1::PrefillRequest& message) {
  RETURN_IF_ERROR(AtMost("request_id", message.request_id().size(), kMaxText));
  RETURN_IF_ERROR(AtMost("prompt", message.prompt_size(), kMaxPrompt));
  RETURN_IF_ERROR(AtMost("stop_ids", message.stop_ids_size(), kMaxIds));
  RETURN_IF_ERROR(AtMost("cache_salt", message.cache_salt().size(), kMaxText));
  constexpr int64_t kMaxTimeoutMs = 24 * 3600 * 1000;
  if (message.timeout_ms() < 0 || message.timeout_ms() > kMaxTimeoutMs) {
    return Wrong("timeout_ms: ", message.timeout_ms(), " is not in 0..", kMaxTimeoutMs);
  }
  if (message.min_tokens() < 0) return Wrong("min_tokens: ", message.min_tokens(), " is below 0");
  PrefillCall call{.request_id = message.request_id(),
                   .prompt = {message.prompt().begin(), message.prompt().end()},
                   .draws = message.draws(),
                   .min_tokens = message.min_tokens(),
                   .ignore_eos = message.ignore_eos(),
                   .stop_token_ids = {message.stop_ids().begin(), message.stop_ids().end()},
                   .cache_salt = message.cache_salt(),
                   .priority = message.priority(),
                   .timeout_ms = message.timeout_ms()};
  ASSIGN_OR_RETURN(call.asker, ReadIdentity(message.asker()));
  ASSIGN_OR_RETURN(call.sampling, ReadSampling(message.sampling()));
  return call;
}

void WriteOffer(const PrefillOffer& offer, v1::PrefillReply* message) {
  WriteName(offer.name, message->mutable_offer());
  WriteIdentity(offer.from, message->mutable_from());
  message->set_num_computed(offer.num_computed);
  message->set_image_bytes(offer.image_bytes);
  message->mutable_tokens()->Add(offer.tokens.begin(), offer.tokens.end());
  for (const TokenLogprobs& logprobs : offer.logprobs) {
    v1::DrawnLogprobs* const drawn = message->add_logprobs();
    drawn->set_logprob(logprobs.logprob);
    for (const auto& [id, logprob] : logprobs.top) {
      drawn->add_top_ids(id);
      drawn->add_top_logprobs(logprob);
    }
  }
  message->set_stopped(offer.finish == FinishReason::kStop);
  message->set_stop_token(offer.stop_token);
  message->set_cached_tokens(offer.cached_tokens);
  message->set_lease_ms(offer.lease_ms);
}

absl::StatusOr<PrefillOffer> ReadOffer(const v1::PrefillReply& message) {
  RETURN_IF_ERROR(AtMost("offer.tokens", message.tokens_size(), kMaxDrawn));
  RETURN_IF_ERROR(AtMost("offer.logprobs", message.logprobs_size(), kMaxDrawn));
  PrefillOffer offer{.num_computed = message.num_computed(),
                     .image_bytes = message.image_bytes(),
                     .tokens = {message.tokens().begin(), message.tokens().end()},
                     .finish = message.stopped() ? FinishReason::kStop : FinishReason::kNone,
                     .stop_token = message.stop_token(),
                     .cached_tokens = message.cached_tokens(),
                     .lease_ms = message.lease_ms()};
  ASSIGN_OR_RETURN(offer.name, ReadName(message.offer()));
  ASSIGN_OR_RETURN(offer.from, ReadIdentity(message.from()));
  for (const v1::DrawnLogprobs& drawn : message.logprobs()) {
    ASSIGN_OR_RETURN(TokenLogprobs logprobs, ReadLogprobs(drawn));
    offer.logprobs.push_back(std::move(logprobs));
  }
  return offer;
}

void WriteName(const OfferName& name, v1::OfferId* message) {
  message->set_id(name.id);
  message->set_epoch(name.epoch);
}

absl::StatusOr<OfferName> ReadName(const v1::OfferId& message) {
  RETURN_IF_ERROR(AtMost("offer.id", message.id().size(), 64));
  return OfferName{message.id(), message.epoch()};
}

}  // namespace braid
