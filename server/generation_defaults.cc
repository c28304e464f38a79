#include "server/generation_defaults.h"

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

// Sets `value` when the member is there and not null.
template <class T>
absl::Status Read(const Json& config, const char* name, double least, double most, T* value) {
  const auto found = config.find(name);
  if (found == config.end() || found->is_null()) return absl::OkStatus();
  const bool fits = found->is_number() && found->get<double>() >= least && found->get<double>() <= most;
  if (!fits) {
    return absl::InvalidArgumentError(absl::StrCat("generation_config.json: ", name, ": must be a number of ", least, " to ", most, ", not ", Shown(*found)));
  }
  *value = found->get<T>();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GenerationDefaults> ReadGenerationDefaults(const Json& config) {
  GenerationDefaults out;
  RETURN_IF_ERROR(Read(config, "temperature", 0, 2, &out.temperature));
  RETURN_IF_ERROR(Read(config, "top_p", 0, 1, &out.top_p));
  RETURN_IF_ERROR(Read(config, "top_k", -1, 1 << 30, &out.top_k));
  RETURN_IF_ERROR(Read(config, "min_p", 0, 1, &out.min_p));
  RETURN_IF_ERROR(Read(config, "repetition_penalty", 1e-3, 100, &out.repetition_penalty));
  return out;
}

}  // namespace braid
