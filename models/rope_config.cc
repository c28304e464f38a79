#include "models/rope_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "absl/strings/str_cat.h"
#include "models/config_parts.h"
#include "models/weights/checked_size.h"

namespace braid {
namespace {

using namespace config;

std::optional<RopeKind> RopeKindNamed(std::string_view name) {
  if (name == "default") return RopeKind::kDefault;
  if (name == "linear") return RopeKind::kLinear;
  if (name == "llama3") return RopeKind::kLlama3;
  if (name == "yarn") return RopeKind::kYarn;
  return std::nullopt;
}

void ReadLlama3Scaling(ConfigFields& fields, RopeConfig* rope) {
  rope->low_freq_factor = static_cast<float>(fields.FloatOr({"low_freq_factor"}, 1.0, 1e-3, 1e6));
  rope->high_freq_factor = static_cast<float>(fields.FloatOr({"high_freq_factor"}, 4.0, 1e-3, 1e6));
  rope->original_max_position = Size(fields, {"original_max_position_embeddings"});
  if (rope->high_freq_factor <= rope->low_freq_factor) {
    fields.Fail("high_freq_factor",
                absl::StrCat(rope->high_freq_factor, " is not above low_freq_factor ", rope->low_freq_factor));
  }
}

// The pairs that turn beta_slow to beta_fast times in the original length go over from stretched to kept.
void ReadYarnScaling(ConfigFields& fields, RopeConfig* rope) {
  rope->beta_fast = static_cast<float>(fields.FloatOr({"beta_fast"}, 32.0, 1e-3, 1e6));
  rope->beta_slow = static_cast<float>(fields.FloatOr({"beta_slow"}, 1.0, 1e-3, 1e6));
  rope->truncate = fields.BoolOr({"truncate"}, true);
  rope->original_max_position = Size(fields, {"original_max_position_embeddings"});
  const double scale = rope->factor > 1 ? 0.1 * std::log(static_cast<double>(rope->factor)) + 1 : 1.0;
  rope->attention_factor = static_cast<float>(fields.FloatOr({"attention_factor"}, scale, 1e-3, 1e3));
  for (const char* field : {"mscale", "mscale_all_dim"}) {
    if (fields.Find({field}) != nullptr) fields.Unsupported(field, "is not supported, want null");
  }
}

// One object of rope_parameters or rope_scaling.
RopeConfig ReadScaling(ConfigFields& fields) {
  RopeConfig rope;
  const std::string type = fields.TextOr({"rope_type", "type"}, "default");
  const std::optional<RopeKind> kind = RopeKindNamed(type);
  if (!kind.has_value()) {
    fields.Unsupported("rope_type", absl::StrCat(Quoted(type), " is not supported; default, linear, llama3 and yarn are"));
    return rope;
  }
  rope.kind = *kind;
  rope.partial = static_cast<float>(fields.FloatOr({"partial_rotary_factor"}, 1.0, 0.0, 1.0));
  if (rope.kind == RopeKind::kDefault) return rope;
  if (fields.Find({"factor"}) == nullptr) fields.Fail("factor", "is missing");
  rope.factor = static_cast<float>(fields.FloatOr({"factor"}, 1.0, 1e-3, 1e6));
  if (rope.kind == RopeKind::kLlama3) ReadLlama3Scaling(fields, &rope);
  if (rope.kind == RopeKind::kYarn) ReadYarnScaling(fields, &rope);
  return rope;
}

// The factor by which llama3 scaling changes a frequency: long wavelengths are stretched, short ones are kept.
double Llama3Scale(const RopeConfig& rope, double frequency) {
  const double turns = rope.original_max_position * frequency / (2.0 * std::numbers::pi);  // in the original length
  if (turns < rope.low_freq_factor) return 1.0 / rope.factor;
  if (turns > rope.high_freq_factor) return 1.0;
  const double smooth = (turns - rope.low_freq_factor) / (double{rope.high_freq_factor} - rope.low_freq_factor);
  return (1.0 - smooth) / rope.factor + smooth;
}

// The pair, as a fraction, that turns `turns` times in the original length.
double PairTurning(const RopeConfig& rope, double turns, int rotary_dim) {
  return rotary_dim * std::log(rope.original_max_position / (turns * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(static_cast<double>(rope.theta)));
}

double YarnScale(const RopeConfig& rope, int pair, int rotary_dim) {
  double low = PairTurning(rope, rope.beta_fast, rotary_dim), high = PairTurning(rope, rope.beta_slow, rotary_dim);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, rotary_dim - 1.0);
  if (low == high) high += 0.001;
  const double stretched = std::clamp((pair - low) / (high - low), 0.0, 1.0);
  return stretched / rope.factor + (1.0 - stretched);
}

double Scale(const RopeConfig& rope, double frequency, int pair, int rotary_dim) {
  switch (rope.kind) {
    case RopeKind::kNone:
      return 0.0;
    case RopeKind::kDefault:
      return 1.0;
    case RopeKind::kLinear:
      return 1.0 / rope.factor;
    case RopeKind::kLlama3:
      return Llama3Scale(rope, frequency);
    case RopeKind::kYarn:
      return YarnScale(rope, pair, rotary_dim);
  }
  return 1.0;
}

}  // namespace

RopeConfig ReadRope(ConfigFields& config) {
  constexpr double kMinTheta = 1.0, kMaxTheta = 1e12, kTheta = 10'000.0;
  const double outer_partial =
      config.FloatOr({"partial_rotary_factor", "rope_percent", "rope_percentage"}, 1.0, 0.0, 1.0);
  const double outer_theta = config.FloatOr({"rope_theta"}, kTheta, kMinTheta, kMaxTheta);
  const std::string field = config.Find({"rope_parameters"}) != nullptr ? "rope_parameters" : "rope_scaling";
  const Json* scaling = config.Find({field});
  config.Ignore({"rope_scaling"});
  RopeConfig rope;
  rope.theta = static_cast<float>(outer_theta);
  rope.partial = static_cast<float>(outer_partial);
  if (scaling == nullptr) return rope;
  if (!scaling->is_object()) {
    config.Fail(field, absl::StrCat(Shown(*scaling), " is no object"));
    return rope;
  }
  ConfigFields fields(*scaling, "");
  rope = ReadScaling(fields);
  if (!scaling->contains("partial_rotary_factor")) rope.partial = static_cast<float>(outer_partial);
  rope.theta = static_cast<float>(fields.FloatOr({"rope_theta"}, outer_theta, kMinTheta, kMaxTheta));
  if (const absl::Status status = fields.status(); !status.ok()) {
    const std::string inner(status.message().substr(2));  // behind the empty place's ": "
    const size_t colon = inner.find(": ");
    const std::string name = absl::StrCat(field, ".", inner.substr(0, colon)), what = inner.substr(colon + 2);
    absl::IsUnimplemented(status) ? config.Unsupported(name, what) : config.Fail(name, what);
  }
  return rope;
}

std::vector<float> InverseFrequencies(const RopeConfig& rope, int rotary_dim) {
  CHECK(rotary_dim > 0 && rotary_dim % 2 == 0) << rotary_dim;
  CHECK(rope.frequency_divisors.empty() || static_cast<int>(rope.frequency_divisors.size()) == rotary_dim / 2);
  std::vector<float> frequencies(rotary_dim / 2);
  for (int i = 0; i < rotary_dim / 2; ++i) {
    double frequency = std::pow(static_cast<double>(rope.theta), -2.0 * i / rotary_dim);
    frequency *= Scale(rope, frequency, i, rotary_dim);
    if (!rope.frequency_divisors.empty()) frequency /= rope.frequency_divisors[i];
    frequencies[i] = static_cast<float>(frequency);
  }
  return frequencies;
}

}  // namespace braid
