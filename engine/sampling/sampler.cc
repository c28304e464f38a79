#include "engine/sampling/sampler.h"

namespace braid {

SampleRow SampleRowOf(const LogitRow& logit_row, const SequenceRow& row, const SamplingSpec& spec) {
  const std::span tokens = std::span<const int32_t>(row.tokens).first(logit_row.position + 1);
  const std::span<const int32_t> output = tokens.subspan(row.prompt_tokens);
  const RowMask mask = spec.constraint != nullptr ? spec.constraint->Behind(output) : RowMask();
  const SamplingParams& p = spec.params;
  SampleRow out{.temperature = p.temperature,
                .top_p = p.top_p,
                .top_k = p.top_k,
                .min_p = p.min_p,
                .frequency_penalty = p.frequency_penalty,
                .presence_penalty = p.presence_penalty,
                .repetition_penalty = p.repetition_penalty,
                .seed = p.seed,
                .stream = spec.stream,
                .position = static_cast<uint32_t>(logit_row.position + 1),
                .prompt = tokens.first(row.prompt_tokens),
                .output = output,
                .logit_bias = p.logit_bias,
                .allowed_ids = p.allowed_token_ids,
                .mask = mask.words,
                .top_logprobs = p.logprobs};
  if (static_cast<int>(output.size()) < spec.min_tokens && !mask.must_end) out.banned_ids = spec.end_ids;
  return out;
}

}  // namespace braid
