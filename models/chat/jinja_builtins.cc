#include "models/chat/jinja_builtins.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <unordered_map>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/json.h"
#include "models/chat/jinja_format.h"
#include "models/chat/jinja_operators.h"
#include "models/chat/jinja_print.h"
#include "models/chat/jinja_scope.h"
#include "models/chat/jinja_text.h"

namespace braid::jinja {
namespace {

// --- arguments ---

// The value as a text: itself, or as it prints.
std::string TextOf(Env& env, const Value& value) {
  if (value.text() != nullptr) env.heap.Copy(value.text()->bytes.size());
  return Str(env.heap, value);
}

const std::string& WantText(const Value& value, std::string_view what) {
  if (value.is_undefined()) ThrowUndefined(value);
  if (value.text() == nullptr) throw Error(absl::StrCat(std::string(what), " must be str, not ", TypeName(value)));
  return value.text()->bytes;
}

Int WantInt(const Value& value, std::string_view what) {
  const std::optional<Int> integer = AsInt(value);
  if (value.is_undefined()) ThrowUndefined(value);
  if (!integer) throw Error(absl::StrCat(std::string(what), " must be int, not ", TypeName(value)));
  return *integer;
}

int64_t WantSmallInt(const Value* value, int64_t absent, std::string_view what) {
  if (value == nullptr || value->is_none()) return absent;
  return static_cast<int64_t>(std::clamp<Int>(WantInt(*value, what), INT32_MIN, INT32_MAX));
}

bool Flag(const Value* value, bool absent) { return value == nullptr ? absent : IsTrue(*value); }

std::optional<std::string_view> OptionalText(const Value* value, std::string_view what) {
  if (value == nullptr || value->is_none()) return std::nullopt;
  return WantText(*value, what);
}

Value ListOf(Env& env, const std::vector<std::string_view>& parts) {
  env.heap.CheckItems(parts.size());
  std::vector<Value> items;
  items.reserve(parts.size());
  for (std::string_view part : parts) items.push_back(env.heap.MakeText(std::string(part)));
  return env.heap.MakeList(std::move(items));
}

Value Generator(Env& env, std::vector<Value> items) {
  return env.heap.MakeSequence(SequenceKind::kGenerator, std::move(items));
}

std::string ReplaceAll(Heap& heap, std::string_view text, std::string_view from, std::string_view to, int64_t most) {
  heap.Scan(text.size());
  const size_t found = Count(text, from);
  const size_t times = most < 0 ? found : std::min(found, static_cast<size_t>(most));
  size_t grown;
  if (__builtin_mul_overflow(times, to.size(), &grown) || grown > SIZE_MAX / 2) grown = SIZE_MAX / 2;
  heap.CheckText(text.size() + grown - (from.empty() ? 0 : times * from.size()));
  std::string out;
  size_t at = 0;
  for (size_t i = 0; i < times; ++i) {
    size_t place = Find(text, from, at);
    if (from.empty() && i > 0) NextChar(text, &place);  // between characters
    out.append(text.substr(at, place - at)).append(to);
    at = place + from.size();
  }
  heap.Scan(out.size());
  return out.append(text.substr(at));
}

// --- filters over items ---

// Follows "a.b.0" from `value`.
Value FollowPath(Env& env, Value value, const Value& path) {
  if (path.text() == nullptr) return GetItem(env, value, path);
  for (std::string_view part : Split(path.text()->bytes, ".", -1)) {
    int64_t index;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool is_index = error == std::errc() && end == part.data() + part.size() && part[0] != '-';
    value = is_index ? GetItem(env, value, Value::Integer(index))
                     : GetItem(env, value, env.heap.MakeText(std::string(part)));
  }
  return value;
}

// Strings compare without regard to case unless asked to.
Value FoldCase(Env& env, const Value& value, bool case_sensitive) {
  const Text* text = value.text();
  if (case_sensitive || text == nullptr) return value;
  env.heap.Scan(text->bytes.size());
  return env.heap.MakeText(Lower(text->bytes));
}

Value KeyOf(Env& env, const Value& item, const Value* attribute, bool case_sensitive) {
  const bool has_path = attribute != nullptr && !attribute->is_none();
  return FoldCase(env, has_path ? FollowPath(env, item, *attribute) : item, case_sensitive);
}

// The items with their keys, sorted by key; equal keys keep their order.
std::vector<Value> SortedItems(Env& env, std::vector<std::pair<Value, Value>> keyed, bool reverse) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? Less(env.heap, b.first, a.first) : Less(env.heap, a.first, b.first);
  });
  std::vector<Value> items;
  items.reserve(keyed.size());
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return items;
}

Value Sort(Env& env, const Value& self, const Call& call) {  // reverse case_sensitive attribute
  if (call[2] != nullptr && call[2]->text() != nullptr && call[2]->text()->bytes.find(',') != std::string::npos) {
    throw Error("sort by several attributes is not supported");
  }
  std::vector<std::pair<Value, Value>> keyed;
  const SequenceRef visited = Items(env.heap, self);
  for (const Value& item : visited->items) {
    env.heap.Step();
    keyed.emplace_back(KeyOf(env, item, call[2], Flag(call[1], false)), item);
  }
  return env.heap.MakeList(SortedItems(env, std::move(keyed), Flag(call[0], false)));
}

const Dict& WantDict(const Value& value) {
  if (value.is_undefined()) ThrowUndefined(value);
  if (value.dict() == nullptr) throw Error(absl::StrCat("a mapping is wanted, not ", TypeName(value)));
  return *value.dict();
}

Value MemberPair(Env& env, const std::pair<Value, Value>& member) {
  return env.heap.MakeTuple({member.first, member.second});
}

Value DictSort(Env& env, const Value& self, const Call& call) {  // case_sensitive by reverse
  const std::string by = call[1] == nullptr ? "key" : TextOf(env, *call[1]);
  if (by != "key" && by != "value") throw Error("You can only sort by either \"key\" or \"value\"");
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& member : WantDict(self).members) {
    env.heap.Step();
    const Value& key = by == "key" ? member.first : member.second;
    keyed.emplace_back(FoldCase(env, key, Flag(call[0], false)), MemberPair(env, member));
  }
  return env.heap.MakeList(SortedItems(env, std::move(keyed), Flag(call[2], false)));
}

std::vector<Value> MemberPairs(Env& env, const Dict& dict) {
  std::vector<Value> pairs;
  pairs.reserve(dict.members.size());
  for (const auto& member : dict.members) pairs.push_back(MemberPair(env, member));
  return pairs;
}

Value ItemsFilter(Env& env, const Value& self, const Call&) {
  if (self.is_undefined()) return Generator(env, {});
  if (self.dict() == nullptr) throw Error("Can only get item pairs from a mapping.");
  return Generator(env, MemberPairs(env, *self.dict()));
}

Value Join(Env& env, const Value& self, const Call& call) {  // d attribute
  const std::string separator = call[0] == nullptr ? "" : TextOf(env, *call[0]);
  std::string out;
  bool is_first = true;
  const SequenceRef visited = Items(env.heap, self);
  for (const Value& item : visited->items) {
    const bool has_path = call[1] != nullptr && !call[1]->is_none();
    const std::string piece = TextOf(env, has_path ? FollowPath(env, item, *call[1]) : item);
    env.heap.CheckText(out.size() + separator.size() + piece.size());
    env.heap.Step();
    env.heap.Copy(separator.size() + piece.size());
    if (!std::exchange(is_first, false)) out += separator;
    out += piece;
  }
  return env.heap.MakeText(std::move(out));
}

