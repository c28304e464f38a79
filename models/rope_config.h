// Rotary positions as configurations describe them.
#pragma once

#include <vector>

#include "models/weights/config_fields.h"

namespace braid {

enum class RopeKind { kNone, kDefault, kLinear, kLlama3, kYarn };

// Rotary positions: pair i of a head turns by position * theta^(-2i/d), scaled by kind.
struct RopeConfig {
  RopeKind kind = RopeKind::kDefault;
  bool adjacent_pairs = false;  // rows (2i, 2i+1) rotate together, as GGUF llama files store them; else (i, i + d/2)
  float theta = 10000.0f;
  float partial = 1.0f;           // the part of a head that rotates: its first int(partial * head_dim) numbers
  float factor = 1.0f;            // linear, llama3, yarn
  float low_freq_factor = 1.0f;   // llama3
  float high_freq_factor = 4.0f;  // llama3
  int original_max_position = 0;  // llama3, yarn
  float beta_fast = 32.0f;        // yarn
  float beta_slow = 1.0f;         // yarn
  bool truncate = true;           // yarn: the ends of the ramp to whole pairs
  float attention_factor = 1.0f;  // yarn: what the rotated pairs are multiplied by
  // GGUF llama files carry llama3 scaling as tensor rope_freqs.weight: divisors of the frequencies, one a pair.
  std::vector<float> frequency_divisors;
};

// Returns the rotary_dim / 2 angles per position, computed in double; all 0 for kNone.
std::vector<float> InverseFrequencies(const RopeConfig& rope, int rotary_dim);

// Reads rope_parameters {rope_type, rope_theta, ...}, or rope_theta beside rope_scaling {rope_type | type, ...}.
RopeConfig ReadRope(ConfigFields& config);

}  // namespace braid
