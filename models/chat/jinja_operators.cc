#include "models/chat/jinja_operators.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "kernels/base/utf8.h"
#include "models/chat/jinja_format.h"
#include "models/chat/jinja_print.h"
#include "models/chat/jinja_scope.h"
#include "models/chat/jinja_text.h"

namespace braid::jinja {
namespace {

std::string_view Sign(Op op) {
  switch (op) {
    case Op::kAdd:
      return "+";
    case Op::kSubtract:
      return "-";
    case Op::kMultiply:
      return "*";
    case Op::kDivide:
      return "/";
    case Op::kFloorDivide:
      return "//";
    case Op::kModulo:
      return "%";
    case Op::kPower:
      return "**";
    default:
      return "~";
  }
}

[[noreturn]] void ThrowUnsupported(Op op, const Value& a, const Value& b) {
  throw Error(absl::StrCat("unsupported operand type(s) for ", std::string(Sign(op)), ": '", TypeName(a), "' and '",
                           TypeName(b), "'"));
}

void Refuse(bool overflows) {
  if (overflows) throw Error("an integer grows beyond 127 bits");
}

Int FloorDivide(Int a, Int b) {
  if (b == 0) throw Error("integer division or modulo by zero");
  if (b == -1) {
    Int negative;
    Refuse(__builtin_sub_overflow(Int{0}, a, &negative));
    return negative;
  }
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

Int Modulo(Int a, Int b) {
  if (b == 0) throw Error("integer division or modulo by zero");
  if (b == -1) return 0;
  const Int rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Int Power(Int base, Int exponent) {
  Int result = 1;
  while (exponent > 0) {
    if (exponent & 1) Refuse(__builtin_mul_overflow(result, base, &result));
    exponent >>= 1;
    if (exponent > 0) Refuse(__builtin_mul_overflow(base, base, &base));
  }
  return result;
}

Value CalculateInts(Op op, Int a, Int b) {
  Int result = 0;
  switch (op) {
    case Op::kAdd:
      Refuse(__builtin_add_overflow(a, b, &result));
      return Value::Integer(result);
    case Op::kSubtract:
      Refuse(__builtin_sub_overflow(a, b, &result));
      return Value::Integer(result);
    case Op::kMultiply:
      Refuse(__builtin_mul_overflow(a, b, &result));
      return Value::Integer(result);
    case Op::kFloorDivide:
      return Value::Integer(FloorDivide(a, b));
    case Op::kModulo:
      return Value::Integer(Modulo(a, b));
    case Op::kPower:
      if (b >= 0) return Value::Integer(Power(a, b));
      if (a == 0) throw Error("0.0 cannot be raised to a negative power");
      return Value::Float(std::pow(static_cast<double>(a), static_cast<double>(b)));
    default:
      if (b == 0) throw Error("division by zero");
      return Value::Float(static_cast<double>(a) / static_cast<double>(b));
  }
}

double FloatModulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) return rest + b;
  return rest != 0 ? rest : std::copysign(0.0, b);
}

double FloatPower(double a, double b) {
  if (a == 0 && b < 0) throw Error("0.0 cannot be raised to a negative power");
  if (a < 0 && std::isfinite(a) && std::isfinite(b) && std::trunc(b) != b) {
    throw Error("a negative number to a broken power is not supported");
  }
  const double result = std::pow(a, b);
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) throw Error("a power too large for a float");
  return result;
}

Value CalculateFloats(Op op, double a, double b) {
  const bool divides = op == Op::kDivide || op == Op::kFloorDivide || op == Op::kModulo;
  if (divides && b == 0) throw Error("float division by zero");
  switch (op) {
    case Op::kAdd:
      return Value::Float(a + b);
    case Op::kSubtract:
      return Value::Float(a - b);
    case Op::kMultiply:
      return Value::Float(a * b);
    case Op::kFloorDivide:
      return Value::Float(std::floor((a - FloatModulo(a, b)) / b + 0.5));
    case Op::kModulo:
      return Value::Float(FloatModulo(a, b));
    case Op::kPower:
      return Value::Float(FloatPower(a, b));
    default:
      return Value::Float(a / b);
  }
}

bool IsListOrTuple(const Sequence* sequence) {
  return sequence != nullptr && (sequence->kind == SequenceKind::kList || sequence->kind == SequenceKind::kTuple);
}

Value AddTexts(Heap& heap, const Text& a, const Text& b) {
  const bool is_markup = a.is_markup || b.is_markup;
  if (!is_markup || a.is_markup == b.is_markup) {
    heap.CheckText(a.bytes.size() + b.bytes.size());
    return heap.MakeText(a.bytes + b.bytes, is_markup);
  }
  heap.CheckText((a.bytes.size() + b.bytes.size()) * 5);
  return heap.MakeText(a.is_markup ? a.bytes + EscapeHtml(b.bytes) : EscapeHtml(a.bytes) + b.bytes, true);
}

Value AddSequences(Heap& heap, const Sequence& a, const Sequence& b) {
  heap.CheckItems(a.items.size() + b.items.size());
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return heap.MakeSequence(a.kind, std::move(items));
}

Value AddOther(Heap& heap, const Value& a, const Value& b) {
  const Text *left = a.text(), *right = b.text();
  if (left != nullptr && right != nullptr) return AddTexts(heap, *left, *right);
  if (left != nullptr) throw Error(absl::StrCat("can only concatenate str (not \"", TypeName(b), "\") to str"));
  const Sequence *first = a.sequence(), *second = b.sequence();
  if (IsListOrTuple(first) && second != nullptr && first->kind == second->kind) {
    return AddSequences(heap, *first, *second);
  }
  if (IsListOrTuple(first)) {
    throw Error(absl::StrCat("can only concatenate ", TypeName(a), " (not \"", TypeName(b), "\") to ", TypeName(a)));
  }
  ThrowUnsupported(Op::kAdd, a, b);
}

// a ~ b: texts as they are, the rest as it prints.
Value Concat(Heap& heap, const Value& a, const Value& b) {
  const std::string left_printed = a.text() == nullptr ? Str(heap, a) : "";
  const std::string right_printed = b.text() == nullptr ? Str(heap, b) : "";
  const std::string& left = a.text() == nullptr ? left_printed : a.text()->bytes;
  const std::string& right = b.text() == nullptr ? right_printed : b.text()->bytes;
  heap.CheckText(left.size() + right.size());
  std::string joined;
  joined.reserve(left.size() + right.size());
  return heap.MakeText(std::move(joined.append(left).append(right)));
}

// times * unit, SIZE_MAX where that is too large for a size: what a limit is asked about before anything is built.
size_t Times(Int times, size_t unit) {
  if (times <= 0 || unit == 0) return 0;
  size_t total;
  if (times > Int{1} << 60 || __builtin_mul_overflow(static_cast<size_t>(times), unit, &total)) return SIZE_MAX;
  return total;
}

Value Repeat(Heap& heap, const Value& value, Int times) {
  if (const Text* text = value.text()) {
    const size_t total = Times(times, text->bytes.size());
    heap.CheckText(total);
    std::string out;
    out.reserve(total);
    while (out.size() < total) out += text->bytes;
    return heap.MakeText(std::move(out), text->is_markup);
  }
  const Sequence& sequence = *value.sequence();
  const size_t total = Times(times, sequence.items.size());
  heap.CheckItems(total);
  std::vector<Value> items;
  items.reserve(total);
  while (items.size() < total) items.insert(items.end(), sequence.items.begin(), sequence.items.end());
  return heap.MakeSequence(sequence.kind, std::move(items));
}

bool IsRepeatable(const Value& value) { return value.text() != nullptr || IsListOrTuple(value.sequence()); }

Value CalculateOthers(Heap& heap, Op op, const Value& a, const Value& b) {
  if (op == Op::kAdd) return AddOther(heap, a, b);
  if (op == Op::kModulo && a.text() != nullptr) return heap.MakeText(FormatPercent(heap, a.text()->bytes, b));
  if (op == Op::kMultiply) {
    if (IsRepeatable(a) && AsInt(b)) return Repeat(heap, a, *AsInt(b));
    if (IsRepeatable(b) && AsInt(a)) return Repeat(heap, b, *AsInt(a));
  }
  ThrowUnsupported(op, a, b);
}

bool EqualSequences(Heap& heap, const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!Equal(heap, a[i], b[i])) return false;
  }
  return true;
}

