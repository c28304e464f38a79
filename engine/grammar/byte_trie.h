// Byte strings in sorted order as a trie laid out in preorder: a walk is one pass over an array that can step over any
// subtree.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace braid {

// The class of a byte, 0 to 31: bytes that grammars seldom tell apart share one.
uint8_t ByteClass(uint8_t byte);

struct ByteTrieNode {
  int32_t skip;      // the first node behind this one's subtree
  int32_t entry;     // the first string of the subtree
  uint32_t classes;  // of the bytes below this node, its own left out: bit ByteClass(byte)
  uint16_t depth;    // 1 for first bytes
  uint8_t byte;
};

// Immutable. Thread: any.
class ByteTrie {
 public:
  static constexpr size_t kMaxLength = 1024;  // of a string

  ByteTrie() = default;
  // `strings` are sorted, may repeat, and are neither empty nor longer than kMaxLength.
  explicit ByteTrie(std::span<const std::string_view> strings);

  int size() const { return nodes_.empty() ? 0 : static_cast<int>(nodes_.size()) - 1; }
  int max_depth() const { return max_depth_; }
  const ByteTrieNode& operator[](int node) const { return nodes_[node]; }
  // The strings that end at `node` are [entry, OwnEnd), those of its subtree [entry, SubtreeEnd).
  int32_t OwnEnd(int node) const { return nodes_[node + 1].entry; }
  int32_t SubtreeEnd(int node) const { return nodes_[nodes_[node].skip].entry; }
  // The first node right below `node` (-1: the first bytes) whose byte is `byte` or higher, or what follows the subtree.
  int FromByte(int node, uint8_t byte) const;

 private:
  void ListChildren();

  std::vector<ByteTrieNode> nodes_;  // and one behind the last that closes it
  std::vector<int32_t> children_;    // node ids, of one node after another
  std::vector<int32_t> first_child_; // by node + 1: where in children_ its own begin
  int max_depth_ = 0;
};

}  // namespace braid
