#include "server/openai/prompt_logprobs_json.h"

#include <algorithm>

#include "kernels/base/errors.h"
#include "server/openai/json_text.h"

namespace braid {
namespace {

void AppendEntry(int32_t id, float logprob, int32_t rank, const Tokenizer* tokenizer, std::string* out) {
  out->push_back('"');
  AppendJsonInt(id, out);
  out->append("\":{\"logprob\":");
  AppendLogprob(logprob, out);
  out->append(",\"rank\":");
  AppendJsonInt(rank, out);
  out->append(",\"decoded_token\":");
  if (tokenizer != nullptr) {
    AppendJsonString(tokenizer->TokenBytes(id), out);
  } else {
    out->append("null");
  }
  out->push_back('}');
}

}  // namespace

std::string PromptLogprobsJson(std::span<const int32_t> ids, std::span<const TokenLogprobs> logprobs, int top,
                               const Tokenizer* tokenizer) {
  CHECK_EQ(ids.size(), logprobs.size() + 1);
  std::string out = "[null";
  for (size_t i = 0; i < logprobs.size(); ++i) {
    const TokenLogprobs& one = logprobs[i];
    out.append(",{");
    AppendEntry(ids[i + 1], one.logprob, one.rank, tokenizer, &out);
    const size_t count = std::min(static_cast<size_t>(top), one.top.size());
    for (size_t k = 0; k < count; ++k) {
      const auto& [id, logprob] = one.top[k];
      if (id == ids[i + 1]) continue;
      out.push_back(',');
      AppendEntry(id, logprob, static_cast<int32_t>(k) + 1, tokenizer, &out);
    }
    out.push_back('}');
  }
  out.push_back(']');
  return out;
}

}  // namespace braid