bool EqualDicts(Heap& heap, const Dict& a, const Dict& b) {
  if (a.members.size() != b.members.size()) return false;
  for (const auto& [key, value] : a.members) {
    const Value* other = b.Find(key);
    if (other == nullptr || !Equal(heap, value, *other)) return false;
  }
  return true;
}

bool IsNumber(const Value& value) { return value.Is<bool>() || value.Is<Int>() || value.Is<double>(); }

// -1, 0, 1; 2 when one of them is not a number.
int CompareNumbers(const Value& a, const Value& b) {
  const std::optional<Int> x = AsInt(a), y = AsInt(b);
  if (x && y) return *x < *y ? -1 : *x > *y;
  const double p = *AsFloat(a), q = *AsFloat(b);
  return p < q ? -1 : p > q ? 1 : p == q ? 0 : 2;
}

// As CompareNumbers, for everything that has an order.
int Order(Heap& heap, std::string_view sign, const Value& a, const Value& b) {
  heap.Step();
  if (IsNumber(a) && IsNumber(b)) return CompareNumbers(a, b);
  if (a.text() != nullptr && b.text() != nullptr) {
    heap.Copy(std::min(a.text()->bytes.size(), b.text()->bytes.size()));
    const int order = a.text()->bytes.compare(b.text()->bytes);  // UTF-8 sorts as its code points do
    return order < 0 ? -1 : order > 0;
  }
  const Sequence *p = a.sequence(), *q = b.sequence();
  if (IsListOrTuple(p) && q != nullptr && p->kind == q->kind) {
    for (size_t i = 0; i < p->items.size() && i < q->items.size(); ++i) {
      if (!Equal(heap, p->items[i], q->items[i])) return Order(heap, sign, p->items[i], q->items[i]);
    }
    return p->items.size() < q->items.size() ? -1 : p->items.size() > q->items.size();
  }
  if (a.is_undefined()) ThrowUndefined(a);
  if (b.is_undefined()) ThrowUndefined(b);
  throw Error(absl::StrCat("'", std::string(sign), "' not supported between instances of '", TypeName(a), "' and '",
                           TypeName(b), "'"));
}

