// Tokens are drawn where all logits are: on the first rank, which tells the others.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/collective/communicator.h"
#include "kernels/sample/sample.h"

namespace braid {

inline void ShareTokens(Communicator& ranks, std::span<SampledRow> sampled) {
  if (ranks.place().alone() || sampled.empty()) return;
  std::vector<int32_t> tokens;
  for (const SampledRow& row : sampled) tokens.push_back(row.token);
  ranks.Broadcast(std::as_writable_bytes(std::span(tokens)));
  for (size_t i = 0; i < sampled.size(); ++i) sampled[i].token = tokens[i];
}

}  // namespace braid
