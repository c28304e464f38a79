// What the readers of several families' config.json share: sizes, token ids, what is ignored and what is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/model_config.h"
#include "models/weights/config_fields.h"

namespace braid::config {

inline constexpr int64_t kMaxExperts = 65'536;
inline constexpr double kMaxEps = 1.0;

int Size(ConfigFields& fields, ConfigFields::Names names);
// A size that only some layers need: when none does, it is checked if it is there, and may be missing.
int SizeIf(bool needed, ConfigFields& fields, ConfigFields::Names names);
// a * b as a size.
int Product(ConfigFields& fields, std::string_view field, int64_t a, int64_t b);
void CheckDivides(ConfigFields& fields, std::string_view field, int part, const char* whole_field, int whole);

// eos_token_id of both documents together: chat checkpoints list the end of a turn only in the second.
std::vector<int32_t> EosTokenIds(ConfigFields& config, ConfigFields& generation, int vocab_size);
std::optional<int32_t> BosTokenId(ConfigFields& fields, int vocab_size);

// What a family refuses rather than computes wrongly: every one, those without blocks of their own shapes, and those
// without windows.
void RefuseUnsupported(ConfigFields& fields);
void RefuseBlocks(ConfigFields& fields);
void RefuseWindow(ConfigFields& fields);
// Reads time_step_limit, in any of its spellings.
void ReadTimeStepLimit(ConfigFields& fields, MambaConfig* mamba);
// Passes over what a configuration holds that a forward pass does not need.
void IgnoreCommon(ConfigFields& fields);

std::string ConfigPath(const Checkpoint& checkpoint);
// generation_config.json beside `config_path`.
std::string GenerationPath(const std::string& config_path);

}  // namespace braid::config