// Python's slice: clamps the bounds to [0, size] and gives the items' indexes.
struct SliceBounds {
  Int start, stop, step;
  size_t Count() const {
    const Int span = step > 0 ? stop - start : start - stop, stride = step > 0 ? step : -step;
    return span <= 0 ? 0 : static_cast<size_t>((span + stride - 1) / stride);
  }
};

SliceBounds BoundsOf(size_t size, const Value* start, const Value* stop, const Value* step) {
  constexpr Int kFar = Int{1} << 64;
  auto read = [&](const Value* value, Int absent) {
    if (value == nullptr || value->is_none()) return absent;
    if (value->is_undefined()) ThrowUndefined(*value);
    const std::optional<Int> index = AsInt(*value);
    if (!index) throw Error("slice indices must be integers or None or have an __index__ method");
    return std::clamp(*index, -kFar, kFar);
  };
  const Int n = static_cast<Int>(size);
  SliceBounds bounds;
  bounds.step = read(step, 1);
  if (bounds.step == 0) throw Error("slice step cannot be zero");
  const bool forward = bounds.step > 0;
  auto clamp = [&](Int index) {
    return std::clamp(index < 0 ? index + n : index, forward ? Int{0} : Int{-1}, forward ? n : n - 1);
  };
  bounds.start = clamp(read(start, forward ? 0 : n - 1));
  const bool to_end = stop == nullptr || stop->is_none();
  bounds.stop = to_end ? (forward ? n : -1) : clamp(read(stop, 0));
  return bounds;
}

