#include "models/config_parts.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "models/weights/checked_size.h"

namespace braid::config {
namespace {

constexpr int64_t kMaxEosIds = 1024;

// Adds the token ids in `field`: a number, a list of them, or nothing.
void AddTokenIds(ConfigFields& fields, std::string_view field, int vocab_size, std::set<int32_t>* ids) {
  const Json* value = fields.Find({field});
  if (value == nullptr) return;
  const Json list = value->is_array() ? *value : Json::array({*value});
  if (list.size() > kMaxEosIds) return fields.Fail(field, absl::StrCat(list.size(), " ids, at most ", kMaxEosIds));
  for (const Json& id : list) {
    if (!id.is_number_integer() || id < 0 || id >= vocab_size) {
      return fields.Fail(field, absl::StrCat(Shown(id), " is no token id in 0..", vocab_size - 1));
    }
    ids->insert(id.get<int32_t>());
  }
}

}  // namespace

int Size(ConfigFields& fields, ConfigFields::Names names) { return static_cast<int>(fields.Int(names, 1, kMaxSize)); }

int SizeIf(bool needed, ConfigFields& fields, ConfigFields::Names names) {
  return needed ? Size(fields, names) : static_cast<int>(fields.IntOr(names, 0, 0, kMaxSize));
}

int Product(ConfigFields& fields, std::string_view field, int64_t a, int64_t b) {
  if (a * b > kMaxSize) fields.Fail(field, absl::StrCat(a, " x ", b, " is more than ", kMaxSize));
  return static_cast<int>(std::min(a * b, kMaxSize));
}

void CheckDivides(ConfigFields& fields, std::string_view field, int part, const char* whole_field, int whole) {
  if (part < 1 || whole % part != 0) {
    fields.Fail(field, absl::StrCat(part, " does not divide ", whole_field, " ", whole));
  }
}

std::vector<int32_t> EosTokenIds(ConfigFields& config, ConfigFields& generation, int vocab_size) {
  std::set<int32_t> ids;
  AddTokenIds(config, "eos_token_id", vocab_size, &ids);
  AddTokenIds(generation, "eos_token_id", vocab_size, &ids);
  return {ids.begin(), ids.end()};
}

std::optional<int32_t> BosTokenId(ConfigFields& fields, int vocab_size) {
  const std::optional<int64_t> id = fields.OptionalInt({"bos_token_id"}, 0, vocab_size - 1);
  if (!id.has_value()) return std::nullopt;
  return static_cast<int32_t>(*id);
}

void RefuseWindow(ConfigFields& fields) {
  if (fields.Find({"sliding_window"}) != nullptr && fields.BoolOr({"use_sliding_window"}, true)) {
    fields.Unsupported("sliding_window", "windowed attention is not supported in this model, want null");
  }
}

void RefuseUnsupported(ConfigFields& fields) {
  fields.Ignore({"quantization_config"});  // quantization.h reads it
  for (std::string_view field : {"attention_chunk_size", "no_rope_layers"}) {
    if (fields.Find({field}) != nullptr) fields.Unsupported(field, "is not supported, want null");
  }
}

void RefuseBlocks(ConfigFields& fields) {
  if (fields.Find({"block_configs"}) != nullptr) fields.Unsupported("block_configs", "is not supported, want null");
}

void ReadTimeStepLimit(ConfigFields& fields, MambaConfig* mamba) {
  const Json* value = fields.Find({"time_step_limit", "mamba_dt_limit"});
  if (value == nullptr) return;
  const bool pair = value->is_array() && value->size() == 2;
  const std::optional<double> min = pair ? NumberIn((*value)[0]) : std::nullopt;
  const std::optional<double> max = pair ? NumberIn((*value)[1]) : std::nullopt;
  if (!min.has_value() || !max.has_value() || !std::isfinite(*min) || *min < 0 || *max <= *min) {
    return fields.Fail("time_step_limit",
                       absl::StrCat(WriteJson(*value).substr(0, 64), " is no [min, max] with 0 <= min < max"));
  }
  mamba->time_step_min = static_cast<float>(*min);
  mamba->time_step_max = static_cast<float>(*max);  // above f32's range: infinity, no limit
}

void IgnoreCommon(ConfigFields& fields) {
  fields.Ignore({"_name_or_path",
                 "architectures",
                 "attention_dropout",
                 "attn_implementation",
                 "auto_map",
                 "chunk_size_feed_forward",
                 "dtype",
                 "head_dim",
                 "hidden_dropout",
                 "id2label",
                 "initializer_range",
                 "is_encoder_decoder",
                 "label2id",
                 "model_type",
                 "num_hidden_layers",
                 "output_attentions",
                 "output_hidden_states",
                 "pad_token_id",
                 "pretraining_tp",
                 "return_dict",
                 "torch_dtype",
                 "transformers_version",
                 "unk_token_id",
                 "use_cache",
                 "use_sliding_window"});
}

std::string GenerationPath(const std::string& config_path) {
  const size_t slash = config_path.rfind('/');
  return absl::StrCat(slash == std::string::npos ? "" : config_path.substr(0, slash + 1), "generation_config.json");
}

std::string ConfigPath(const Checkpoint& checkpoint) { return absl::StrCat(checkpoint.path(), "/config.json"); }

}  // namespace braid::config
