#include "models/chat/jinja_value.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "models/chat/jinja_print.h"
#include "models/chat/jinja_scope.h"
#include "models/chat/jinja_text.h"

namespace braid::jinja {
namespace {

constexpr size_t kObjectBytes = 96;     // what an object takes beside its content: header, counts, allocator
constexpr size_t kIndexedMembers = 12;  // dicts of more members are looked up by hash

size_t BytesOf(const std::vector<Value>& items) { return kObjectBytes + items.size() * sizeof(Value); }

// Drops earlier members whose key comes again; the first place and the last value stay.
Dict::Members WithoutRepeats(Dict::Members members) {
  absl::flat_hash_map<std::string, size_t> seen;
  Dict::Members kept;
  kept.reserve(members.size());
  for (auto& [key, value] : members) {
    auto [place, is_new] = seen.try_emplace(KeyText(key), kept.size());
    if (is_new) {
      kept.emplace_back(std::move(key), std::move(value));
    } else {
      kept[place->second].second = std::move(value);
    }
  }
  return kept;
}

}  // namespace

Held::Held(Heap* heap, size_t bytes) : heap_(heap), bytes_(bytes) {
  if (heap_ != nullptr) heap_->Hold(bytes_);
}
Held::~Held() {
  if (heap_ != nullptr) heap_->Release(bytes_);
}

Text::Text(std::string content, bool markup, Heap* heap)
    : bytes(std::move(content)),
      num_chars(CountChars(bytes)),
      is_markup(markup),
      held(heap, kObjectBytes + bytes.size()) {}

Sequence::Sequence(SequenceKind k, std::vector<Value> content, int d, Heap* heap)
    : kind(k), items(std::move(content)), depth(d), held(heap, BytesOf(items)) {}

Dict::Dict(Members content, int d, Heap* heap)
    : members(std::move(content)), depth(d), held(heap, kObjectBytes + members.size() * 3 * sizeof(Value)) {
  if (members.size() <= kIndexedMembers) return;
  for (size_t i = 0; i < members.size(); ++i) index_.emplace(KeyText(members[i].first), i);
}

const Value* Dict::Find(const Value& key) const {
  if (const Text* text = key.text()) return Find(text->bytes);
  const std::string wanted = KeyText(key);
  if (!index_.empty()) {
    auto found = index_.find(wanted);
    return found == index_.end() ? nullptr : &members[found->second].second;
  }
  for (const auto& [name, value] : members) {
    if (name.text() == nullptr && KeyText(name) == wanted) return &value;
  }
  return nullptr;
}

const Value* Dict::Find(std::string_view key) const {
  if (!index_.empty()) {
    auto found = index_.find(absl::StrCat("s", std::string(key)));
    return found == index_.end() ? nullptr : &members[found->second].second;
  }
  for (const auto& [name, value] : members) {
    if (name.text() != nullptr && name.text()->bytes == key) return &value;
  }
  return nullptr;
}

void Heap::Step(int64_t steps) {
  steps_ += steps;
  if (steps_ > limits_.max_steps) {
    throw Error(absl::StrCat("the template takes more than ", limits_.max_steps, " steps"));
  }
}

void Heap::CheckText(size_t bytes) const {
  if (bytes > limits_.max_text_bytes) {
    throw Error(absl::StrCat("a string of ", bytes, " bytes; at most ", limits_.max_text_bytes, " are allowed"));
  }
}

void Heap::CheckItems(size_t items) const {
  const size_t most = limits_.max_text_bytes / sizeof(Value);
  if (items > most) throw Error(absl::StrCat("a list of ", items, " items; at most ", most, " are allowed"));
}

void Heap::Hold(size_t bytes) {
  if (bytes > limits_.max_live_bytes || live_bytes_ > limits_.max_live_bytes - bytes) {
    throw Error(absl::StrCat("the template's values take more than ", limits_.max_live_bytes, " bytes"));
  }
  live_bytes_ += bytes;
}

int Heap::CheckDepth(int depth) const {
  if (depth > limits_.max_value_depth) {
    throw Error(absl::StrCat("values nested deeper than ", limits_.max_value_depth));
  }
  return depth;
}

Value Heap::MakeText(std::string bytes, bool is_markup) {
  CheckText(bytes.size());
  Copy(bytes.size());
  return TextRef(std::make_shared<const Text>(std::move(bytes), is_markup, this));
}

Value Heap::MakeSequence(SequenceKind kind, std::vector<Value> items) {
  CheckItems(items.size());
  Scan(items.size() * 8);
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, DepthOf(item));
  return SequenceRef(std::make_shared<const Sequence>(kind, std::move(items), CheckDepth(depth + 1), this));
}

