// How unicode_table.cc lays out its tables; read through jinja_text.
#pragma once

#include <cstdint>
#include <span>

namespace braid {

// Every stride-th code point from first to last maps to itself + delta.
struct CaseRun {
  uint32_t first, last;
  int32_t stride, delta;
};
// Code point `from` maps to up to three; unused places hold 0.
struct CaseSpecial {
  uint32_t from;
  uint32_t to[3];
};
struct CodeSpan {
  uint32_t first, last;
};

// All sorted.
struct UnicodeTable {
  std::span<const CaseRun> lower_runs;
  std::span<const CaseSpecial> lower_specials;
  std::span<const CaseRun> upper_runs;
  std::span<const CaseSpecial> upper_specials;
  std::span<const CaseSpecial> title_specials;  // where title case is not upper case
  std::span<const CodeSpan> cased;
  std::span<const CodeSpan> unprintable;
};
extern const UnicodeTable kUnicodeTable;

}  // namespace braid
