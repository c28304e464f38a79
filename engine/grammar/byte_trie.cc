#include "engine/grammar/byte_trie.h"

#include <algorithm>
#include <array>

#include "kernels/base/errors.h"

namespace braid {
namespace {

// Bytes that end or escape something in JSON have a class of their own; letters go by whether they are hex digits.
std::array<uint8_t, 256> MakeClasses() {
  std::array<uint8_t, 256> classes{};
  const std::string_view alone = "\n\t\r \"\\'_-.@,:{}[]<>/";
  for (int byte = 0; byte < 256; ++byte) {
    const size_t place = alone.find(static_cast<char>(byte));
    if (place != std::string_view::npos) classes[byte] = static_cast<uint8_t>(place);
    else if (byte < 0x20) classes[byte] = 20;
    else if (byte >= '0' && byte <= '9') classes[byte] = 21;
    else if (byte >= 'A' && byte <= 'F') classes[byte] = 22;
    else if (byte >= 'G' && byte <= 'Z') classes[byte] = 23;
    else if (byte >= 'a' && byte <= 'f') classes[byte] = 24;
    else if (byte >= 'g' && byte <= 'z') classes[byte] = 25;
    else if (byte < 0x80) classes[byte] = 26;
    else if (byte < 0xC0) classes[byte] = 27;
    else if (byte < 0xE0) classes[byte] = 28;
    else if (byte < 0xF0) classes[byte] = 29;
    else if (byte < 0xF8) classes[byte] = 30;
    else classes[byte] = 31;
  }
  return classes;
}

size_t CommonPrefix(std::string_view a, std::string_view b) {
  const size_t n = std::min(a.size(), b.size());
  size_t i = 0;
  while (i < n && a[i] == b[i]) ++i;
  return i;
}

}  // namespace

uint8_t ByteClass(uint8_t byte) {
  static const std::array<uint8_t, 256> kClasses = MakeClasses();
  return kClasses[byte];
}

ByteTrie::ByteTrie(std::span<const std::string_view> strings) {
  std::vector<int32_t> open;  // the nodes of the last string, one a depth
  const auto close_to = [&](size_t depth) {
    while (open.size() > depth) {
      nodes_[open.back()].skip = static_cast<int32_t>(nodes_.size());
      if (open.size() > 1) {
        const ByteTrieNode& node = nodes_[open.back()];
        nodes_[open[open.size() - 2]].classes |= node.classes | uint32_t{1} << ByteClass(node.byte);
      }
      open.pop_back();
    }
  };
  std::string_view last;
  for (size_t i = 0; i < strings.size(); ++i) {
    const std::string_view text = strings[i];
    CHECK(!text.empty() && text.size() <= kMaxLength) << text.size();
    const size_t shared = CommonPrefix(last, text);
    if (shared == text.size()) CHECK_EQ(text.size(), last.size());  // sorted
    close_to(shared);
    for (size_t d = shared; d < text.size(); ++d) {
      open.push_back(static_cast<int32_t>(nodes_.size()));
      nodes_.push_back({.entry = static_cast<int32_t>(i), .depth = static_cast<uint16_t>(d + 1),
                        .byte = static_cast<uint8_t>(text[d])});
    }
    max_depth_ = std::max(max_depth_, static_cast<int>(text.size()));
    last = text;
  }
  close_to(0);
  nodes_.push_back({.skip = static_cast<int32_t>(nodes_.size()), .entry = static_cast<int32_t>(strings.size())});
  ListChildren();
}

void ByteTrie::ListChildren() {
  first_child_.reserve(nodes_.size() + 1);
  children_.reserve(nodes_.size());
  for (int node = -1; node < size(); ++node) {
    first_child_.push_back(static_cast<int32_t>(children_.size()));
    const int end = node < 0 ? size() : nodes_[node].skip;
    for (int child = node + 1; child < end; child = nodes_[child].skip) children_.push_back(child);
  }
  first_child_.push_back(static_cast<int32_t>(children_.size()));
}

int ByteTrie::FromByte(int node, uint8_t byte) const {
  const auto begin = children_.begin() + first_child_[node + 1], end = children_.begin() + first_child_[node + 2];
  const auto found = std::lower_bound(begin, end, byte, [&](int32_t child, uint8_t b) { return nodes_[child].byte < b; });
  if (found != end) return *found;
  return node < 0 ? size() : nodes_[node].skip;
}

}  // namespace braid