Value Heap::MakeDict(Dict::Members members) {
  CheckItems(members.size());
  Scan(members.size() * 16);
  int depth = 0;
  for (const auto& [key, value] : members) depth = std::max({depth, DepthOf(key), DepthOf(value)});
  return DictRef(std::make_shared<const Dict>(WithoutRepeats(std::move(members)), CheckDepth(depth + 1), this));
}

Value Heap::MakeUndefined(std::string why) { return Undefined{std::make_shared<const std::string>(std::move(why))}; }

Value Heap::MakeNamespace() {
  Hold(kObjectBytes);
  namespaces_.push_back(std::make_unique<Namespace>());
  return Value::Space(namespaces_.back().get());
}

Value Heap::MakeJson(const Json& json, int depth) {
  CheckDepth(depth);
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::Bool(json.get<bool>());
    case Json::value_t::number_integer:
      return Value::Integer(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      return Value::Integer(json.get<uint64_t>());
    case Json::value_t::number_float:
      return Value::Float(json.get<double>());
    case Json::value_t::string:
      return MakeText(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(MakeJson(item, depth + 1));
      return MakeList(std::move(items));
    }
    case Json::value_t::object: {
      Dict::Members members;
      members.reserve(json.size());
      for (const auto& [name, value] : json.items()) members.emplace_back(MakeText(name), MakeJson(value, depth + 1));
      return MakeDict(std::move(members));
    }
    default:
      return None{};
  }
}

Value ConstantText(std::string bytes) {
  return TextRef(std::make_shared<const Text>(std::move(bytes), /*markup=*/false, /*heap=*/nullptr));
}

int DepthOf(const Value& value) {
  if (const Sequence* sequence = value.sequence()) return sequence->depth;
  if (const Dict* dict = value.dict()) return dict->depth;
  if (const LoopRef* loop = value.If<LoopRef>()) return (*loop)->items->depth + 1;
  if (const CallableRef* callable = value.If<CallableRef>()) return DepthOf((*callable)->self) + 1;
  return 0;
}

std::string KeyText(const Value& key) {
  if (const Text* text = key.text()) return absl::StrCat("s", text->bytes);
  if (const bool* truth = key.If<bool>()) return *truth ? "i1" : "i0";
  if (const Int* integer = key.If<Int>()) return absl::StrCat("i", IntText(*integer));
  if (const double* number = key.If<double>()) {
    const bool is_whole = std::trunc(*number) == *number && std::fabs(*number) < 1e18;
    return is_whole ? absl::StrCat("i", IntText(static_cast<Int>(*number))) : absl::StrCat("f", FloatText(*number));
  }
  if (key.is_none()) return "n";
  const Sequence* tuple = key.sequence();
  if (tuple == nullptr || tuple->kind != SequenceKind::kTuple) {
    throw Error(absl::StrCat("unhashable type: '", TypeName(key), "'"));
  }
  std::string text = "t";
  for (const Value& item : tuple->items) {
    const std::string part = KeyText(item);
    if (text.size() + part.size() > 65'536) throw Error("a tuple too long to be a key");
    absl::StrAppend(&text, part.size(), ":", part);
  }
  return text;
}

std::string TypeName(const Value& value) {
  struct Namer {
    std::string operator()(const Undefined&) { return "Undefined"; }
    std::string operator()(const None&) { return "NoneType"; }
    std::string operator()(bool) { return "bool"; }
    std::string operator()(Int) { return "int"; }
    std::string operator()(double) { return "float"; }
    std::string operator()(const TextRef&) { return "str"; }
    std::string operator()(const DictRef&) { return "dict"; }
    std::string operator()(const RangeRef&) { return "range"; }
    std::string operator()(Namespace*) { return "Namespace"; }
    std::string operator()(const LoopRef&) { return "LoopContext"; }
    std::string operator()(const CallableRef& callable) { return callable->macro != nullptr ? "Macro" : "function"; }
    std::string operator()(const SequenceRef& sequence) {
      switch (sequence->kind) {
        case SequenceKind::kList:
          return "list";
        case SequenceKind::kTuple:
          return "tuple";
        case SequenceKind::kGenerator:
          return "generator";
        case SequenceKind::kDictKeys:
          return "dict_keys";
        case SequenceKind::kDictValues:
          return "dict_values";
        case SequenceKind::kDictItems:
          return "dict_items";
      }
      return "";
    }
  };
  return value.Visit(Namer{});
}

}  // namespace braid::jinja