// The arguments behind the first `skipped`: those of the filter or test that is named by an argument.
Arguments Rest(const Arguments& all, size_t skipped) {
  Arguments rest = all;
  rest.positional.erase(rest.positional.begin(), rest.positional.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                                               skipped, all.positional.size())));
  return rest;
}

// select, reject, selectattr, rejectattr: keeps the items whose (attribute's) test says `wanted`.
Value Keep(Env& env, const Value& self, const Arguments& all, bool by_attribute, bool wanted) {
  const size_t test_at = by_attribute ? 1 : 0;
  if (all.positional.size() < test_at) throw Error("selectattr and rejectattr want the attribute's name");
  const bool has_test = all.positional.size() > test_at;
  const std::string test = has_test ? WantText(all.positional[test_at], "the test's name") : "";
  const Arguments arguments = Rest(all, test_at + 1);
  std::vector<Value> kept;
  const SequenceRef visited = Items(env.heap, self);
  for (const Value& item : visited->items) {
    env.heap.Step();
    const Value subject = by_attribute ? FollowPath(env, item, all.positional[0]) : item;
    if ((has_test ? ApplyTest(env, test, subject, arguments) : IsTrue(subject)) == wanted) kept.push_back(item);
  }
  return Generator(env, std::move(kept));
}

const Value* Named(const Arguments& all, std::string_view name) {
  for (const auto& [key, value] : all.named) {
    if (key == name) return &value;
  }
  return nullptr;
}

Value Map(Env& env, const Value& self, const Call& call) {
  const Value* attribute = call.all.positional.empty() ? Named(call.all, "attribute") : nullptr;
  const Value* absent = Named(call.all, "default");
  if (attribute == nullptr && call.all.positional.empty()) throw Error("map requires a filter argument");
  const std::string filter = attribute != nullptr ? "" : WantText(call.all.positional[0], "the filter's name");
  const Arguments arguments = Rest(call.all, 1);
  std::vector<Value> mapped;
  const SequenceRef visited = Items(env.heap, self);
  for (const Value& item : visited->items) {
    env.heap.Step();
    if (attribute == nullptr) {
      mapped.push_back(ApplyFilter(env, filter, item, arguments));
      continue;
    }
    mapped.push_back(FollowPath(env, item, *attribute));
    if (mapped.back().is_undefined() && absent != nullptr) mapped.back() = *absent;
  }
  return Generator(env, std::move(mapped));
}

Value Unique(Env& env, const Value& self, const Call& call) {  // case_sensitive attribute
  absl::flat_hash_set<std::string> seen;
  std::vector<Value> kept;
  const SequenceRef visited = Items(env.heap, self);
  for (const Value& item : visited->items) {
    env.heap.Step();
    const Value key = KeyOf(env, item, call[1], Flag(call[0], false));
    if (seen.insert(KeyText(key)).second) kept.push_back(item);
  }
  return Generator(env, std::move(kept));
}

// min and max: the first item that no other is beyond.
Value Extreme(Env& env, const Value& self, const Call& call, bool largest) {  // case_sensitive attribute
  std::optional<std::pair<Value, Value>> best;
  const SequenceRef visited = Items(env.heap, self);
  for (const Value& item : visited->items) {
    env.heap.Step();
    Value key = KeyOf(env, item, call[1], Flag(call[0], false));
    const bool is_better = !best || (largest ? Less(env.heap, best->first, key) : Less(env.heap, key, best->first));
    if (is_better) best.emplace(std::move(key), item);
  }
  return best ? best->second : env.heap.MakeUndefined("No aggregated item, sequence was empty.");
}

Value Sum(Env& env, const Value& self, const Call& call) {  // attribute start
  Value total = call[1] == nullptr ? Value::Integer(0) : *call[1];
  const SequenceRef visited = Items(env.heap, self);
  for (const Value& item : visited->items) {
    env.heap.Step();
    total = Calculate(env.heap, Op::kAdd, total, KeyOf(env, item, call[0], true));
  }
  return total;
}

Value Reverse(Env& env, const Value& self, const Call&) {
  if (self.text() != nullptr) {
    const Value step = Value::Integer(-1);
    return Slice(env.heap, self, nullptr, nullptr, &step);
  }
  const SequenceRef items = Items(env.heap, self);
  return Generator(env, std::vector<Value>(items->items.rbegin(), items->items.rend()));
}

Value First(Env& env, const Value& self, const Call&) {
  const SequenceRef* generator = self.If<SequenceRef>();
  if (generator != nullptr && (*generator)->kind == SequenceKind::kGenerator) {
    if ((*generator)->taken < (*generator)->items.size()) return (*generator)->items[(*generator)->taken++];
    return env.heap.MakeUndefined("No first item, sequence was empty.");
  }
  const SequenceRef items = Items(env.heap, self);
  return items->items.empty() ? env.heap.MakeUndefined("No first item, sequence was empty.") : items->items.front();
}

Value Last(Env& env, const Value& self, const Call&) {
  const SequenceRef items = Items(env.heap, self);
  return items->items.empty() ? env.heap.MakeUndefined("No last item, sequence was empty.") : items->items.back();
}

Value LengthFilter(Env&, const Value& self, const Call&) {
  const std::optional<size_t> length = Length(self);
  if (!length) throw Error(absl::StrCat("object of type '", TypeName(self), "' has no len()"));
  return Value::Integer(static_cast<Int>(*length));
}

Value ListFilter(Env& env, const Value& self, const Call&) { return env.heap.MakeList(Items(env.heap, self)->items); }

Value Batch(Env& env, const Value& self, const Call& call) {  // linecount fill_with
  const int64_t size = WantSmallInt(call[0], 0, "linecount");
  if (size < 1) throw Error("batch: linecount must be at least 1");
  std::vector<Value> batches, batch;
  const SequenceRef visited = Items(env.heap, self);
  for (const Value& item : visited->items) {
    if (static_cast<int64_t>(batch.size()) == size) batches.push_back(env.heap.MakeList(std::exchange(batch, {})));
    batch.push_back(item);
  }
  const bool fills = call[1] != nullptr && !call[1]->is_none() && !batch.empty();
  if (fills) env.heap.CheckItems(static_cast<size_t>(size));
  while (fills && static_cast<int64_t>(batch.size()) < size) batch.push_back(*call[1]);
  if (!batch.empty()) batches.push_back(env.heap.MakeList(std::move(batch)));
  return Generator(env, std::move(batches));
}

// --- filters over texts and numbers ---

template <std::string (*Change)(std::string_view)>
Value ChangeCase(Env& env, const Value& self, const Call&) {
  const std::string text = TextOf(env, self);
  env.heap.Scan(text.size() * 4);
  return env.heap.MakeText(Change(text), self.text() != nullptr && self.text()->is_markup);
}

