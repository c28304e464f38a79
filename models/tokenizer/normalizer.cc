#include "models/tokenizer/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

#include "kernels/base/utf8.h"
#include "models/tokenizer/byte_alphabet.h"
#include "models/tokenizer/unicode.h"

namespace braid {
namespace {

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

// A text in a Unicode normal form; the text itself where the library refuses it (beyond 2 GiB).
std::string ToForm(std::string text, int options) {
  if (IsAscii(text)) return text;
  utf8proc_uint8_t* out = nullptr;
  const utf8proc_ssize_t length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &out, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | options));
  if (length < 0) return text;
  std::string result(reinterpret_cast<const char*>(out), static_cast<size_t>(length));
  std::free(out);
  return result;
}

template <class F>
std::string MapCharacters(std::string_view text, F append) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = ReadUtf8(text, i);
    append(c.value, &out);
    i += c.length;
  }
  return out;
}

void AppendLower(char32_t c, std::string* out) {
  // The only character whose lower case, whatever stands around it, is two characters (SpecialCasing.txt).
  if (c == 0x130) {
    out->append("i\u0307");
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), out);
  }
}

void AppendUnlessMark(char32_t c, std::string* out) {
  if (!(CharClasses::Get().Of(c) & kMark)) AppendUtf8(c, out);
}

void AppendNmt(char32_t c, std::string* out) {
  if ((c >= 1 && c <= 8) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F) return;
  const bool space = c == 9 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                     c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
  AppendUtf8(space ? U' ' : c, out);
}

std::string StripSpaces(std::string_view text, bool left, bool right) {
  const CharClasses& classes = CharClasses::Get();
  size_t begin = 0, end = 0;
  bool only_spaces = true;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = ReadUtf8(text, i);
    i += c.length;
    if (!(classes.Of(c.value) & kSpace)) {
      only_spaces = false;
      end = i;
    } else if (only_spaces) {
      begin = i;
    }
  }
  if (!left) begin = 0;
  if (!right) end = text.size();
  return std::string(begin < end ? text.substr(begin, end - begin) : "");
}

std::string Apply(const NormalizerStep& step, std::string text) {
  switch (step.kind) {
    case NormalizerStep::kNfc:
      return ToForm(std::move(text), UTF8PROC_COMPOSE);
    case NormalizerStep::kNfd:
      return ToForm(std::move(text), UTF8PROC_DECOMPOSE);
    case NormalizerStep::kNfkc:
      return ToForm(std::move(text), UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
    case NormalizerStep::kNfkd:
      return ToForm(std::move(text), UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
    case NormalizerStep::kLowercase:
      return MapCharacters(text, AppendLower);
    case NormalizerStep::kStripAccents:
      return MapCharacters(text, AppendUnlessMark);
    case NormalizerStep::kStrip:
      return StripSpaces(text, step.left, step.right);
    case NormalizerStep::kReplace:
      return ReplaceAll(text, step.pattern, step.content);
    case NormalizerStep::kPrepend:
      return text.empty() ? text : step.content + text;
    case NormalizerStep::kAppend:
      return text.empty() ? text : text + step.content;
    case NormalizerStep::kNmt:
      return MapCharacters(text, AppendNmt);
    case NormalizerStep::kByteAlphabet:
      return ToByteAlphabet(text);
  }
  return text;
}

}  // namespace

std::string Normalizer::Normalize(std::string_view text) const {
  std::string out(text);
  for (const NormalizerStep& step : steps_) out = Apply(step, std::move(out));
  return out;
}

}  // namespace braid