Value SliceText(Heap& heap, const Text& text, const SliceBounds& bounds) {
  const size_t count = bounds.Count();
  if (count == 0) return heap.MakeText("");
  const std::string_view bytes = text.bytes;
  const bool is_ascii = text.num_chars == bytes.size();
  if (!is_ascii || bounds.step != 1) heap.Scan(bytes.size());
  if (bounds.step == 1) {
    const size_t first = static_cast<size_t>(bounds.start);
    const size_t begin = is_ascii ? first : ByteOfChar(bytes, first);
    const size_t length = is_ascii ? count : ByteOfChar(bytes.substr(begin), count);
    return heap.MakeText(std::string(bytes.substr(begin, length)), text.is_markup);
  }
  heap.Hold(text.num_chars * sizeof(uint32_t));
  std::vector<uint32_t> places;  // byte of each character
  for (size_t at = 0; at < bytes.size(); NextChar(bytes, &at)) places.push_back(static_cast<uint32_t>(at));
  std::string out;
  for (size_t i = 0; i < count; ++i) {
    size_t at = places[static_cast<size_t>(bounds.start + static_cast<Int>(i) * bounds.step)];
    AppendUtf8(NextChar(bytes, &at), &out);
  }
  heap.Release(text.num_chars * sizeof(uint32_t));
  return heap.MakeText(std::move(out), text.is_markup);
}

Value SliceRange(const Range& range, const SliceBounds& bounds) {
  Range slice;
  slice.start = range.start + bounds.start * range.step;
  slice.step = range.step * bounds.step;
  slice.stop = range.start + bounds.stop * range.step;
  slice.size = bounds.Count();
  return RangeRef(std::make_shared<const Range>(slice));
}

Value SliceSequence(Heap& heap, const Sequence& sequence, const SliceBounds& bounds) {
  const size_t count = bounds.Count();
  heap.CheckItems(count);
  std::vector<Value> items;
  items.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    items.push_back(sequence.items[static_cast<size_t>(bounds.start + static_cast<Int>(i) * bounds.step)]);
  }
  return heap.MakeSequence(sequence.kind, std::move(items));
}

// The index that Python's v[i] means; nullopt outside.
std::optional<size_t> IndexIn(size_t size, Int index) {
  const Int n = static_cast<Int>(size);
  if (index < -n || index >= n) return std::nullopt;
  return static_cast<size_t>(index < 0 ? index + n : index);
}

SequenceRef CharsOf(Heap& heap, const Text& text) {
  heap.CheckItems(text.num_chars);
  std::vector<Value> chars;
  chars.reserve(text.num_chars);
  for (size_t at = 0; at < text.bytes.size();) {
    std::string one;
    AppendUtf8(NextChar(text.bytes, &at), &one);
    chars.push_back(heap.MakeText(std::move(one)));
  }
  return *heap.MakeList(std::move(chars)).If<SequenceRef>();
}

// The items of a generator that are still to come; they are taken by this.
SequenceRef TakeRest(Heap& heap, const SequenceRef& generator) {
  const size_t taken = std::exchange(generator->taken, generator->items.size());
  if (taken == 0) return generator;
  std::vector<Value> rest(generator->items.begin() + static_cast<std::ptrdiff_t>(taken), generator->items.end());
  return *heap.MakeList(std::move(rest)).If<SequenceRef>();
}

SequenceRef NumbersOf(Heap& heap, const Range& range) {
  heap.CheckItems(range.size);
  std::vector<Value> numbers;
  numbers.reserve(range.size);
  for (size_t i = 0; i < range.size; ++i) numbers.push_back(Value::Integer(range.At(i)));
  return *heap.MakeList(std::move(numbers)).If<SequenceRef>();
}

SequenceRef KeysOf(Heap& heap, const Dict& dict) {
  std::vector<Value> keys;
  keys.reserve(dict.members.size());
  for (const auto& [key, value] : dict.members) keys.push_back(key);
  return *heap.MakeList(std::move(keys)).If<SequenceRef>();
}

bool SameObject(const Value& a, const Value& b) {
  if (a.Is<CallableRef>() && b.Is<CallableRef>()) return *a.If<CallableRef>() == *b.If<CallableRef>();
  if (a.Is<LoopRef>() && b.Is<LoopRef>()) return *a.If<LoopRef>() == *b.If<LoopRef>();
  if (a.Is<Namespace*>() && b.Is<Namespace*>()) return *a.If<Namespace*>() == *b.If<Namespace*>();
  return false;
}

}  // namespace

