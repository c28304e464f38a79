// What the tokens of a vocabulary spell, sorted into a trie.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/grammar/byte_trie.h"

namespace braid {

class SharedMasks;

// Immutable but for shared_masks(). Thread: any.
class TokenVocabulary {
 public:
  // `bytes[id]`: what the token adds to the text; empty (or longer than ByteTrie::kMaxLength): never allowed by a
  // grammar. `special[id]`: it counts only where a grammar has a Marker with its content. `end_ids` may come where the
  // grammar can end, and for nothing else unless they are special and a Marker asks for them.
  static std::shared_ptr<const TokenVocabulary> Make(std::vector<std::string> bytes, std::vector<bool> special,
                                                     std::vector<int32_t> end_ids);
  ~TokenVocabulary();

  int size() const { return static_cast<int>(bytes_.size()); }
  bool IsEnd(int32_t id) const { return kinds_[id] & kEnd; }
  bool IsSpecial(int32_t id) const { return kinds_[id] & kSpecial; }
  std::string_view bytes(int32_t id) const { return bytes_[id]; }
  const std::vector<int32_t>& end_ids() const { return end_ids_; }

  // The special tokens with this content.
  std::span<const int32_t> MarkerIds(std::string_view text) const;

  // The ordinary tokens; entry i of the trie is the token ordered()[i].
  const ByteTrie& trie() const { return trie_; }
  std::span<const int32_t> ordered() const { return ordered_; }

  // The longest ordinary token that `text` begins with, of equal ones the last (byte tokens stand before characters);
  // -1: there is none.
  int32_t LongestPrefixOf(std::string_view text) const;

  // Masks that any grammar over this vocabulary may use. Thread-safe.
  SharedMasks& shared_masks() const { return *shared_masks_; }

 private:
  static constexpr uint8_t kEnd = 1, kSpecial = 2;
  TokenVocabulary(std::vector<std::string> bytes, const std::vector<bool>& special, std::vector<int32_t> end_ids);

  const std::vector<std::string> bytes_;
  std::vector<int32_t> end_ids_;
  std::vector<uint8_t> kinds_;
  absl::flat_hash_map<std::string_view, std::vector<int32_t>> markers_;
  std::vector<int32_t> ordered_;
  ByteTrie trie_;
  std::unique_ptr<SharedMasks> shared_masks_;
};

}  // namespace braid