// The title filter cuts at blanks and brackets, where str.title cuts at every character without case.
std::string TitleWords(std::string_view text) {
  std::string out;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t before = at;
    const char32_t c = NextChar(text, &at);
    if (!IsSpace(c) && std::u32string_view(U"-({[<").find(c) == std::u32string_view::npos) continue;
    out += Capitalize(text.substr(begin, before - begin));
    out += text.substr(before, at - before);
    begin = at;
  }
  return out + Capitalize(text.substr(begin));
}

template <Side kSide>
Value StripText(Env& env, const Value& self, const Call& call) {  // chars
  const std::string text = TextOf(env, self);
  const std::optional<std::string_view> chars = OptionalText(call[0], "strip arg");
  if (chars) env.heap.Scan(chars->size() * 4);
  const std::string_view stripped = Strip(text, kSide, chars);
  env.heap.Scan((text.size() - stripped.size()) * 4);
  return env.heap.MakeText(std::string(stripped), self.text() != nullptr && self.text()->is_markup);
}

Value ReplaceFilter(Env& env, const Value& self, const Call& call) {  // old new count
  const std::string from = TextOf(env, *call[0]), to = TextOf(env, *call[1]);
  return env.heap.MakeText(ReplaceAll(env.heap, TextOf(env, self), from, to, WantSmallInt(call[2], -1, "count")));
}

Value ReplaceMethod(Env& env, const Value& self, const Call& call) {  // old new count
  const std::string &from = WantText(*call[0], "replace() argument 1"),
                    &to = WantText(*call[1], "replace() argument 2");
  return env.heap.MakeText(ReplaceAll(env.heap, self.text()->bytes, from, to, WantSmallInt(call[2], -1, "count")));
}

Value Default(Env& env, const Value& self, const Call& call) {  // default_value boolean
  const bool is_absent = self.is_undefined() || (Flag(call[1], false) && !IsTrue(self));
  if (!is_absent) return self;
  return call[0] == nullptr ? env.heap.MakeText("") : *call[0];
}

Value StringFilter(Env& env, const Value& self, const Call&) {
  return self.text() != nullptr ? self : env.heap.MakeText(TextOf(env, self));
}

Value Safe(Env& env, const Value& self, const Call&) {
  return env.heap.MakeText(TextOf(env, self), /*is_markup=*/true);
}

Value Escape(Env& env, const Value& self, const Call&) {
  if (self.text() != nullptr && self.text()->is_markup) return self;
  const std::string text = TextOf(env, self);
  env.heap.CheckText(text.size() * 5);
  env.heap.Scan(text.size());
  return env.heap.MakeText(EscapeHtml(text), /*is_markup=*/true);
}

// int(text, base) without underscores' finer rules; nullopt when it is no integer.
std::optional<Int> ReadInt(std::string_view text, int base) {
  text = Strip(text, Side::kBoth);
  const bool is_negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  const char prefix = base == 16 ? 'x' : base == 8 ? 'o' : base == 2 ? 'b' : '\0';
  if (prefix != '\0' && text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == prefix) text.remove_prefix(2);
  if (text.empty()) return std::nullopt;
  Int value = 0;
  for (char c : text) {
    const int digit = c >= '0' && c <= '9'                     ? c - '0'
                      : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? (c | 0x20) - 'a' + 10
                                                               : 99;
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value)) {
      throw Error("int: a number beyond 127 bits");
    }
  }
  return is_negative ? -value : value;
}