void ThrowUndefined(const Value& value) {
  const Undefined* undefined = value.If<Undefined>();
  throw Error(undefined != nullptr && undefined->why != nullptr ? *undefined->why : "the value is undefined");
}

std::optional<Int> AsInt(const Value& value) {
  if (const bool* truth = value.If<bool>()) return *truth ? 1 : 0;
  if (const Int* integer = value.If<Int>()) return *integer;
  return std::nullopt;
}

std::optional<double> AsFloat(const Value& value) {
  if (const double* number = value.If<double>()) return *number;
  if (const std::optional<Int> integer = AsInt(value)) return static_cast<double>(*integer);
  return std::nullopt;
}

bool IsTrue(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (const bool* truth = value.If<bool>()) return *truth;
  if (const Int* integer = value.If<Int>()) return *integer != 0;
  if (const double* number = value.If<double>()) return *number != 0;
  return Length(value).value_or(1) != 0;
}

std::optional<size_t> Length(const Value& value) {
  if (const Text* text = value.text()) return text->num_chars;
  if (const Dict* dict = value.dict()) return dict->members.size();
  if (const RangeRef* range = value.If<RangeRef>()) return (*range)->size;
  if (const LoopRef* loop = value.If<LoopRef>()) return (*loop)->items->items.size();
  if (value.is_undefined()) return 0;
  const Sequence* sequence = value.sequence();
  if (sequence == nullptr || sequence->kind == SequenceKind::kGenerator) return std::nullopt;
  return sequence->items.size();
}

bool Equal(Heap& heap, const Value& a, const Value& b) {
  heap.Step();
  if (IsNumber(a) && IsNumber(b)) return CompareNumbers(a, b) == 0;
  if (a.text() != nullptr && b.text() != nullptr) {
    const std::string &p = a.text()->bytes, &q = b.text()->bytes;
    if (p.size() == q.size()) heap.Copy(p.size());
    return p == q;
  }
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.dict() != nullptr && b.dict() != nullptr) return EqualDicts(heap, *a.dict(), *b.dict());
  const Sequence *p = a.sequence(), *q = b.sequence();
  if (p != nullptr && q != nullptr)
    return p == q ||
           (p->kind == q->kind && p->kind != SequenceKind::kGenerator && EqualSequences(heap, p->items, q->items));
  if (a.Is<RangeRef>() && b.Is<RangeRef>()) {
    return EqualSequences(heap, NumbersOf(heap, **a.If<RangeRef>())->items, NumbersOf(heap, **b.If<RangeRef>())->items);
  }
  return SameObject(a, b);
}

bool Less(Heap& heap, const Value& a, const Value& b) { return Order(heap, "<", a, b) == -1; }

bool Contains(Heap& heap, const Value& container, const Value& item) {
  if (const Text* text = container.text()) {
    if (item.is_undefined()) ThrowUndefined(item);
    if (item.text() == nullptr) {
      throw Error(absl::StrCat("'in <string>' requires string as left operand, not ", TypeName(item)));
    }
    heap.Copy(text->bytes.size());
    return Find(text->bytes, item.text()->bytes) != std::string_view::npos;
  }
  if (const Dict* dict = container.dict()) {
    heap.Step();
    if (item.text() != nullptr) heap.Copy(item.text()->bytes.size());
    return dict->Find(item) != nullptr;
  }
  const bool is_iterable = container.sequence() != nullptr || container.Is<RangeRef>() || container.is_undefined();
  if (!is_iterable) throw Error(absl::StrCat("argument of type '", TypeName(container), "' is not iterable"));
  const SequenceRef visited = Items(heap, container);
  for (const Value& each : visited->items) {
    if (Equal(heap, each, item)) return true;
  }
  return false;
}

