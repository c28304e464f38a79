// Unigram language model: the cut of a piece into tokens with the best sum of scores. arXiv:1804.10959
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace braid {

// Immutable after Seal. Thread: any.
class Unigram {
 public:
  Unigram(std::optional<int32_t> unknown_id, bool byte_fallback)
      : unknown_id_(unknown_id), byte_fallback_(byte_fallback) {}

  // Adds the token `id`; among equal spellings the last one counts.
  void AddToken(std::string_view spelling, int32_t id, double score);
  void SetFallback(uint8_t byte, int32_t id) { fallback_[byte] = id; }

  // Appends the ids of `piece`. Neighbouring unknown characters become one unknown token, or the tokens of their bytes.
  void Encode(std::string_view piece, std::vector<int32_t>* ids) const;

 private:
  struct Node {
    int32_t id = -1;  // of the token that ends here
    double score = 0;
  };
  // The best way to reach a place of the piece: the token that ends there and where it begins.
  struct Step {
    double score = 0;
    int32_t id = -1;
    size_t begin = SIZE_MAX;
  };

  void Offer(Step* step, double score, int32_t id, size_t begin) const;
  void WalkTokensFrom(std::string_view piece, size_t begin, std::vector<Step>* steps) const;
  void AppendUnknown(std::string_view text, std::vector<int32_t>* ids) const;

  std::optional<int32_t> unknown_id_;
  bool byte_fallback_;
  double min_score_ = 0;
  bool any_token_ = false;
  std::vector<int32_t> fallback_ = std::vector<int32_t>(256, -1);
  std::vector<Node> nodes_{1};
  absl::flat_hash_map<uint64_t, uint32_t> children_;  // node << 8 | byte
};

}  // namespace braid