std::optional<double> ReadFloat(std::string_view text) {
  text = Strip(text, Side::kBoth);
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  double value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Int> Truncated(double value) {
  if (!(std::fabs(value) < 1e38)) return std::nullopt;
  return static_cast<Int>(value);
}

Value IntFilter(Env&, const Value& self, const Call& call) {  // default base
  if (self.is_undefined()) ThrowUndefined(self);
  const Value absent = call[0] == nullptr ? Value::Integer(0) : *call[0];
  const int64_t base = WantSmallInt(call[1], 10, "base");
  if (base < 2 || base > 36) throw Error("int: base must be 2 to 36");
  std::optional<Int> value = AsInt(self);
  if (const Text* text = self.text()) {
    value = ReadInt(text->bytes, static_cast<int>(base));
    if (const std::optional<double> number = ReadFloat(text->bytes); !value && number) value = Truncated(*number);
  } else if (const double* number = self.If<double>()) {
    value = Truncated(*number);
  }
  return value ? Value::Integer(*value) : absent;
}

Value FloatFilter(Env&, const Value& self, const Call& call) {  // default
  if (self.is_undefined()) ThrowUndefined(self);
  std::optional<double> value = AsFloat(self);
  if (const Text* text = self.text()) value = ReadFloat(text->bytes);
  if (value) return Value::Float(*value);
  return call[0] == nullptr ? Value::Float(0.0) : *call[0];
}

Value Abs(Env&, const Value& self, const Call&) {
  if (const std::optional<Int> integer = AsInt(self)) return *integer < 0 ? Negative(self) : Value::Integer(*integer);
  if (self.is_undefined()) ThrowUndefined(self);
  if (const double* number = self.If<double>()) return Value::Float(std::fabs(*number));
  throw Error(absl::StrCat("bad operand type for abs(): '", TypeName(self), "'"));
}

// round() of a float: half to even on the exact value, which is what printf does.
double RoundHalfEven(double value, int precision) {
  if (!std::isfinite(value) || precision > 20) return value;
  if (precision < 0) {
    const double unit = std::pow(10.0, -precision);
    return std::nearbyint(value / unit) * unit;
  }
  char text[400];
  std::snprintf(text, sizeof text, "%.*f", precision, value);
  return std::strtod(text, nullptr);
}

Value Round(Env& env, const Value& self, const Call& call) {  // precision method
  const int precision = static_cast<int>(std::clamp<int64_t>(WantSmallInt(call[0], 0, "precision"), -300, 300));
  const std::string method = call[1] == nullptr ? "common" : TextOf(env, *call[1]);
  if (method != "common" && method != "ceil" && method != "floor") {
    throw Error("method must be common, ceil or floor");
  }
  if (self.is_undefined()) ThrowUndefined(self);
  const std::optional<double> value = AsFloat(self);
  if (!value) throw Error(absl::StrCat("type ", TypeName(self), " cannot be rounded"));
  if (method == "common") {
    if (AsInt(self) && precision >= 0) return Value::Integer(*AsInt(self));
    return Value::Float(RoundHalfEven(*value, precision));
  }
  const double unit = std::pow(10.0, precision);
  return Value::Float((method == "ceil" ? std::ceil(*value * unit) : std::floor(*value * unit)) / unit);
}

Value Indent(Env& env, const Value& self, const Call& call) {  // width first blank
  std::string indention(4, ' ');
  if (call[0] != nullptr && call[0]->text() != nullptr) {
    indention = call[0]->text()->bytes;
  } else if (call[0] != nullptr) {
    const Int width = std::max<Int>(WantInt(*call[0], "width"), 0);
    env.heap.CheckText(width > Int{1} << 40 ? SIZE_MAX : static_cast<size_t>(width));
    indention = std::string(static_cast<size_t>(width), ' ');
  }
  const std::string text = TextOf(env, self) + "\n";
  env.heap.Scan(text.size());
  const bool blank = Flag(call[2], false);
  std::string out = Flag(call[1], false) ? indention : "";
  bool is_first = true;
  for (std::string_view line : SplitLines(text)) {
    env.heap.CheckText(out.size() + indention.size() + line.size() + 1);
    env.heap.Copy(indention.size() + line.size());
    if (!is_first) out += "\n";
    if (!std::exchange(is_first, false) && (blank || !line.empty())) out += indention;
    out += line;
  }
  return env.heap.MakeText(std::move(out));
}

Value FormatFilter(Env& env, const Value& self, const Call& call) {
  if (!call.all.named.empty() && !call.all.positional.empty())
    throw Error("can't handle positional and keyword arguments at the same time");
  const std::string format = TextOf(env, self);
  if (call.all.named.empty())
    return env.heap.MakeText(FormatPercent(env.heap, format, env.heap.MakeTuple(call.all.positional)));
  Dict::Members members;
  for (const auto& [name, value] : call.all.named) members.emplace_back(env.heap.MakeText(name), value);
  return env.heap.MakeText(FormatPercent(env.heap, format, env.heap.MakeDict(std::move(members))));
}

// A pair of separators, or absent.
void ReadSeparators(const Value* value, JsonStyle* style) {
  if (value == nullptr || value->is_none()) return;
  const Sequence* pair = value->sequence();
  if (pair == nullptr || pair->items.size() != 2) throw Error("tojson: separators must be a pair of strings");
  style->item_separator = WantText(pair->items[0], "a separator");
  style->key_separator = WantText(pair->items[1], "a separator");
}

Value ToJsonFilter(Env& env, const Value& self, const Call& call) {  // ensure_ascii indent separators sort_keys
  JsonStyle style;
  style.ascii_only = Flag(call[0], false);
  if (call[1] != nullptr && !call[1]->is_none()) {
    const bool is_text = call[1]->text() != nullptr;
    const int64_t width = is_text ? 0 : WantSmallInt(call[1], 0, "indent");
    if (width > 1000) throw Error("tojson: indent above 1000");
    style.indent =
        is_text ? call[1]->text()->bytes : std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  ReadSeparators(call[2], &style);
  style.sort_keys = Flag(call[3], false);
  return env.heap.MakeText(ToJson(env.heap, self, style));
}

Value FromJsonFilter(Env& env, const Value& self, const Call&) {
  const std::string& text = WantText(self, "from_json's input");
  env.heap.Scan(text.size() * 4);
  const absl::StatusOr<Json> json = ParseJson(text);
  if (!json.ok()) throw Error(absl::StrCat("from_json: ", std::string(json.status().message())));
  return env.heap.MakeJson(*json);
}

Value WordCount(Env& env, const Value& self, const Call&) {
  const std::string text = TextOf(env, self);
  env.heap.Scan(text.size());
  size_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = NextChar(text, &at);
    const bool is_word =
        c >= 0x80 ? !IsSpace(c) : c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    words += is_word && !inside;
    inside = is_word;
  }
  return Value::Integer(static_cast<Int>(words));
}

Value AttrFilter(Env& env, const Value& self, const Call& call) {  // name
  const std::string& name = WantText(*call[0], "attr's name");
  if (self.dict() != nullptr && self.dict()->Find(name) != nullptr && FindBuiltin(Role::kDictMethod, name) == nullptr) {
    return env.heap.MakeUndefined(absl::StrCat("'dict object' has no attribute '", name, "'"));  // items do not count
  }
  return GetAttribute(env, self, name);
}

// --- tests ---

Value Truth(bool value) { return Value::Bool(value); }

bool IsIterable(const Value& value) {
  return value.text() != nullptr || value.sequence() != nullptr || value.dict() != nullptr || value.Is<RangeRef>() ||
         value.Is<LoopRef>() || value.is_undefined();
}

bool HasLengthAndItems(const Value& value) {
  const Sequence* sequence = value.sequence();
  if (sequence != nullptr) return sequence->kind == SequenceKind::kList || sequence->kind == SequenceKind::kTuple;
  return value.text() != nullptr || value.dict() != nullptr || value.Is<RangeRef>() || value.is_undefined();
}

// Has letters, and all of them in the case that `Change` maps to.
template <std::string (*Change)(std::string_view), std::string (*Other)(std::string_view)>
Value IsInCase(Env& env, const Value& self, const Call&) {
  const std::string text = TextOf(env, self);
  env.heap.Scan(text.size() * 8);
  return Truth(Change(text) == text && Other(text) != text);
}

template <Op kOp>
Value CompareTest(Env& env, const Value& self, const Call& call) {
  return Truth(Compare(env.heap, kOp, self, *call[0]));
}

Value DivisibleBy(Env& env, const Value& self, const Call& call) {
  return Truth(Equal(env.heap, Calculate(env.heap, Op::kModulo, self, *call[0]), Value::Integer(0)));
}

template <int kRest>
Value ParityTest(Env& env, const Value& self, const Call&) {
  return Truth(Equal(env.heap, Calculate(env.heap, Op::kModulo, self, Value::Integer(2)), Value::Integer(kRest)));
}

Value SameAs(Env& env, const Value& self, const Call& call) {
  const Value& other = *call[0];
  const bool same_type = TypeName(self) == TypeName(other);
  const bool is_simple = self.is_none() || self.Is<bool>() || self.Is<Int>() || self.text() != nullptr;
  if (same_type && !is_simple) throw Error("the test 'sameas' is supported for None, bool, int and str only");
  return Truth(same_type && Equal(env.heap, self, other));
}

// --- functions ---

Value RangeFunction(Env& env, const Value&, const Call& call) {
  const std::vector<Value>& given = call.all.positional;
  if (given.empty() || given.size() > 3 || !call.all.named.empty()) throw Error("range expects 1 to 3 arguments");
  for (const Value& value : given) WantInt(value, "range's arguments");
  Range range;
  range.start = given.size() == 1 ? 0 : *AsInt(given[0]);
  range.stop = given.size() == 1 ? *AsInt(given[0]) : *AsInt(given[1]);
  range.step = given.size() == 3 ? *AsInt(given[2]) : 1;
  constexpr Int kFar = Int{1} << 100;
  for (Int bound : {range.start, range.stop, range.step}) {
    if (bound > kFar || bound < -kFar) throw Error("range: a number too large");
  }
  if (range.step == 0) throw Error("range() arg 3 must not be zero");
  const Int span = range.step > 0 ? range.stop - range.start : range.start - range.stop;
  const Int stride = range.step > 0 ? range.step : -range.step;
  const Int size = span <= 0 ? 0 : (span + stride - 1) / stride;
  constexpr Int kMaxRange = 100'000;
  if (size > kMaxRange) throw Error("Range too big. The sandbox blocks ranges larger than 100000 items.");
  range.size = static_cast<size_t>(size);
  env.heap.Step();
  return RangeRef(std::make_shared<const Range>(range));
}

// dict(...) and namespace(...): a mapping or pairs first, then names.
Dict::Members MembersOf(Env& env, const Arguments& all) {
  if (all.positional.size() > 1) throw Error("dict expected at most 1 argument");
  Dict::Members members;
  if (!all.positional.empty() && all.positional[0].dict() != nullptr) {
    members = all.positional[0].dict()->members;
  } else if (!all.positional.empty()) {
    const SequenceRef visited = Items(env.heap, all.positional[0]);
    for (const Value& pair : visited->items) {
      const SequenceRef items = Items(env.heap, pair);
      if (items->items.size() != 2) throw Error("dictionary update sequence element has not length 2");
      members.emplace_back(items->items[0], items->items[1]);
    }
  }
  for (const auto& [name, value] : all.named) members.emplace_back(env.heap.MakeText(name), value);
  return members;
}

Value DictFunction(Env& env, const Value&, const Call& call) { return env.heap.MakeDict(MembersOf(env, call.all)); }

Value NamespaceFunction(Env& env, const Value&, const Call& call) {
  const Value space = env.heap.MakeNamespace();
  const Value dict = env.heap.MakeDict(MembersOf(env, call.all));
  for (const auto& [name, value] : dict.dict()->members) {
    (*space.If<Namespace*>())->attributes.emplace_back(WantText(name, "a namespace's attribute"), value);
  }
  return space;
}

Value RaiseException(Env& env, const Value&, const Call& call) {
  throw Error(TextOf(env, *call[0]), Error::Kind::kRaised);
}

Value StrftimeNow(Env& env, const Value&, const Call& call) {
  return env.heap.MakeText(FormatTime(env.heap, WantText(*call[0], "strftime_now's format"), env.unix_time));
}

// --- methods ---

Value SplitMethod(Env& env, const Value& self, const Call& call) {  // sep maxsplit
  const std::optional<std::string_view> separator = OptionalText(call[0], "separator");
  if (separator && separator->empty()) throw Error("empty separator");
  const std::string& text = self.text()->bytes;
  env.heap.Scan(text.size());
  if (separator) env.heap.CheckItems(Count(text, *separator) + 1);
  return ListOf(env, Split(text, separator, WantSmallInt(call[1], -1, "maxsplit")));
}

Value RSplitMethod(Env& env, const Value& self, const Call& call) {  // sep maxsplit
  const std::optional<std::string_view> separator = OptionalText(call[0], "separator");
  if (separator && separator->empty()) throw Error("empty separator");
  const std::string& text = self.text()->bytes;
  const int64_t most = WantSmallInt(call[1], -1, "maxsplit");
  if (most > 64) throw Error("rsplit: maxsplit above 64 is not supported");
  env.heap.Scan(text.size() * static_cast<size_t>(std::max<int64_t>(most, 1)));
  return ListOf(env, SplitFromRight(text, separator, most));
}

Value SplitLinesMethod(Env& env, const Value& self, const Call& call) {  // keepends
  if (Flag(call[0], false)) throw Error("splitlines: keepends is not supported");
  env.heap.Scan(self.text()->bytes.size());
  return ListOf(env, SplitLines(self.text()->bytes));
}

bool Matches(std::string_view text, std::string_view affix, bool at_start) {
  if (affix.size() > text.size()) return false;
  return at_start ? text.substr(0, affix.size()) == affix : text.substr(text.size() - affix.size()) == affix;
}

// startswith and endswith: of one string or any of a tuple.
template <bool kAtStart>
Value AffixMethod(Env& env, const Value& self, const Call& call) {
  const std::string& text = self.text()->bytes;
  env.heap.Copy(text.size());
  const Sequence* tuple = call[0]->sequence();
  if (tuple == nullptr || tuple->kind != SequenceKind::kTuple) {
    return Truth(Matches(text, WantText(*call[0], kAtStart ? "startswith first arg" : "endswith first arg"), kAtStart));
  }
  for (const Value& affix : tuple->items) {
    env.heap.Step();
    if (Matches(text, WantText(affix, "an affix"), kAtStart)) return Truth(true);
  }
  return Truth(false);
}

template <bool kAtStart>
Value RemoveAffix(Env& env, const Value& self, const Call& call) {
  const std::string &text = self.text()->bytes, &affix = WantText(*call[0], "the affix");
  if (!Matches(text, affix, kAtStart)) return self;
  return env.heap.MakeText(kAtStart ? text.substr(affix.size()) : text.substr(0, text.size() - affix.size()));
}

// find and index: the place in characters; index throws where find says -1.
template <bool kThrows>
Value FindMethod(Env& env, const Value& self, const Call& call) {
  const std::string& text = self.text()->bytes;
  env.heap.Scan(text.size());
  const size_t place = Find(text, WantText(*call[0], "find's argument"));
  if (place != std::string::npos)
    return Value::Integer(static_cast<Int>(CountChars(std::string_view(text).substr(0, place))));
  if (kThrows) throw Error("substring not found");
  return Value::Integer(-1);
}

Value CountMethod(Env& env, const Value& self, const Call& call) {
  env.heap.Scan(self.text()->bytes.size());
  return Value::Integer(static_cast<Int>(Count(self.text()->bytes, WantText(*call[0], "count's argument"))));
}

Value FormatMethod(Env& env, const Value& self, const Call& call) {
  return env.heap.MakeText(FormatBraces(env.heap, self.text()->bytes, call.all.positional, call.all.named));
}

Value JoinMethod(Env& env, const Value& self, const Call& call) {  // iterable
  const SequenceRef items = Items(env.heap, *call[0]);
  for (const Value& item : items->items) WantText(item, "sequence item");
  Arguments separator;
  separator.positional.push_back(self);
  return ApplyFilter(env, "join", items, separator);
}

// isdigit, isalpha, isalnum, isspace: of ASCII text; the rest of Unicode is refused.
template <bool (*Test)(char)>
Value AsciiClass(Env& env, const Value& self, const Call&) {
  const std::string& text = self.text()->bytes;
  env.heap.Scan(text.size());
  if (text.size() != self.text()->num_chars) throw Error("the isdigit family is supported for ASCII text only");
  return Truth(!text.empty() && std::all_of(text.begin(), text.end(), Test));
}
bool IsAsciiDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAsciiAlpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsAsciiAlnum(char c) { return IsAsciiDigit(c) || IsAsciiAlpha(c); }
bool IsAsciiSpace(char c) { return IsSpace(static_cast<unsigned char>(c)); }

Value GetMethod(Env& env, const Value& self, const Call& call) {  // key default
  env.heap.Step();
  const Value* found = self.dict()->Find(*call[0]);
  if (found != nullptr) return *found;
  return call[1] == nullptr ? Value(None{}) : *call[1];
}

Value ItemsMethod(Env& env, const Value& self, const Call&) {
  return env.heap.MakeSequence(SequenceKind::kDictItems, MemberPairs(env, *self.dict()));
}
Value KeysMethod(Env& env, const Value& self, const Call&) {
  return env.heap.MakeSequence(SequenceKind::kDictKeys, Items(env.heap, self)->items);
}
Value ValuesMethod(Env& env, const Value& self, const Call&) {
  std::vector<Value> values;
  for (const auto& [key, value] : self.dict()->members) values.push_back(value);
  return env.heap.MakeSequence(SequenceKind::kDictValues, std::move(values));
}
Value CopyMethod(Env&, const Value& self, const Call&) { return self; }  // immutable: a copy cannot be told apart

Value IndexMethod(Env& env, const Value& self, const Call& call) {
  const std::vector<Value>& items = self.sequence()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (Equal(env.heap, items[i], *call[0])) return Value::Integer(static_cast<Int>(i));
  }
  throw Error("the value is not in list");
}
Value CountItems(Env& env, const Value& self, const Call& call) {
  Int count = 0;
  for (const Value& item : self.sequence()->items) count += Equal(env.heap, item, *call[0]);
  return Value::Integer(count);
}

