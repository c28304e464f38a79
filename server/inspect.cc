#include "server/inspect.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "kernels/base/errors.h"
#include "kernels/base/json.h"
#include "models/weights/checkpoint.h"
#include "server/setting.h"

namespace braid {
namespace {

DType KvDType(const std::string& name) {
  if (name == "f32") return DType::kF32;
  return name == "bf16" ? DType::kBF16 : DType::kF16;
}

std::string CountText(int64_t count) {
  if (count >= 1'000'000'000) return absl::StrFormat("%.2f B", static_cast<double>(count) / 1e9);
  if (count >= 1'000'000) return absl::StrFormat("%.2f M", static_cast<double>(count) / 1e6);
  return absl::StrCat(count);
}

int64_t WeightBytes(const ModelSummary& summary) {
  int64_t bytes = 0;
  for (const auto& [format, size] : summary.bytes_by_format) bytes += size;
  return bytes;
}

std::string Row(const char* name, const std::string& value) { return absl::StrFormat("%-24s %s\n", name, value); }

}  // namespace

Fit FitOf(const ModelSummary& s, int64_t memory_bytes) {
  const int64_t left = std::max<int64_t>(memory_bytes - s.state_bytes_per_sequence, 0);
  const bool state_fits = memory_bytes >= s.state_bytes_per_sequence;
  const double sequence = static_cast<double>(s.kv_bytes_per_token) * s.max_model_len + static_cast<double>(s.state_bytes_per_sequence);
  Fit fit;
  fit.full_length_sequences = sequence > 0 ? static_cast<int64_t>(static_cast<double>(memory_bytes) / sequence) : 0;
  fit.one_sequence_tokens = !state_fits ? 0 : s.kv_bytes_per_token > 0 ? left / s.kv_bytes_per_token : s.max_model_len;
  fit.one_sequence_tokens = std::min<int64_t>(fit.one_sequence_tokens, s.max_model_len);
  return fit;
}

std::string TableOf(const ModelSummary& s, const InspectConfig& config) {
  std::string out = Row("family", s.family);
  out += Row("layers", absl::StrJoin(s.layers_by_kind, ", ", [](std::string* text, const auto& kind) {
    absl::StrAppend(text, kind.second, " ", kind.first);
  }));
  out += Row("parameters", CountText(s.parameters));
  out += Row("vocabulary", absl::StrCat(s.vocab_size, " tokens"));
  out += Row("context", absl::StrCat(s.max_model_len, " tokens"));
  out += Row("weights", BytesText(WeightBytes(s)));
  for (const auto& [format, bytes] : s.bytes_by_format) out += Row(absl::StrCat("  ", format).c_str(), BytesText(bytes));
  out += Row("KV cache", absl::StrCat(BytesText(s.kv_bytes_per_token), " a token (", config.kv_dtype, ")"));
  out += Row("recurrent state", absl::StrCat(BytesText(s.state_bytes_per_sequence), " a sequence (grid ", config.state_grid, ")"));
  if (config.memory_bytes > 0) {
    const Fit fit = FitOf(s, config.memory_bytes);
    out += absl::StrCat("\nIn ", BytesText(config.memory_bytes), " beside the weights:\n");
    out += Row("  full-length sequences", absl::StrCat(fit.full_length_sequences));
    out += Row("  longest sequence", absl::StrCat(fit.one_sequence_tokens, " tokens"));
  }
  return out;
}

std::string JsonOf(const ModelSummary& s, const InspectConfig& config) {
  Json json = {{"family", s.family}, {"layers", Json::object()}, {"parameters", s.parameters},
               {"vocab_size", s.vocab_size}, {"max_model_len", s.max_model_len}, {"weight_bytes", WeightBytes(s)},
               {"bytes_by_format", Json::object()}, {"kv_dtype", config.kv_dtype},
               {"kv_bytes_per_token", s.kv_bytes_per_token}, {"state_grid", config.state_grid},
               {"state_bytes_per_sequence", s.state_bytes_per_sequence}};
  for (const auto& [kind, count] : s.layers_by_kind) json["layers"][kind] = count;
  for (const auto& [format, bytes] : s.bytes_by_format) json["bytes_by_format"][format] = bytes;
  if (config.memory_bytes > 0) {
    const Fit fit = FitOf(s, config.memory_bytes);
    json["fits"] = {{"memory_bytes", config.memory_bytes},
                    {"full_length_sequences", fit.full_length_sequences},
                    {"one_sequence_tokens", fit.one_sequence_tokens}};
  }
  return WriteJson(json) + "\n";
}

absl::StatusOr<std::string> Inspect(const InspectConfig& config) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(config.model));
  ASSIGN_OR_RETURN(const ModelSummary summary, Summarize(*checkpoint, KvDType(config.kv_dtype), config.state_grid));
  return config.json ? JsonOf(summary, config) : TableOf(summary, config);
}

}  // namespace braid
