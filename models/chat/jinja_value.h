// Values of the template language: what Python calls None, bool, int, float, str, list, tuple, dict, and the few
// objects that templates touch. All but namespaces and loops are immutable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kernels/base/json.h"

namespace braid {

// What one rendering may use. Counted, not timed: the same template and context always end the same way.
struct JinjaLimits {
  int64_t max_steps = 1'000'000;      // nodes evaluated and items visited; copies count 512 bytes a step, scans 64
  size_t max_output_bytes = 4 << 20;  // of the whole text, and of any captured block
  size_t max_text_bytes = 16 << 20;   // of any one string; lists are held to as many bytes of items
  size_t max_live_bytes = 64 << 20;   // of all values alive at once
  int max_call_depth = 100;           // macros that call macros
  int max_value_depth = 100;          // lists in lists
  int max_nesting = 1'500;            // nodes under evaluation at once; bounds the machine's stack
};

namespace jinja {

// A template's or a caller's fault. Thrown inside this room only; ParseJinja and RenderJinja turn it into a Status.
class Error : public std::runtime_error {
 public:
  enum class Kind { kFault, kRaised };  // kRaised: raise_exception, whose words reach the client as they are
  explicit Error(const std::string& what, Kind kind = Kind::kFault) : std::runtime_error(what), kind(kind) {}
  Kind kind;
};

class Value;
class Heap;
struct Text;
struct Sequence;
struct Dict;
struct Range;
struct Namespace;
struct Loop;
struct Callable;

__extension__ typedef __int128 Int;  // wide enough for every integer that JSON can hold; overflow is an error

struct None {};
// `why` is what an operation on the undefined value says.
struct Undefined {
  std::shared_ptr<const std::string> why;
};
using TextRef = std::shared_ptr<const Text>;
using SequenceRef = std::shared_ptr<const Sequence>;
using DictRef = std::shared_ptr<const Dict>;
using RangeRef = std::shared_ptr<const Range>;
using LoopRef = std::shared_ptr<Loop>;
using CallableRef = std::shared_ptr<const Callable>;

class Value {
 public:
  using Data = std::variant<Undefined, None, bool, Int, double, TextRef, SequenceRef, DictRef, RangeRef, Namespace*,
                            LoopRef, CallableRef>;
  Value() : data_(Undefined{}) {}
  Value(None none) : data_(none) {}
  Value(Undefined undefined) : data_(std::move(undefined)) {}
  Value(TextRef ref) : data_(std::move(ref)) {}
  Value(SequenceRef ref) : data_(std::move(ref)) {}
  Value(DictRef ref) : data_(std::move(ref)) {}
  Value(RangeRef ref) : data_(std::move(ref)) {}
  Value(LoopRef ref) : data_(std::move(ref)) {}
  Value(CallableRef ref) : data_(std::move(ref)) {}
  static Value Bool(bool value) { return Value(Data(std::in_place_type<bool>, value)); }
  static Value Integer(Int value) { return Value(Data(std::in_place_type<Int>, value)); }
  static Value Float(double value) { return Value(Data(std::in_place_type<double>, value)); }
  static Value Space(Namespace* value) { return Value(Data(std::in_place_type<Namespace*>, value)); }

  // The value's data when it is a T, else null.
  template <class T>
  const T* If() const {
    return std::get_if<T>(&data_);
  }
  template <class T>
  bool Is() const {
    return std::holds_alternative<T>(data_);
  }
  template <class Visitor>
  auto Visit(Visitor&& visitor) const {
    return std::visit(std::forward<Visitor>(visitor), data_);
  }
  const Text* text() const { return Pointer<TextRef>(); }
  const Sequence* sequence() const { return Pointer<SequenceRef>(); }
  const Dict* dict() const { return Pointer<DictRef>(); }
  bool is_undefined() const { return Is<Undefined>(); }
  bool is_none() const { return Is<None>(); }