Value CycleMethod(Env& env, const Value& self, const Call& call) {
  if (call.all.positional.empty()) throw Error("no items for cycling given");
  env.heap.Step();
  return call.all.positional[(*self.If<LoopRef>())->index0 % call.all.positional.size()];
}

[[noreturn]] Value NotSupported(Env&, const Value&, const Call&) { throw Error("not supported"); }
[[noreturn]] Value Unsafe(Env&, const Value&, const Call&) { throw Error("unsafe"); }

constexpr Role F = Role::kFilter, T = Role::kTest, G = Role::kFunction, S = Role::kTextMethod, L = Role::kListMethod,
               U = Role::kTupleMethod, D = Role::kDictMethod, O = Role::kLoopMethod;

constexpr Builtin kBuiltins[] = {
    {F, "abs", "", 0, Abs},
    {F, "attr", "name", 1, AttrFilter},
    {F, "batch", "linecount fill_with", 1, Batch},
    {F, "capitalize", "", 0, ChangeCase<Capitalize>},
    {F, "count", "", 0, LengthFilter},
    {F, "d", "default_value boolean", 0, Default},
    {F, "default", "default_value boolean", 0, Default},
    {F, "dictsort", "case_sensitive by reverse", 0, DictSort},
    {F, "e", "", 0, Escape},
    {F, "escape", "", 0, Escape},
    {F, "first", "", 0, First},
    {F, "float", "default", 0, FloatFilter},
    {F, "format", "*", 0, FormatFilter},
    {F, "from_json", "", 0, FromJsonFilter},
    {F, "fromjson", "", 0, FromJsonFilter},
    {F, "indent", "width first blank", 0, Indent},
    {F, "int", "default base", 0, IntFilter},
    {F, "items", "", 0, ItemsFilter},
    {F, "join", "d attribute", 0, Join},
    {F, "last", "", 0, Last},
    {F, "length", "", 0, LengthFilter},
    {F, "list", "", 0, ListFilter},
    {F, "lower", "", 0, ChangeCase<Lower>},
    {F, "map", "*", 0, Map},
    {F, "max", "case_sensitive attribute", 0,
     [](Env& e, const Value& v, const Call& c) { return Extreme(e, v, c, true); }},
    {F, "min", "case_sensitive attribute", 0,
     [](Env& e, const Value& v, const Call& c) { return Extreme(e, v, c, false); }},
    {F, "reject", "*", 0, [](Env& e, const Value& v, const Call& c) { return Keep(e, v, c.all, false, false); }},
    {F, "rejectattr", "*", 0, [](Env& e, const Value& v, const Call& c) { return Keep(e, v, c.all, true, false); }},
    {F, "replace", "old new count", 2, ReplaceFilter},
    {F, "reverse", "", 0, Reverse},
    {F, "round", "precision method", 0, Round},
    {F, "safe", "", 0, Safe},
    {F, "select", "*", 0, [](Env& e, const Value& v, const Call& c) { return Keep(e, v, c.all, false, true); }},
    {F, "selectattr", "*", 0, [](Env& e, const Value& v, const Call& c) { return Keep(e, v, c.all, true, true); }},
    {F, "sort", "reverse case_sensitive attribute", 0, Sort},
    {F, "string", "", 0, StringFilter},
    {F, "sum", "attribute start", 0, Sum},
    {F, "title", "", 0, ChangeCase<TitleWords>},
    {F, "tojson", "ensure_ascii indent separators sort_keys", 0, ToJsonFilter},
    {F, "trim", "chars", 0, StripText<Side::kBoth>},
    {F, "unique", "case_sensitive attribute", 0, Unique},
    {F, "upper", "", 0, ChangeCase<Upper>},
    {F, "wordcount", "", 0, WordCount},

    {T, "!=", "other", 1, CompareTest<Op::kNotEqual>},
    {T, "<", "other", 1, CompareTest<Op::kLess>},
    {T, "<=", "other", 1, CompareTest<Op::kLessEqual>},
    {T, "==", "other", 1, CompareTest<Op::kEqual>},
    {T, ">", "other", 1, CompareTest<Op::kGreater>},
    {T, ">=", "other", 1, CompareTest<Op::kGreaterEqual>},
    {T, "boolean", "", 0, [](Env&, const Value& v, const Call&) { return Truth(v.Is<bool>()); }},
    {T, "callable", "", 0,
     [](Env&, const Value& v, const Call&) {
       return Truth(v.Is<CallableRef>() || v.Is<LoopRef>() || v.is_undefined());
     }},
    {T, "defined", "", 0, [](Env&, const Value& v, const Call&) { return Truth(!v.is_undefined()); }},
    {T, "divisibleby", "num", 1, DivisibleBy},
    {T, "eq", "other", 1, CompareTest<Op::kEqual>},
    {T, "equalto", "other", 1, CompareTest<Op::kEqual>},
    {T, "escaped", "", 0,
     [](Env&, const Value& v, const Call&) { return Truth(v.text() != nullptr && v.text()->is_markup); }},
    {T, "even", "", 0, ParityTest<0>},
    {T, "false", "", 0, [](Env&, const Value& v, const Call&) { return Truth(v.Is<bool>() && !*v.If<bool>()); }},
    {T, "filter", "", 0,
     [](Env& e, const Value& v, const Call&) { return Truth(FindBuiltin(Role::kFilter, TextOf(e, v)) != nullptr); }},
    {T, "float", "", 0, [](Env&, const Value& v, const Call&) { return Truth(v.Is<double>()); }},
    {T, "ge", "other", 1, CompareTest<Op::kGreaterEqual>},
    {T, "greaterthan", "other", 1, CompareTest<Op::kGreater>},
    {T, "gt", "other", 1, CompareTest<Op::kGreater>},
    {T, "in", "seq", 1, CompareTest<Op::kIn>},
    {T, "integer", "", 0, [](Env&, const Value& v, const Call&) { return Truth(v.Is<Int>()); }},
    {T, "iterable", "", 0, [](Env&, const Value& v, const Call&) { return Truth(IsIterable(v)); }},
    {T, "le", "other", 1, CompareTest<Op::kLessEqual>},
    {T, "lessthan", "other", 1, CompareTest<Op::kLess>},
    {T, "lower", "", 0, IsInCase<Lower, Upper>},
    {T, "lt", "other", 1, CompareTest<Op::kLess>},
    {T, "mapping", "", 0, [](Env&, const Value& v, const Call&) { return Truth(v.dict() != nullptr); }},
    {T, "ne", "other", 1, CompareTest<Op::kNotEqual>},
    {T, "none", "", 0, [](Env&, const Value& v, const Call&) { return Truth(v.is_none()); }},
    {T, "number", "", 0, [](Env&, const Value& v, const Call&) { return Truth(AsFloat(v).has_value()); }},
    {T, "odd", "", 0, ParityTest<1>},
    {T, "sameas", "other", 1, SameAs},
    {T, "sequence", "", 0, [](Env&, const Value& v, const Call&) { return Truth(HasLengthAndItems(v)); }},
    {T, "string", "", 0, [](Env&, const Value& v, const Call&) { return Truth(v.text() != nullptr); }},
    {T, "test", "", 0,
     [](Env& e, const Value& v, const Call&) { return Truth(FindBuiltin(Role::kTest, TextOf(e, v)) != nullptr); }},
    {T, "true", "", 0, [](Env&, const Value& v, const Call&) { return Truth(v.Is<bool>() && *v.If<bool>()); }},
    {T, "undefined", "", 0, [](Env&, const Value& v, const Call&) { return Truth(v.is_undefined()); }},
    {T, "upper", "", 0, IsInCase<Upper, Lower>},

    {G, "dict", "*", 0, DictFunction},
    {G, "namespace", "*", 0, NamespaceFunction},
    {G, "raise_exception", "message", 1, RaiseException},
    {G, "range", "*", 0, RangeFunction},
    {G, "strftime_now", "format", 1, StrftimeNow},

    {S, "capitalize", "", 0, ChangeCase<Capitalize>},
    {S, "count", "sub", 1, CountMethod},
    {S, "endswith", "suffix", 1, AffixMethod<false>},
    {S, "find", "sub", 1, FindMethod<false>},
    {S, "format", "*", 0, FormatMethod},
    {S, "index", "sub", 1, FindMethod<true>},
    {S, "isalnum", "", 0, AsciiClass<IsAsciiAlnum>},
    {S, "isalpha", "", 0, AsciiClass<IsAsciiAlpha>},
    {S, "isdigit", "", 0, AsciiClass<IsAsciiDigit>},
    {S, "islower", "", 0, IsInCase<Lower, Upper>},
    {S, "isspace", "", 0, AsciiClass<IsAsciiSpace>},
    {S, "isupper", "", 0, IsInCase<Upper, Lower>},
    {S, "join", "iterable", 1, JoinMethod},
    {S, "lower", "", 0, ChangeCase<Lower>},
    {S, "lstrip", "chars", 0, StripText<Side::kLeft>},
    {S, "removeprefix", "prefix", 1, RemoveAffix<true>},
    {S, "removesuffix", "suffix", 1, RemoveAffix<false>},
    {S, "replace", "old new count", 2, ReplaceMethod},
    {S, "rsplit", "sep maxsplit", 0, RSplitMethod},
    {S, "rstrip", "chars", 0, StripText<Side::kRight>},
    {S, "split", "sep maxsplit", 0, SplitMethod},
    {S, "splitlines", "keepends", 0, SplitLinesMethod},
    {S, "startswith", "prefix", 1, AffixMethod<true>},
    {S, "strip", "chars", 0, StripText<Side::kBoth>},
    {S, "title", "", 0, ChangeCase<Title>},
    {S, "upper", "", 0, ChangeCase<Upper>},

    {L, "copy", "", 0, CopyMethod},
    {L, "count", "value", 1, CountItems},
    {L, "index", "value", 1, IndexMethod},
    {U, "count", "value", 1, CountItems},
    {U, "index", "value", 1, IndexMethod},
    {D, "copy", "", 0, CopyMethod},
    {D, "get", "key default", 1, GetMethod},
    {D, "items", "", 0, ItemsMethod},
    {D, "keys", "", 0, KeysMethod},
    {D, "values", "", 0, ValuesMethod},
    {O, "cycle", "*", 0, CycleMethod},

    // Jinja's and Python's own that no chat template uses: refused by name, lest they be taken for absent.
    {F, "center", "*", 0, NotSupported},
    {F, "filesizeformat", "*", 0, NotSupported},
    {F, "forceescape", "*", 0, NotSupported},
    {F, "groupby", "*", 0, NotSupported},
    {F, "pprint", "*", 0, NotSupported},
    {F, "random", "*", 0, NotSupported},
    {F, "slice", "*", 0, NotSupported},
    {F, "striptags", "*", 0, NotSupported},
    {F, "truncate", "*", 0, NotSupported},
    {F, "urlencode", "*", 0, NotSupported},
    {F, "urlize", "*", 0, NotSupported},
    {F, "wordwrap", "*", 0, NotSupported},
    {F, "xmlattr", "*", 0, NotSupported},
    {G, "cycler", "*", 0, NotSupported},
    {G, "joiner", "*", 0, NotSupported},
    {G, "lipsum", "*", 0, NotSupported},
    {S, "casefold", "*", 0, NotSupported},
    {S, "center", "*", 0, NotSupported},
    {S, "encode", "*", 0, NotSupported},
    {S, "expandtabs", "*", 0, NotSupported},
    {S, "format_map", "*", 0, NotSupported},
    {S, "isascii", "*", 0, NotSupported},
    {S, "isdecimal", "*", 0, NotSupported},
    {S, "isidentifier", "*", 0, NotSupported},
    {S, "isnumeric", "*", 0, NotSupported},
    {S, "isprintable", "*", 0, NotSupported},
    {S, "istitle", "*", 0, NotSupported},
    {S, "ljust", "*", 0, NotSupported},
    {S, "maketrans", "*", 0, NotSupported},
    {S, "partition", "*", 0, NotSupported},
    {S, "rfind", "*", 0, NotSupported},
    {S, "rindex", "*", 0, NotSupported},
    {S, "rjust", "*", 0, NotSupported},
    {S, "rpartition", "*", 0, NotSupported},
    {S, "swapcase", "*", 0, NotSupported},
    {S, "translate", "*", 0, NotSupported},
    {S, "zfill", "*", 0, NotSupported},
    {D, "fromkeys", "*", 0, NotSupported},
    {O, "changed", "*", 0, NotSupported},

    // Methods that would change their object.
    {L, "append", "*", 0, Unsafe},
    {L, "clear", "*", 0, Unsafe},
    {L, "extend", "*", 0, Unsafe},
    {L, "insert", "*", 0, Unsafe},
    {L, "pop", "*", 0, Unsafe},
    {L, "remove", "*", 0, Unsafe},
    {L, "reverse", "*", 0, Unsafe},
    {L, "sort", "*", 0, Unsafe},
    {D, "clear", "*", 0, Unsafe},
    {D, "pop", "*", 0, Unsafe},
    {D, "popitem", "*", 0, Unsafe},
    {D, "setdefault", "*", 0, Unsafe},
    {D, "update", "*", 0, Unsafe},
};

