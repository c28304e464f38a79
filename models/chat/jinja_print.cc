#include "models/chat/jinja_print.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "kernels/base/utf8.h"
#include "models/chat/jinja_scope.h"
#include "models/chat/jinja_text.h"

namespace braid::jinja {
namespace {

// A text that grows under the heap's limits.
class Writer {
 public:
  explicit Writer(Heap& heap) : heap_(heap) {}
  void Add(std::string_view piece) {
    heap_.CheckText(out_.size() + piece.size());
    heap_.Scan(piece.size());
    out_.append(piece);
  }
  Heap& heap() { return heap_; }
  std::string Take() { return std::move(out_); }

 private:
  Heap& heap_;
  std::string out_;
};

std::string Hex(const char* prefix, int digits, uint32_t code) {
  char text[16];
  std::snprintf(text, sizeof text, "%s%0*x", prefix, digits, code);
  return text;
}

std::string QuotedLikePython(std::string_view text) {
  const bool has_single = text.find('\'') != text.npos, has_double = text.find('"') != text.npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const char32_t c = NextChar(text, &at);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c));
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (IsPrintable(c)) {
      AppendUtf8(c, &out);
    } else {
      out += c < 0x100 ? Hex("\\x", 2, c) : c < 0x10000 ? Hex("\\u", 4, c) : Hex("\\U", 8, c);
    }
  }
  out.push_back(quote);
  return out;
}

std::string QuotedLikeJson(std::string_view text, bool ascii_only) {
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const char32_t c = NextChar(text, &at);
    switch (c) {
      case '"':
        out += "\\\"";
        continue;
      case '\\':
        out += "\\\\";
        continue;
      case '\n':
        out += "\\n";
        continue;
      case '\r':
        out += "\\r";
        continue;
      case '\t':
        out += "\\t";
        continue;
      case '\b':
        out += "\\b";
        continue;
      case '\f':
        out += "\\f";
        continue;
      default:
        break;
    }
    if (c >= 0x10000 && ascii_only) {
      out += Hex("\\u", 4, 0xD800 + ((c - 0x10000) >> 10)) + Hex("\\u", 4, 0xDC00 + ((c - 0x10000) & 0x3FF));
    } else if (c < 0x20 || (ascii_only && c > 0x7E)) {
      out += Hex("\\u", 4, c);
    } else {
      AppendUtf8(c, &out);
    }
  }
  return out + "\"";
}

void WriteRepr(Writer& out, const Value& value);

void WriteItems(Writer& out, const std::vector<Value>& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.Add(", ");
    WriteRepr(out, items[i]);
  }
}

void WriteSequence(Writer& out, const Sequence& sequence) {
  if (sequence.kind == SequenceKind::kGenerator) return out.Add("<generator object at 0x0>");
  const bool is_tuple = sequence.kind == SequenceKind::kTuple;
  const bool is_view = !is_tuple && sequence.kind != SequenceKind::kList;
  if (is_view) out.Add(TypeName(Value(SequenceRef(SequenceRef(), &sequence))) + "(");
  out.Add(is_tuple ? "(" : "[");
  WriteItems(out, sequence.items);
  if (is_tuple && sequence.items.size() == 1) out.Add(",");
  out.Add(is_tuple ? ")" : "]");
  if (is_view) out.Add(")");
}

void WriteDict(Writer& out, const Dict& dict) {
  out.Add("{");
  for (size_t i = 0; i < dict.members.size(); ++i) {
    if (i > 0) out.Add(", ");
    WriteRepr(out, dict.members[i].first);
    out.Add(": ");
    WriteRepr(out, dict.members[i].second);
  }
  out.Add("}");
}

void WriteRange(Writer& out, const Range& range) {
  out.Add(absl::StrCat("range(", IntText(range.start), ", ", IntText(range.stop)));
  if (range.step != 1) out.Add(absl::StrCat(", ", IntText(range.step)));
  out.Add(")");
}

void WriteCallable(Writer& out, const Callable& callable) {
  if (callable.macro != nullptr) return out.Add(absl::StrCat("<Macro '", callable.name, "'>"));
  if (callable.self.is_undefined()) return out.Add(absl::StrCat("<function ", callable.name, " at 0x0>"));
  out.Add(absl::StrCat("<built-in method ", callable.name, " of ", TypeName(callable.self), " object at 0x0>"));
}

struct ReprWriter {
  Writer& out;
  void operator()(const Undefined&) { out.Add("Undefined"); }
  void operator()(const None&) { out.Add("None"); }
  void operator()(bool value) { out.Add(value ? "True" : "False"); }
  void operator()(Int value) { out.Add(IntText(value)); }
  void operator()(double value) { out.Add(FloatText(value)); }
  void operator()(const TextRef& text) {
    out.heap().CheckText(text->bytes.size());
    out.Add(QuotedLikePython(text->bytes));
  }
  void operator()(const SequenceRef& sequence) { WriteSequence(out, *sequence); }
  void operator()(const DictRef& dict) { WriteDict(out, *dict); }
  void operator()(const RangeRef& range) { WriteRange(out, *range); }
  void operator()(Namespace*) { out.Add("<Namespace>"); }  // its attributes may lead back to it
  void operator()(const LoopRef& loop) {
    out.Add(absl::StrCat("<LoopContext ", loop->index0 + 1, "/", loop->items->items.size(), ">"));
  }
  void operator()(const CallableRef& callable) { WriteCallable(out, *callable); }
};