 private:
  explicit Value(Data data) : data_(std::move(data)) {}
  template <class Ref>
  auto Pointer() const -> decltype(std::declval<Ref>().get()) {
    const Ref* ref = If<Ref>();
    return ref == nullptr ? nullptr : ref->get();
  }
  Data data_;
};

// Gives the bytes that a value holds back to its heap when the value dies; null for constants of the template.
class Held {
 public:
  Held(Heap* heap, size_t bytes);
  ~Held();
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  Heap* heap_;
  size_t bytes_;
};

// Well-formed UTF-8.
struct Text {
  Text(std::string content, bool markup, Heap* heap);
  const std::string bytes;
  const size_t num_chars;  // code points
  const bool is_markup;    // came out of `safe` or `escape`: `+` escapes what joins it
  const Held held;
};

enum class SequenceKind { kList, kTuple, kGenerator, kDictKeys, kDictValues, kDictItems };

struct Sequence {
  Sequence(SequenceKind kind, std::vector<Value> items, int depth, Heap* heap);
  const SequenceKind kind;
  const std::vector<Value> items;
  const int depth;           // of lists in lists, this one included
  mutable size_t taken = 0;  // of a generator: items already handed out
  const Held held;
};

// Members in insertion order.
struct Dict {
  using Members = std::vector<std::pair<Value, Value>>;
  Dict(Members content, int depth, Heap* heap);
  const Value* Find(const Value& key) const;  // null when there is none; throws when `key` cannot be a key
  const Value* Find(std::string_view key) const;
  const Members members;  // no key twice
  const int depth;
  const Held held;

 private:
  absl::flat_hash_map<std::string, size_t> index_;  // by KeyText; only when there are many members
};

struct Range {
  Int start, stop, step;
  size_t size;
  Int At(size_t i) const { return start + static_cast<Int>(i) * step; }
};

// The one mutable object. Owned by the heap: it may be reached from itself.
struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
};

// `loop` inside a for body.
struct Loop {
  SequenceRef items;
  size_t index0 = 0;
};

// Creates the values of one rendering and counts what they cost. Thread: the rendering's.
class Heap {
 public:
  explicit Heap(const JinjaLimits& limits) : limits_(limits) {}
  Heap(const Heap&) = delete;

  const JinjaLimits& limits() const { return limits_; }

  // Counts work and throws when the limit is passed.
  void Step(int64_t steps = 1);
  void Copy(size_t bytes) { Step(static_cast<int64_t>(bytes / 512)); }  // moved by the block
  void Scan(size_t bytes) { Step(static_cast<int64_t>(bytes / 64)); }   // looked at one by one

  // Throws when a text of so many bytes, or a list of so many items, would be too large. Ask before building it.
  void CheckText(size_t bytes) const;
  void CheckItems(size_t items) const;

  void Hold(size_t bytes);
  void Release(size_t bytes) { live_bytes_ -= bytes; }

  Value MakeText(std::string bytes, bool is_markup = false);
  Value MakeSequence(SequenceKind kind, std::vector<Value> items);
  Value MakeList(std::vector<Value> items) { return MakeSequence(SequenceKind::kList, std::move(items)); }
  Value MakeTuple(std::vector<Value> items) { return MakeSequence(SequenceKind::kTuple, std::move(items)); }
  Value MakeDict(Dict::Members members);  // of equal keys the last value wins
  Value MakeUndefined(std::string why);
  Value MakeNamespace();
  Value MakeJson(const Json& json, int depth = 0);

 private:
  int CheckDepth(int depth) const;

  const JinjaLimits limits_;
  int64_t steps_ = 0;
  size_t live_bytes_ = 0;
  std::vector<std::unique_ptr<Namespace>> namespaces_;  // last member: their values die first
};

// A text that belongs to a template, not to a rendering.
Value ConstantText(std::string bytes);

// How deep lists nest in `value`; 0 for what holds nothing.
int DepthOf(const Value& value);

// A text that is the same for keys that Python holds equal (1, 1.0 and True). Throws when `key` cannot be hashed.
std::string KeyText(const Value& key);

// Python's name of the value's type ("str", "NoneType", ...).
std::string TypeName(const Value& value);

}  // namespace jinja
}  // namespace braid