std::string Described(const Value& value) {
  return value.is_none() ? "None" : absl::StrCat(TypeName(value), " object");
}

std::optional<Role> MethodsOf(const Value& value) {
  if (value.text() != nullptr) return Role::kTextMethod;
  if (value.dict() != nullptr) return Role::kDictMethod;
  if (value.Is<LoopRef>()) return Role::kLoopMethod;
  const Sequence* sequence = value.sequence();
  if (sequence != nullptr && sequence->kind == SequenceKind::kList) return Role::kListMethod;
  if (sequence != nullptr && sequence->kind == SequenceKind::kTuple) return Role::kTupleMethod;
  return std::nullopt;
}

std::optional<Value> LoopAttribute(Env& env, const Loop& loop, std::string_view name) {
  const Int index = static_cast<Int>(loop.index0), size = static_cast<Int>(loop.items->items.size());
  if (name == "index") return Value::Integer(index + 1);
  if (name == "index0") return Value::Integer(index);
  if (name == "revindex") return Value::Integer(size - index);
  if (name == "revindex0") return Value::Integer(size - index - 1);
  if (name == "first") return Value::Bool(index == 0);
  if (name == "last") return Value::Bool(index + 1 == size);
  if (name == "length") return Value::Integer(size);
  if (name == "depth") return Value::Integer(1);  // loops are never recursive
  if (name == "depth0") return Value::Integer(0);
  if (name == "previtem")
    return index > 0 ? loop.items->items[loop.index0 - 1] : env.heap.MakeUndefined("there is no previous item");
  if (name == "nextitem")
    return index + 1 < size ? loop.items->items[loop.index0 + 1] : env.heap.MakeUndefined("there is no next item");
  return std::nullopt;
}

