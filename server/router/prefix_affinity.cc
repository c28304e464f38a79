#include "server/router/prefix_affinity.h"

#include <algorithm>

namespace braid {
namespace {

constexpr size_t kMaxPieces = 1024;  // of a prompt

}  // namespace

// Each piece's hash goes on from that of the pieces before (FNV-1a, 64 bits).
std::vector<uint64_t> PrefixAffinity::Hashes(std::string_view prompt) {
  std::vector<uint64_t> hashes;
  uint64_t hash = 0xcbf29ce484222325u;
  const size_t pieces = std::min(prompt.size() / kPiece, kMaxPieces);
  for (size_t piece = 0; piece < pieces; ++piece) {
    for (const unsigned char c : prompt.substr(piece * kPiece, kPiece)) hash = (hash ^ c) * 0x100000001b3u;
    hashes.push_back(hash);
  }
  return hashes;
}

std::string PrefixAffinity::Find(std::string_view prompt) {
  const std::vector<uint64_t> hashes = Hashes(prompt);
  for (size_t i = hashes.size(); i-- > 0;) {
    const auto found = entries_.find(hashes[i]);
    if (found == entries_.end()) continue;
    for (size_t j = 0; j <= i; ++j) {
      if (const auto above = entries_.find(hashes[j]); above != entries_.end()) used_.splice(used_.begin(), used_, above->second.place);
    }
    return found->second.worker;
  }
  return "";
}

void PrefixAffinity::Learn(std::string_view prompt, const std::string& worker) {
  for (const uint64_t hash : Hashes(prompt)) {
    const auto [entry, is_new] = entries_.try_emplace(hash);
    if (is_new) {
      entry->second.place = used_.insert(used_.begin(), hash);
    } else {
      used_.splice(used_.begin(), used_, entry->second.place);
    }
    entry->second.worker = worker;
  }
  while (entries_.size() > max_entries_) {
    entries_.erase(used_.back());
    used_.pop_back();
  }
}

}  // namespace braid
