// Byte-pair encoding: the best-ranked pair of neighbours is merged until none is left.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "models/tokenizer/text_map.h"

namespace braid {

// What a piece of text is cut into before merging.
enum class BpeUnit {
  kByte,       // byte-level vocabularies, with tokens spelled in bytes
  kCharacter,  // sentencepiece style; unknown characters fall back to byte tokens or the unknown token
};

struct BpeOptions {
  BpeUnit unit = BpeUnit::kByte;
  bool whole_pieces_first = false;  // ignore_merges: a piece that is a token is taken as it stands
  bool byte_fallback = false;       // <0xNN> tokens for unknown characters (kCharacter only)
  bool fuse_unknown = false;        // neighbouring unknown characters become one unknown token
  std::optional<int32_t> unknown_id;
};

// Immutable but for a memo of what is known about tokens. Thread: any.
class Bpe {
 public:
  explicit Bpe(const BpeOptions& options) : options_(options) {}

  // Names a token by the bytes or characters it stands for. A later name replaces an earlier one.
  void AddToken(std::string spelling, int32_t id);
  void SetFallback(uint8_t byte, int32_t id) { fallback_[byte] = id; }
  // Says that `left` `right` becomes `merged`; the smallest rank goes first, the leftmost place among equals.
  void AddMerge(int32_t left, int32_t right, int32_t merged, int32_t rank);
  // Must be called once, after all tokens and merges are known.
  void Seal();

  std::optional<int32_t> IdOf(std::string_view spelling) const;

  // Room for the work of Encode, to be used for many pieces. Thread: one.
  struct Scratch {
    struct Symbol {
      int32_t id, rank, merged;  // rank and result of the merge with the next symbol; rank kNoMerge when there is none
      int32_t previous, next;    // of long pieces
    };
    std::vector<Symbol> symbols;
    std::vector<uint64_t> heap;
  };

  // Appends the ids of `piece`.
  void Encode(std::string_view piece, Scratch* scratch, std::vector<int32_t>* ids) const;

 private:
  static constexpr int32_t kNoMerge = INT32_MAX;
  struct Merge {
    int32_t rank, id;
  };
  enum WholeToken : uint8_t { kNotYetKnown, kWhole, kInParts };

  void EncodeSegment(std::string_view segment, Scratch* scratch, std::vector<int32_t>* ids) const;
  void CutBytes(std::string_view piece, Scratch* scratch) const;
  void CutCharacters(std::string_view piece, Scratch* scratch) const;
  bool PushFallback(std::string_view character, Scratch* scratch) const;
  void MergeAll(Scratch* scratch) const;
  void MergeShort(Scratch* scratch) const;
  void MergeLong(Scratch* scratch) const;
  void FindMerge(Scratch::Symbol* left, int32_t right_id) const;
  bool MergesToItself(std::string_view piece, int32_t id, Scratch* scratch) const;

  BpeOptions options_;
  TextMap<int32_t> ids_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // by left id << 32 | right id
  int32_t byte_ids_[256];                        // kByte
  std::vector<int32_t> fallback_ = std::vector<int32_t>(256, -1);
  int32_t max_id_ = -1;
  bool words_apart_ = false;  // kCharacter: no merge crosses from another character into U+2581
  mutable std::unique_ptr<std::atomic<uint8_t>[]> whole_;  // WholeToken by id, filled as pieces are met
};

}  // namespace braid