void WriteRepr(Writer& out, const Value& value) {
  out.heap().Step();
  value.Visit(ReprWriter{out});
}

// json.dumps, one level of nesting a call; values are never nested deeper than the limits say.
class JsonWriter {
 public:
  JsonWriter(Heap& heap, const JsonStyle& style)
      : out_(heap),
        style_(style),
        item_separator_(style.item_separator.value_or(style.indent ? "," : ", ")),
        key_separator_(style.key_separator.value_or(": ")) {}

  void Write(const Value& value) {
    out_.heap().Step();
    if (value.is_none()) return out_.Add("null");
    if (const bool* truth = value.If<bool>()) return out_.Add(*truth ? "true" : "false");
    if (const Int* integer = value.If<Int>()) return out_.Add(IntText(*integer));
    if (const double* number = value.If<double>()) return out_.Add(Number(*number));
    if (const Text* text = value.text()) return out_.Add(QuotedLikeJson(text->bytes, style_.ascii_only));
    if (const Dict* dict = value.dict()) return WriteObject(*dict);
    const Sequence* sequence = value.sequence();
    const bool is_array =
        sequence != nullptr && (sequence->kind == SequenceKind::kList || sequence->kind == SequenceKind::kTuple);
    if (!is_array) throw Error(absl::StrCat("Object of type ", TypeName(value), " is not JSON serializable"));
    WriteArray(sequence->items);
  }
  std::string Take() { return out_.Take(); }

 private:
  static std::string Number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return FloatText(value);
  }

  static std::string Key(const Value& key) {
    if (const Text* text = key.text()) return text->bytes;
    if (key.is_none()) return "null";
    if (const bool* truth = key.If<bool>()) return *truth ? "true" : "false";
    if (const Int* integer = key.If<Int>()) return IntText(*integer);
    if (const double* number = key.If<double>()) return Number(*number);
    throw Error(absl::StrCat("keys must be str, int, float, bool or None, not ", TypeName(key)));
  }

  void BreakLine() {
    if (!style_.indent) return;
    out_.Add("\n");
    for (int i = 0; i < level_; ++i) out_.Add(*style_.indent);
  }

  void WriteArray(const std::vector<Value>& items) {
    if (items.empty()) return out_.Add("[]");
    out_.Add("[");
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.Add(item_separator_);
      BreakLine();
      Write(items[i]);
    }
    --level_;
    BreakLine();
    out_.Add("]");
  }

  static std::vector<const std::pair<Value, Value>*> Sorted(const Dict& dict) {
    std::vector<const std::pair<Value, Value>*> members;
    for (const auto& member : dict.members) {
      if (member.first.text() == nullptr) throw Error("sort_keys wants keys that are strings");
      members.push_back(&member);
    }
    std::sort(members.begin(), members.end(),
              [](auto* a, auto* b) { return a->first.text()->bytes < b->first.text()->bytes; });
    return members;
  }

  void WriteMember(const std::pair<Value, Value>& member, bool is_first) {
    if (!is_first) out_.Add(item_separator_);
    BreakLine();
    out_.Add(QuotedLikeJson(Key(member.first), style_.ascii_only));
    out_.Add(key_separator_);
    Write(member.second);
  }

  void WriteObject(const Dict& dict) {
    if (dict.members.empty()) return out_.Add("{}");
    out_.Add("{");
    ++level_;
    bool is_first = true;
    if (style_.sort_keys) {
      for (const auto* member : Sorted(dict)) WriteMember(*member, std::exchange(is_first, false));
    } else {
      for (const auto& member : dict.members) WriteMember(member, std::exchange(is_first, false));
    }
    --level_;
    BreakLine();
    out_.Add("}");
  }

  Writer out_;
  const JsonStyle& style_;
  const std::string item_separator_, key_separator_;
  int level_ = 0;
};

}  // namespace

std::string IntText(Int value) {
  const bool is_negative = value < 0;
  unsigned __int128 rest = is_negative ? -static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value);
  std::string digits;
  do {
    digits.push_back(static_cast<char>('0' + static_cast<int>(rest % 10)));
    rest /= 10;
  } while (rest > 0);
  if (is_negative) digits.push_back('-');
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char text[64];
  // Shortest digits as d.ddde[+-]xx: Python picks the layout by the exponent.
  const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
  const std::string_view scientific(text, end - text);
  const size_t e = scientific.find('e');
  const int exponent = std::atoi(std::string(scientific.substr(e + 1)).c_str());
  if (exponent < -4 || exponent >= 16) return std::string(scientific);
  const auto fixed_end = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed).ptr;
  std::string fixed(text, fixed_end - text);
  if (fixed.find('.') == fixed.npos) fixed += ".0";
  return fixed;
}

std::string Str(Heap& heap, const Value& value) {
  if (value.is_undefined()) return "";
  if (const Text* text = value.text()) return text->bytes;
  return Repr(heap, value);
}

std::string Repr(Heap& heap, const Value& value) {
  Writer out(heap);
  WriteRepr(out, value);
  return out.Take();
}

std::string ToJson(Heap& heap, const Value& value, const JsonStyle& style) {
  JsonWriter writer(heap, style);
  writer.Write(value);
  return writer.Take();
}

}  // namespace braid::jinja
