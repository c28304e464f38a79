// Finds stop strings in text that comes in chunks (Aho-Corasick over bytes; O(1) amortised per byte).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace braid {

// Thread: one at a time.
class StopFinder {
 public:
  explicit StopFinder(std::vector<std::string> stops);

  struct Match {
    size_t end;     // bytes of the chunk up to and with the stop string's last
    size_t length;  // of the stop string, which may have begun in an earlier chunk
    size_t stop;    // its index
  };

  // Looks at `chunk`, which follows all chunks before. Returns the match that ends first, the longest of those.
  std::optional<Match> Next(std::string_view chunk);

  // The length of the end of all text seen that may become a stop string.
  size_t possible() const { return nodes_[node_].depth; }

 private:
  struct Node {
    std::vector<std::pair<uint8_t, uint32_t>> children;
    uint32_t fail = 0;
    uint32_t depth = 0;
    int32_t stop = -1;  // the longest stop string that ends here
  };

  void Insert(std::string_view stop, int32_t index);
  void LinkFailures();
  const uint32_t* Child(uint32_t node, uint8_t byte) const;
  uint32_t Follow(uint32_t node, uint8_t byte) const;

  std::vector<std::string> stops_;
  std::vector<Node> nodes_{1};
  uint32_t node_ = 0;
};

}  // namespace braid
