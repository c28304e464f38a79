#include "models/tokenizer/bpe.h"

#include <algorithm>
#include <functional>

#include "kernels/base/errors.h"
#include "models/tokenizer/unicode.h"

namespace braid {
namespace {

constexpr std::string_view kWordMark = "\u2581";
// Up to here a plain search for the best pair is faster than a heap.
constexpr size_t kShortPiece = 48;

uint64_t PairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// Whether U+2581 follows another character somewhere in `token`.
bool HasInnerWordMark(std::string_view token) {
  for (size_t at = token.find(kWordMark, 1); at != std::string_view::npos; at = token.find(kWordMark, at + 1)) {
    if (at < kWordMark.size() || token.substr(at - kWordMark.size(), kWordMark.size()) != kWordMark) return true;
  }
  return false;
}

// The next place behind `from` where a word begins: U+2581 behind another character.
size_t NextWord(std::string_view text, size_t from) {
  for (size_t at = text.find(kWordMark, from + 1); at != std::string_view::npos; at = text.find(kWordMark, at + 1)) {
    if (at < from + kWordMark.size() || text.substr(at - kWordMark.size(), kWordMark.size()) != kWordMark) return at;
  }
  return text.size();
}

}  // namespace

void Bpe::AddToken(std::string spelling, int32_t id) {
  max_id_ = std::max(max_id_, id);
  ids_[std::move(spelling)] = id;
}

void Bpe::AddMerge(int32_t left, int32_t right, int32_t merged, int32_t rank) {
  merges_[PairKey(left, right)] = {rank, merged};
}

void Bpe::Seal() {
  whole_ = std::make_unique<std::atomic<uint8_t>[]>(max_id_ + 1);
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    byte_ids_[b] = IdOf(std::string_view(&byte, 1)).value_or(options_.unknown_id.value_or(-1));
  }
  const bool all_bytes = std::find(fallback_.begin(), fallback_.end(), -1) == fallback_.end();
  words_apart_ = options_.unit == BpeUnit::kCharacter && options_.byte_fallback && all_bytes;
  for (const auto& [spelling, id] : ids_) words_apart_ = words_apart_ && !HasInnerWordMark(spelling);
}

std::optional<int32_t> Bpe::IdOf(std::string_view spelling) const {
  const auto it = ids_.find(spelling);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

void Bpe::Encode(std::string_view piece, Scratch* scratch, std::vector<int32_t>* ids) const {
  if (!words_apart_) return EncodeSegment(piece, scratch, ids);
  if (options_.whole_pieces_first) {
    if (const auto id = IdOf(piece)) return ids->push_back(*id);
  }
  for (size_t begin = 0; begin < piece.size();) {
    const size_t end = NextWord(piece, begin);
    EncodeSegment(piece.substr(begin, end - begin), scratch, ids);
    begin = end;
  }
}

void Bpe::EncodeSegment(std::string_view segment, Scratch* scratch, std::vector<int32_t>* ids) const {
  if (const auto it = ids_.find(segment); it != ids_.end()) {
    const bool as_it_stands = options_.whole_pieces_first && !words_apart_;
    if (as_it_stands || MergesToItself(segment, it->second, scratch)) return ids->push_back(it->second);
  }
  options_.unit == BpeUnit::kByte ? CutBytes(segment, scratch) : CutCharacters(segment, scratch);
  MergeAll(scratch);
  for (const Scratch::Symbol& symbol : scratch->symbols) ids->push_back(symbol.id);
}

bool Bpe::MergesToItself(std::string_view piece, int32_t id, Scratch* scratch) const {
  uint8_t known = whole_[id].load(std::memory_order_relaxed);
  if (known == kNotYetKnown) {
    options_.unit == BpeUnit::kByte ? CutBytes(piece, scratch) : CutCharacters(piece, scratch);
    MergeAll(scratch);
    known = scratch->symbols.size() == 1 && scratch->symbols[0].id == id ? kWhole : kInParts;
    whole_[id].store(known, std::memory_order_relaxed);
  }
  return known == kWhole;
}

void Bpe::CutBytes(std::string_view piece, Scratch* scratch) const {
  auto& symbols = scratch->symbols;
  symbols.clear();
  bool after_unknown = false;
  for (const char b : piece) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(b)];
    const bool unknown = id == options_.unknown_id;
    // A byte without a token is left out where there is no unknown token either.
    if (id >= 0 && !(unknown && after_unknown && options_.fuse_unknown)) symbols.push_back({id, kNoMerge, 0, 0, 0});
    after_unknown = unknown;
  }
}

