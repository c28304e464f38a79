#include "engine/grammar/token_vocabulary.h"

#include <algorithm>

#include "engine/grammar/token_mask.h"
#include "kernels/base/errors.h"

namespace braid {

std::shared_ptr<const TokenVocabulary> TokenVocabulary::Make(std::vector<std::string> bytes, std::vector<bool> special,
                                                             std::vector<int32_t> end_ids) {
  return std::shared_ptr<const TokenVocabulary>(
      new TokenVocabulary(std::move(bytes), special, std::move(end_ids)));
}

TokenVocabulary::TokenVocabulary(std::vector<std::string> bytes, const std::vector<bool>& special,
                                 std::vector<int32_t> end_ids)
    : bytes_(std::move(bytes)), kinds_(bytes_.size()), shared_masks_(std::make_unique<SharedMasks>()) {
  CHECK_EQ(special.size(), bytes_.size());
  for (int32_t id : end_ids) {
    if (id < 0 || id >= size()) continue;
    kinds_[id] |= kEnd;
    end_ids_.push_back(id);
  }
  for (int32_t id = 0; id < size(); ++id) {
    if (special[id]) {
      kinds_[id] |= kSpecial;
      if (!bytes_[id].empty()) markers_[bytes_[id]].push_back(id);
    } else if (!IsEnd(id) && !bytes_[id].empty() && bytes_[id].size() <= ByteTrie::kMaxLength) {
      ordered_.push_back(id);
    }
  }
  std::sort(ordered_.begin(), ordered_.end(), [&](int32_t a, int32_t b) {
    const int order = bytes_[a].compare(bytes_[b]);
    return order != 0 ? order < 0 : a < b;
  });
  std::vector<std::string_view> strings(ordered_.size());
  for (size_t i = 0; i < ordered_.size(); ++i) strings[i] = bytes_[ordered_[i]];
  trie_ = ByteTrie(strings);
}

TokenVocabulary::~TokenVocabulary() = default;

std::span<const int32_t> TokenVocabulary::MarkerIds(std::string_view text) const {
  const auto found = markers_.find(text);
  if (found == markers_.end()) return {};
  return found->second;
}

int32_t TokenVocabulary::LongestPrefixOf(std::string_view text) const {
  int32_t longest = -1;
  int node = -1, depth = 0;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    node = trie_.FromByte(node, byte);
    if (node >= trie_.size() || trie_[node].byte != byte || trie_[node].depth != ++depth) break;
    if (trie_[node].entry < trie_.OwnEnd(node)) longest = ordered_[trie_.OwnEnd(node) - 1];
  }
  return longest;
}

}  // namespace braid
