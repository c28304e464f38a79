// Llama-Nemotron (DeciLM): Llama's configuration, and block_configs with the shapes of each layer.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "models/config_parts.h"
#include "models/weights/quantization.h"

namespace braid {
namespace {

using namespace config;
using Part = NemotronNasConfig::Part;

Part PartOf(ConfigFields& fields) {
  const bool none = fields.BoolOr({"no_op"}, false), matrix = fields.BoolOr({"replace_with_linear"}, false);
  if (none && matrix) fields.Fail("no_op", "true, and replace_with_linear too");
  return none ? Part::kNone : matrix ? Part::kMatrix : Part::kMixer;
}

// Two thirds of ffn_mult * hidden_size, doubled, up to the next multiple of 256.
int IntermediateOf(ConfigFields& fields, int hidden_size) {
  if (fields.Find({"intermediate_size"}) != nullptr) return Size(fields, {"intermediate_size"});
  if (fields.Find({"ffn_mult"}) == nullptr) fields.Fail("ffn_mult", "is missing, and intermediate_size too");
  const double mult = fields.FloatOr({"ffn_mult"}, 1.0, 1e-3, 1e3);
  const int64_t width = static_cast<int64_t>(2 * mult * hidden_size / 3);
  return Product(fields, "ffn_mult x hidden_size", (width + 255) / 256, 256);
}

void ReadAttention(const Json& attention, const LlamaConfig& llama, ConfigFields& outer, const std::string& where,
                   NemotronNasConfig::Block* block) {
  ConfigFields fields(attention, where);
  block->attention = PartOf(fields);
  if (block->attention == Part::kMixer) {
    const int group = static_cast<int>(fields.Int({"n_heads_in_group"}, 1, kMaxSize));
    CheckDivides(fields, "n_heads_in_group", group, "num_attention_heads", llama.num_heads);
    block->num_kv_heads = std::max(1, llama.num_heads / group);
  }
  for (const char* field : {"window_length", "num_sink_tokens", "sparsify"}) {
    if (fields.Find({field}) != nullptr) fields.Unsupported(field, "want null");
  }
  outer.Adopt(fields.status());
}

void ReadMlp(const Json& ffn, const LlamaConfig& llama, ConfigFields& outer, const std::string& where,
             NemotronNasConfig::Block* block) {
  ConfigFields fields(ffn, where);
  block->mlp = PartOf(fields);
  if (block->mlp == Part::kMixer) block->intermediate_size = IntermediateOf(fields, llama.hidden_size);
  if (fields.TextOr({"hidden_act"}, "silu") != "silu") fields.Unsupported("hidden_act", "want silu");
  for (const char* field : {"moe", "sparsify"}) {
    if (fields.Find({field}) != nullptr) fields.Unsupported(field, "want null");
  }
  outer.Adopt(fields.status());
}

void ReadBlocks(ConfigFields& fields, NemotronNasConfig* c) {
  const Json* blocks = fields.Find({"block_configs"});
  if (blocks == nullptr || !blocks->is_array() || blocks->size() != static_cast<size_t>(c->llama.num_layers)) {
    return fields.Fail("block_configs", absl::StrCat("is no list of ", c->llama.num_layers, " layers"));
  }
  for (size_t i = 0; i < blocks->size() && fields.status().ok(); ++i) {
    const Json& entry = (*blocks)[i];
    const std::string where = absl::StrCat(fields.where(), ": block_configs[", i, "]");
    const bool whole = entry.is_object() && entry.contains("attention") && entry["attention"].is_object() &&
                       entry.contains("ffn") && entry["ffn"].is_object();
    if (!whole) return fields.Fail("block_configs", absl::StrCat("[", i, "] is no object of attention and ffn"));
    NemotronNasConfig::Block& block = c->blocks.emplace_back();
    ReadAttention(entry["attention"], c->llama, fields, where + ".attention", &block);
    ReadMlp(entry["ffn"], c->llama, fields, where + ".ffn", &block);
  }
}

}  // namespace

absl::StatusOr<NemotronNasConfig> ParseNemotronNasConfig(const Json& config, const Json& generation,
                                                         const std::string& path) {
  Json llama = config;
  llama["model_type"] = "llama";
  llama["intermediate_size"] = 1;  // the blocks'
  llama["num_key_value_heads"] = nullptr;
  llama.erase("block_configs");
  NemotronNasConfig c;
  ASSIGN_OR_RETURN(c.llama, ParseLlamaConfig(llama, generation, path));
  c.llama.model_type = "nemotron-nas";
  ConfigFields fields(config, path);
  ReadBlocks(fields, &c);
  RETURN_IF_ERROR(fields.status());
  return c;
}

absl::StatusOr<NemotronNasConfig> ReadNemotronNasConfig(const Checkpoint& checkpoint) {
  RETURN_IF_ERROR(ReadQuantization(checkpoint).status());
  return ParseNemotronNasConfig(checkpoint.config(), checkpoint.generation_config(), ConfigPath(checkpoint));
}

}  // namespace braid