void Bpe::CutCharacters(std::string_view piece, Scratch* scratch) const {
  auto& symbols = scratch->symbols;
  symbols.clear();
  // The unknown token is put down only when a known character follows, so that fallback bytes go before it.
  bool pending = false;
  for (size_t i = 0; i < piece.size();) {
    const std::string_view character = piece.substr(i, ReadUtf8(piece, i).length);
    i += character.size();
    if (const auto id = IdOf(character)) {
      if (pending) symbols.push_back({*options_.unknown_id, kNoMerge, 0, 0, 0});
      pending = false;
      symbols.push_back({*id, kNoMerge, 0, 0, 0});
    } else if (!(options_.byte_fallback && PushFallback(character, scratch)) && options_.unknown_id) {
      if (pending && !options_.fuse_unknown) symbols.push_back({*options_.unknown_id, kNoMerge, 0, 0, 0});
      pending = true;
    }
  }
  if (pending) symbols.push_back({*options_.unknown_id, kNoMerge, 0, 0, 0});
}

bool Bpe::PushFallback(std::string_view character, Scratch* scratch) const {
  for (const char b : character) {
    if (fallback_[static_cast<uint8_t>(b)] < 0) return false;
  }
  for (const char b : character) scratch->symbols.push_back({fallback_[static_cast<uint8_t>(b)], kNoMerge, 0, 0, 0});
  return true;
}

void Bpe::FindMerge(Scratch::Symbol* left, int32_t right_id) const {
  const auto it = merges_.find(PairKey(left->id, right_id));
  left->rank = it == merges_.end() ? kNoMerge : it->second.rank;
  if (it != merges_.end()) left->merged = it->second.id;
}

void Bpe::MergeAll(Scratch* scratch) const {
  auto& symbols = scratch->symbols;
  for (size_t i = 0; i + 1 < symbols.size(); ++i) FindMerge(&symbols[i], symbols[i + 1].id);
  symbols.size() <= kShortPiece ? MergeShort(scratch) : MergeLong(scratch);
}

void Bpe::MergeShort(Scratch* scratch) const {
  auto& symbols = scratch->symbols;
  while (symbols.size() > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < symbols.size(); ++i) {
      if (symbols[i].rank < symbols[best].rank) best = i;
    }
    if (symbols[best].rank == kNoMerge) return;
    symbols[best].id = symbols[best].merged;
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
    symbols[best].rank = kNoMerge;
    if (best + 1 < symbols.size()) FindMerge(&symbols[best], symbols[best + 1].id);
    if (best > 0) FindMerge(&symbols[best - 1], symbols[best].id);
  }
}

// A heap of rank << 32 | place. An entry is stale when the symbol at its place is gone (id -1) or has another rank;
// ranks that several pairs share are no harm: the pair that now stands there has that rank too.
void Bpe::MergeLong(Scratch* scratch) const {
  auto& symbols = scratch->symbols;
  auto& heap = scratch->heap;
  heap.clear();
  const auto count = static_cast<int32_t>(symbols.size());
  const auto entry = [&](int32_t at) {
    return static_cast<uint64_t>(symbols[at].rank) << 32 | static_cast<uint32_t>(at);
  };
  for (int32_t i = 0; i < count; ++i) {
    symbols[i].previous = i - 1;
    symbols[i].next = i + 1 < count ? i + 1 : -1;
    if (symbols[i].next >= 0 && symbols[i].rank != kNoMerge) heap.push_back(entry(i));
  }
  symbols.back().rank = kNoMerge;
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto renew = [&](int32_t at) {
    symbols[at].rank = kNoMerge;
    if (symbols[at].next < 0) return;
    FindMerge(&symbols[at], symbols[symbols[at].next].id);
    if (symbols[at].rank == kNoMerge) return;
    heap.push_back(entry(at));
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t top = heap.back();
    heap.pop_back();
    const auto at = static_cast<int32_t>(top & 0xFFFFFFFF);
    Scratch::Symbol& left = symbols[at];
    if (left.id < 0 || left.rank != static_cast<int32_t>(top >> 32)) continue;
    Scratch::Symbol& right = symbols[left.next];
    left.id = left.merged;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[left.next].previous = at;
    renew(at);
    if (left.previous >= 0) renew(left.previous);
  }
  std::erase_if(symbols, [](const Scratch::Symbol& s) { return s.id < 0; });
}

}  // namespace braid