// The attribute or bound method; nullopt when the type has none of that name.
std::optional<Value> FindAttribute(Env& env, const Value& value, const std::string& name) {
  if (value.is_undefined()) ThrowUndefined(value);
  const std::optional<Role> role = MethodsOf(value);
  const Builtin* method = role ? FindBuiltin(*role, name) : nullptr;
  const CallableRef* callable = value.If<CallableRef>();
  const bool is_inner = name.substr(0, 2) == "__" && (value.dict() == nullptr || value.dict()->Find(name) == nullptr);
  if (is_inner || (method != nullptr && method->run == Unsafe)) {
    const std::string why =
        absl::StrCat("access to attribute '", name, "' of '", TypeName(value), "' object is unsafe.");
    if (callable != nullptr) throw Error(why);
    return env.heap.MakeUndefined(why);
  }
  if (Namespace* const* space = value.If<Namespace*>()) {
    env.heap.Step(static_cast<int64_t>((*space)->attributes.size() / 32));
    for (const auto& [attribute, held] : (*space)->attributes) {
      if (attribute == name) return held;
    }
  }
  if (const LoopRef* loop = value.If<LoopRef>()) {
    if (std::optional<Value> found = LoopAttribute(env, **loop, name)) return found;
  }
  if (callable != nullptr && (*callable)->macro != nullptr && name == "name")
    return env.heap.MakeText((*callable)->name);
  if (method == nullptr) return std::nullopt;
  if (method->run == NotSupported) {
    throw Error(absl::StrCat("the method '", name, "' of ", TypeName(value), " is not supported"));
  }
  if (DepthOf(value) >= env.heap.limits().max_value_depth) throw Error("values nested too deep");
  auto bound = std::make_shared<Callable>();
  bound->name = name;
  bound->builtin = method;
  bound->self = value;
  return Value(CallableRef(std::move(bound)));
}

}  // namespace

