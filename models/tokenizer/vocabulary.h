// Tokens by id and ids by spelling.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "models/tokenizer/text_map.h"

namespace braid {

// Immutable after load. Thread: any.
class Vocabulary {
 public:
  static constexpr int64_t kMaxTokens = 1 << 22;
  static constexpr size_t kMaxTokenBytes = 1 << 16;

  // Expects at most `count` tokens. Their ids may have gaps, but not by far: memory is by the highest id.
  void Expect(size_t count);

  // Adds the token `id`. A spelling or id may come again only with the same partner.
  absl::Status Add(const std::string& spelling, int64_t id);
  // Adds the token `id` whatever its spelling; among equal spellings the first id answers IdOf.
  absl::Status AddRepeatable(const std::string& spelling, int64_t id);
  // Gives `id` another spelling; its old one still answers IdOf.
  void Respell(int32_t id, std::string spelling) { entries_[id].spelling = std::move(spelling); }
  void MarkSpecial(int32_t id) { entries_[id].special = true; }
  void SetBytes(int32_t id, std::string bytes) { entries_[id].bytes = std::move(bytes); }

  int size() const { return static_cast<int>(entries_.size()); }
  bool Has(int32_t id) const { return id >= 0 && id < size() && entries_[id].present; }
  std::string_view Spelling(int32_t id) const { return entries_[id].spelling; }
  std::string_view Bytes(int32_t id) const { return entries_[id].bytes; }
  bool IsSpecial(int32_t id) const { return entries_[id].special; }
  std::optional<int32_t> IdOf(std::string_view spelling) const;

 private:
  struct Entry {
    std::string spelling, bytes;
    bool present = false, special = false;
  };
  absl::Status CheckNew(const std::string& spelling, int64_t id) const;

  int64_t id_limit_ = kMaxTokens;
  std::vector<Entry> entries_;
  TextMap<int32_t> ids_;
};

}  // namespace braid
