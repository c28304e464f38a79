// Who has seen the beginning of a prompt: remembers, for pieces of 256 bytes, where prompts that began so were sent.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace braid {

// Thread: one at a time.
class PrefixAffinity {
 public:
  static constexpr size_t kPiece = 256;

  explicit PrefixAffinity(size_t max_entries) : max_entries_(max_entries) {}

  // Returns where the longest known beginning of `prompt` was sent last; empty: nowhere.
  std::string Find(std::string_view prompt);

  // `prompt` goes to `worker`. The longest unused beginnings are forgotten.
  void Learn(std::string_view prompt, const std::string& worker);

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string worker;
    std::list<uint64_t>::iterator place;
  };
  static std::vector<uint64_t> Hashes(std::string_view prompt);

  const size_t max_entries_;
  std::unordered_map<uint64_t, Entry> entries_;  // by the hash of a beginning
  std::list<uint64_t> used_;                     // the last used first
};

}  // namespace braid
