#include "models/tokenizer/unicode.h"

#include <utf8proc.h>

#include <cstring>
#include <map>

namespace braid {
namespace {

bool IsWhiteSpace(char32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

// Letters by property Other_Alphabetic that are neither letters, marks nor numbers by category.
bool IsCircledLetter(char32_t c) {
  return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);
}

CharClass ClassOfCategory(utf8proc_category_t category) {
  switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LT:
      return kUpper | kWord;
    case UTF8PROC_CATEGORY_LL:
      return kLower | kWord;
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return kCaseless | kWord;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
      return kMark | kWord;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
      return kNumber | kWord;
    case UTF8PROC_CATEGORY_NO:
      return kNumber;
    case UTF8PROC_CATEGORY_PC:
      return kPunctuation | kWord;
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return kPunctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO:
      return kSymbol;
    default:
      return 0;
  }
}

CharClass Classify(char32_t c) {
  CharClass result = ClassOfCategory(utf8proc_category(static_cast<utf8proc_int32_t>(c)));
  if (IsWhiteSpace(c)) result |= kSpace;
  if (c == '\r' || c == '\n') result |= kNewline;
  if (c < 0x80 && (result & kSymbol)) result |= kAsciiSymbol;
  if (IsCircledLetter(c) || c == 0x200C || c == 0x200D) result |= kWord;
  return result;
}

// The allowed range of the second byte, and the length, by the first byte (Unicode table 3-7).
struct Lead {
  uint8_t length, low, high;
};
Lead LeadOf(uint8_t b) {
  if (b < 0x80) return {1, 0, 0};
  if (b < 0xC2) return {0, 0, 0};
  if (b < 0xE0) return {2, 0x80, 0xBF};
  if (b == 0xE0) return {3, 0xA0, 0xBF};
  if (b == 0xED) return {3, 0x80, 0x9F};
  if (b < 0xF0) return {3, 0x80, 0xBF};
  if (b == 0xF0) return {4, 0x90, 0xBF};
  if (b < 0xF4) return {4, 0x80, 0xBF};
  if (b == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// The number of ASCII bytes at the front, in whole words of 8.
size_t AsciiWords(std::string_view bytes) {
  size_t n = 0;
  for (uint64_t word; n + 8 <= bytes.size(); n += 8) {
    std::memcpy(&word, bytes.data() + n, 8);
    if (word & 0x8080808080808080u) break;
  }
  return n;
}

}  // namespace

CharClasses::CharClasses() {
  std::map<std::vector<CharClass>, uint16_t> known;
  std::vector<CharClass> block(256);
  for (uint32_t b = 0; b < 0x1100; ++b) {
    for (uint32_t i = 0; i < 256; ++i) block[i] = Classify(b << 8 | i);
    const auto [it, is_new] = known.emplace(block, static_cast<uint16_t>(known.size()));
    if (is_new) blocks_.insert(blocks_.end(), block.begin(), block.end());
    block_of_[b] = it->second;
  }
}

const CharClasses& CharClasses::Get() {
  static const CharClasses* const kTable = new CharClasses();
  return *kTable;
}

Utf8Front FrontOf(std::string_view bytes) {
  const Lead lead = LeadOf(static_cast<uint8_t>(bytes[0]));
  if (lead.length == 0) return {Utf8Front::kBroken, 1};
  for (size_t i = 1; i < lead.length; ++i) {
    if (i >= bytes.size()) return {Utf8Front::kUnfinished, i};
    const auto b = static_cast<uint8_t>(bytes[i]);
    const bool fits = i == 1 ? b >= lead.low && b <= lead.high : (b & 0xC0) == 0x80;
    if (!fits) return {Utf8Front::kBroken, i};
  }
  return {Utf8Front::kWhole, lead.length};
}

bool IsWellFormed(std::string_view bytes) {
  while (true) {
    bytes.remove_prefix(AsciiWords(bytes));
    if (bytes.empty()) return true;
    // At most 8 characters before looking for plain words again.
    for (int i = 0; i < 8 && !bytes.empty(); ++i) {
      const Utf8Front front = FrontOf(bytes);
      if (front.kind != Utf8Front::kWhole) return false;
      bytes.remove_prefix(front.length);
    }
  }
}

std::string RepairUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const Utf8Front front = FrontOf(bytes);
    out.append(front.kind == Utf8Front::kWhole ? bytes.substr(0, front.length) : kReplacementCharacter);
    bytes.remove_prefix(front.length);
  }
  return out;
}

}  // namespace braid