const Builtin* FindBuiltin(Role role, std::string_view name) {
  using ByName = std::unordered_map<std::string_view, const Builtin*>;
  static const std::vector<ByName>* const index = [] {
    auto* built = new std::vector<ByName>(static_cast<size_t>(Role::kLoopMethod) + 1);
    for (const Builtin& builtin : kBuiltins)
      (*built)[static_cast<size_t>(builtin.role)].emplace(builtin.name, &builtin);
    return built;
  }();
  const ByName& names = (*index)[static_cast<size_t>(role)];
  auto found = names.find(name);
  return found == names.end() ? nullptr : found->second;
}

Value RunBuiltin(Env& env, const Builtin& builtin, const Value& self, const Arguments& arguments) {
  env.heap.Step();
  Call call{arguments, {}};
  const std::string name(builtin.name);
  if (builtin.run == NotSupported) throw Error(absl::StrCat("'", name, "' is not supported"));
  if (builtin.parameters == "*") return builtin.run(env, self, call);
  const std::vector<std::string_view> parameters = Split(builtin.parameters, std::nullopt, -1);
  if (arguments.positional.size() > parameters.size()) {
    throw Error(absl::StrCat(name, "() takes at most ", parameters.size(), " arguments (", arguments.positional.size(),
                             " given)"));
  }
  call.slots.resize(parameters.size(), nullptr);
  for (size_t i = 0; i < arguments.positional.size(); ++i) call.slots[i] = &arguments.positional[i];
  for (const auto& [key, value] : arguments.named) {
    const size_t slot = static_cast<size_t>(std::find(parameters.begin(), parameters.end(), key) - parameters.begin());
    if (slot == parameters.size()) throw Error(absl::StrCat(name, "() got an unexpected keyword argument '", key, "'"));
    if (call.slots[slot] != nullptr) throw Error(absl::StrCat(name, "() got multiple values for argument '", key, "'"));
    call.slots[slot] = &value;
  }
  for (size_t i = 0; i < builtin.required; ++i) {
    if (call.slots[i] == nullptr)
      throw Error(absl::StrCat(name, "() misses its argument '", std::string(parameters[i]), "'"));
  }
  return builtin.run(env, self, call);
}

Value ApplyFilter(Env& env, const std::string& name, const Value& value, const Arguments& arguments) {
  const Builtin* filter = FindBuiltin(Role::kFilter, name);
  if (filter == nullptr) throw Error(absl::StrCat("No filter named '", name, "'."));
  if (env.depth >= env.heap.limits().max_call_depth) throw Error("filters nested too deep");
  ++env.depth;
  Value result = RunBuiltin(env, *filter, value, arguments);
  --env.depth;
  return result;
}

bool ApplyTest(Env& env, const std::string& name, const Value& value, const Arguments& arguments) {
  const Builtin* test = FindBuiltin(Role::kTest, name);
  if (test == nullptr) throw Error(absl::StrCat("No test named '", name, "'."));
  return IsTrue(RunBuiltin(env, *test, value, arguments));
}

Value GetAttribute(Env& env, const Value& value, const std::string& name) {
  if (std::optional<Value> attribute = FindAttribute(env, value, name)) return *attribute;
  if (const Dict* dict = value.dict()) {
    env.heap.Step();
    if (const Value* found = dict->Find(name)) return *found;
  }
  return env.heap.MakeUndefined(absl::StrCat("'", Described(value), "' has no attribute '", name, "'"));
}

Value GetItem(Env& env, const Value& value, const Value& key) {
  if (std::optional<Value> item = Item(env.heap, value, key)) return *item;
  const Text* name = key.text();
  if (name == nullptr) {
    return env.heap.MakeUndefined(absl::StrCat(Described(value), " has no element ",
                                               key.dict() || key.sequence() ? TypeName(key) : Repr(env.heap, key)));
  }
  if (name->bytes.size() < 64) {
    if (std::optional<Value> attribute = FindAttribute(env, value, name->bytes)) return *attribute;
  }
  return env.heap.MakeUndefined(
      absl::StrCat("'", Described(value), "' has no attribute '", name->bytes.substr(0, 64), "'"));
}

}  // namespace braid::jinja