bool Compare(Heap& heap, Op op, const Value& a, const Value& b) {
  switch (op) {
    case Op::kEqual:
      return Equal(heap, a, b);
    case Op::kNotEqual:
      return !Equal(heap, a, b);
    case Op::kLess:
      return Order(heap, "<", a, b) == -1;
    case Op::kGreater:
      return Order(heap, ">", a, b) == 1;
    case Op::kLessEqual: {
      const int order = Order(heap, "<=", a, b);
      return order == -1 || order == 0;
    }
    case Op::kGreaterEqual: {
      const int order = Order(heap, ">=", a, b);
      return order == 1 || order == 0;
    }
    case Op::kIn:
      return Contains(heap, b, a);
    default:
      return !Contains(heap, b, a);
  }
}

Value Calculate(Heap& heap, Op op, const Value& a, const Value& b) {
  if (op == Op::kConcat) {
    return Concat(heap, a, b);
  }
  if (a.is_undefined()) ThrowUndefined(a);
  if (b.is_undefined()) ThrowUndefined(b);
  if (AsInt(a) && AsInt(b)) return CalculateInts(op, *AsInt(a), *AsInt(b));
  if (IsNumber(a) && IsNumber(b)) return CalculateFloats(op, *AsFloat(a), *AsFloat(b));
  return CalculateOthers(heap, op, a, b);
}

Value Negative(const Value& value) {
  if (value.is_undefined()) ThrowUndefined(value);
  if (const std::optional<Int> integer = AsInt(value)) return CalculateInts(Op::kSubtract, 0, *integer);
  if (const double* number = value.If<double>()) return Value::Float(-*number);
  throw Error(absl::StrCat("bad operand type for unary -: '", TypeName(value), "'"));
}

SequenceRef Items(Heap& heap, const Value& value) {
  if (const SequenceRef* sequence = value.If<SequenceRef>()) {
    return (*sequence)->kind == SequenceKind::kGenerator ? TakeRest(heap, *sequence) : *sequence;
  }
  if (const Dict* dict = value.dict()) return KeysOf(heap, *dict);
  if (const Text* text = value.text()) return CharsOf(heap, *text);
  if (const RangeRef* range = value.If<RangeRef>()) return NumbersOf(heap, **range);
  if (value.is_undefined()) return *heap.MakeList({}).If<SequenceRef>();
  throw Error(absl::StrCat("'", TypeName(value), "' object is not iterable"));
}

std::optional<Value> Item(Heap& heap, const Value& value, const Value& key) {
  if (value.is_undefined()) ThrowUndefined(value);
  if (const Dict* dict = value.dict()) {
    heap.Step();
    if (key.is_undefined() || key.dict() != nullptr ||
        (key.sequence() != nullptr && key.sequence()->kind == SequenceKind::kList))
      return std::nullopt;
    const Value* found = dict->Find(key);
    return found == nullptr ? std::nullopt : std::optional<Value>(*found);
  }
  const std::optional<Int> index = AsInt(key);
  const Sequence* sequence = value.sequence();
  const bool has_items = value.text() != nullptr || IsListOrTuple(sequence) || value.Is<RangeRef>();
  if (!index || !has_items) return std::nullopt;
  const std::optional<size_t> place = IndexIn(*Length(value), *index);
  if (!place) return std::nullopt;
  if (sequence != nullptr) return sequence->items[*place];
  if (const RangeRef* range = value.If<RangeRef>()) return Value::Integer((*range)->At(*place));
  return SliceText(heap, *value.text(), {static_cast<Int>(*place), static_cast<Int>(*place) + 1, 1});
}

Value Slice(Heap& heap, const Value& value, const Value* start, const Value* stop, const Value* step) {
  if (value.is_undefined()) ThrowUndefined(value);
  const Sequence* sequence = value.sequence();
  const bool has_items = value.text() != nullptr || IsListOrTuple(sequence) || value.Is<RangeRef>();
  if (!has_items) throw Error(absl::StrCat("'", TypeName(value), "' object is not subscriptable by a slice"));
  const SliceBounds bounds = BoundsOf(*Length(value), start, stop, step);
  if (sequence != nullptr) return SliceSequence(heap, *sequence, bounds);
  if (const RangeRef* range = value.If<RangeRef>()) return SliceRange(**range, bounds);
  return SliceText(heap, *value.text(), bounds);
}

}  // namespace braid::jinja
