// RMSNorm, or with a bias LayerNorm.
#pragma once

#include "models/blocks/weight_loader.h"

namespace braid {

struct Norm {
  Parameter weight;  // [hidden]
  Parameter bias;    // empty: RMSNorm
  float eps = 1e-5f;

  // y = norm(x), rows [tokens, hidden]; y may be x.
  void Forward(Ops& op, TensorView x, TensorView y) const {
    if (bias.empty()) {
      op.RmsNorm({.x = x, .weight = weight.data(), .eps = eps, .y = y});
    } else {
      op.LayerNorm({.x = x, .weight = weight.data(), .bias = bias.data(), .eps = eps, .y = y});
    }
  }
};

// Reads NAME.weight [size] under `w`; what is normed comes out times `factor`.
inline Norm BindRmsNorm(const WeightLoader& w, const std::string& name, int size, float eps, float factor = 1.0f) {
  std::vector<float> weight = w.Floats(name + ".weight", {Whole(size)});
  for (float& value : weight) value *= factor;
  return {.weight = w.Keep(weight), .bias = {}, .eps = eps};
}

}  // namespace braid
