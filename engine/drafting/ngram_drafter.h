// Prompt lookup: guesses that a sequence goes on as it did after an earlier place that ended in the same tokens.
#pragma once

#include "absl/container/flat_hash_map.h"
#include "engine/drafting/drafter.h"

namespace braid {

// Memory: three table entries a token.
class NgramDrafter : public Drafter {
 public:
  explicit NgramDrafter(std::span<const int32_t> prompt);

  void Append(int32_t token) override { tokens_.push_back(token); }

  // Returns what stood behind the latest earlier occurrence of the last 4 tokens, or else of the last 3, or 2: `count`
  // tokens, or none. Where that runs into the present end it goes on round and round. A long prompt is taken in by
  // slices, one a call, so that no call is long.
  std::vector<int32_t> Propose(int count) override;

 private:
  static constexpr int kShortest = 2, kLongest = 4;

  void Index();
  size_t FindContinuation() const;
  uint64_t KeyOf(size_t end, int length) const;

  std::vector<int32_t> tokens_;
  size_t num_indexed_ = 0;  // n-grams that end before this position, each with a token behind it, are in the table
  absl::flat_hash_map<uint64_t, uint32_t> ends_;  // by the n-gram's hash: where its latest occurrence ends
};

}  // namespace braid
