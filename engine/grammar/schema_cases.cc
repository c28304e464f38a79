#include "engine/grammar/schema_cases.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/grammar/string_formats.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr size_t kMaxCases = 512;
constexpr size_t kMaxAncestors = 64;
constexpr int kMaxChoices = 64;        // one inside or after another
constexpr size_t kMaxExclusive = 128;  // ways of a oneOf
constexpr int kMaxProofDepth = 6;
constexpr int kMaxValueDepth = 64;
constexpr int64_t kMaxWork = 200'000;

const Json kNever = false;

bool IsTrue(const Json& schema) { return schema == Json(true) || (schema.is_object() && schema.empty()); }

uint8_t TypeOf(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return kNullType;
    case Json::value_t::boolean:
      return kBooleanType;
    case Json::value_t::string:
      return kStringType;
    case Json::value_t::array:
      return kArrayType;
    case Json::value_t::object:
      return kObjectType;
    default:
      return kNumberType;
  }
}

std::string NumberKey(const Json& value) {
  if (!value.is_number_float()) return WriteJson(value);
  const double number = value.get<double>();
  const bool whole = std::abs(number) < 0x1p53 && number == std::floor(number);
  return whole ? absl::StrCat(static_cast<int64_t>(number)) : WriteJson(value);
}

bool WithinCounts(int64_t count, int64_t min, int64_t max) { return count >= min && (max < 0 || count <= max); }

}  // namespace

std::string ValueKey(const Json& value) {
  if (value.is_number()) return NumberKey(value);
  if (!value.is_structured()) return WriteJson(value);
  std::vector<std::string> parts;
  for (auto member = value.begin(); member != value.end(); ++member) {
    parts.push_back(value.is_object() ? absl::StrCat(WriteJson(member.key()), ":", ValueKey(*member)) : ValueKey(*member));
  }
  if (value.is_object()) std::sort(parts.begin(), parts.end());
  return absl::StrCat(value.is_object() ? "{" : "[", absl::StrJoin(parts, ","), value.is_object() ? "}" : "]");
}

// Lists can be long, and each of their values is asked for.
bool SchemaCases::ListHas(const Json& list, const Json& value) {
  auto [found, fresh] = lists_.try_emplace(&list);
  if (fresh) {
    for (const Json& item : list) found->second.insert(ValueKey(item));
  }
  return found->second.contains(ValueKey(value));
}

SchemaSet SchemaCases::Normal(SchemaSet set) {
  std::erase_if(set, [](const Json* schema) { return IsTrue(*schema); });
  if (std::any_of(set.begin(), set.end(), [](const Json* schema) { return *schema == Json(false); })) return {&kNever};
  std::sort(set.begin(), set.end());
  set.erase(std::unique(set.begin(), set.end()), set.end());
  return set;
}

bool SchemaCases::IsNever(const SchemaSet& set) { return set.size() == 1 && set[0] == &kNever; }

absl::StatusOr<std::vector<SchemaFacts>> SchemaCases::Of(const SchemaSet& set) {
  Draft draft;
  for (const Json* node : set) RETURN_IF_ERROR(Follow(node, {}, &draft));
  std::vector<SchemaFacts> cases;
  RETURN_IF_ERROR(Decide(std::move(draft), 0, &cases));
  return cases;
}

absl::Status SchemaCases::Follow(const Json* node, const std::vector<const Json*>& ancestors, Draft* draft) {
  if (node->is_boolean()) {
    draft->never |= !node->get<bool>();
    return absl::OkStatus();
  }
  if (std::find(ancestors.begin(), ancestors.end(), node) != ancestors.end()) {
    return document_.Error(node, "$ref", "leads back to itself before any value is read");
  }
  if (std::find(draft->seen.begin(), draft->seen.end(), node) != draft->seen.end()) return absl::OkStatus();
  if (++work_ > kMaxWork || ancestors.size() > kMaxAncestors) {
    return document_.Error(node, "schema", "too large: too many schemas for one value");
  }
  draft->seen.push_back(node);
  SchemaBranches branches;
  RETURN_IF_ERROR(ReadSchema(*node, &document_, &made_, &draft->facts, &branches));
  std::vector<const Json*> line = ancestors;
  line.push_back(node);
  for (const Json* next : branches.all) RETURN_IF_ERROR(Follow(next, line, draft));
  for (SchemaBranches::Choice& choice : branches.choices) draft->pending.push_back({std::move(choice), line});
  return absl::OkStatus();
}

absl::Status SchemaCases::Decide(Draft draft, int depth, std::vector<SchemaFacts>* cases) {
  if (draft.never || draft.facts.types == 0) return absl::OkStatus();
  if (draft.pending.empty()) {
    cases->push_back(std::move(draft.facts));
    return absl::OkStatus();
  }
  const Pending pending = std::move(draft.pending.back());
  draft.pending.pop_back();
  const SchemaBranches::Choice& choice = pending.choice;
  if (depth > kMaxChoices || cases->size() > kMaxCases) {
    return document_.Error(choice.node, choice.keyword, absl::StrCat("makes more than ", kMaxCases, " combinations"));
  }
  if (choice.exclusive && choice.ways.size() > 1) RETURN_IF_ERROR(CheckExclusive(draft, pending));
  for (const Json* way : choice.ways) {
    Draft taken = draft;
    RETURN_IF_ERROR(Follow(way, pending.ancestors, &taken));
    RETURN_IF_ERROR(Decide(std::move(taken), depth + 1, cases));
  }
  return absl::OkStatus();
}

absl::Status SchemaCases::CheckExclusive(const Draft& draft, const Pending& pending) {
  const size_t ways = pending.choice.ways.size();
  if (ways > kMaxExclusive) return document_.Error(pending.choice.node, "oneOf", "has too many ways");
  if (proof_depth_ > kMaxProofDepth) return document_.Error(pending.choice.node, "oneOf", "is nested too deep");
  ++proof_depth_;
  for (size_t a = 0; a < ways; ++a) {
    for (size_t b = a + 1; b < ways; ++b) {
      ASSIGN_OR_RETURN(const bool both, MayBothHold(draft, pending, a, b));
      if (!both) continue;
      return document_.Error(
          pending.choice.node, "oneOf",
          absl::StrCat("ways ", a, " and ", b,
                       " are not seen to exclude each other: give them "
                       "different types or a required member with a const of its own, or say anyOf"));
    }
  }
  --proof_depth_;
  return absl::OkStatus();
}

absl::StatusOr<bool> SchemaCases::MayBothHold(const Draft& draft, const Pending& pending, size_t a, size_t b) {
  Draft both = draft;
  both.pending.clear();
  for (const size_t way : {a, b}) RETURN_IF_ERROR(Follow(pending.choice.ways[way], pending.ancestors, &both));
  std::vector<SchemaFacts> cases;
  RETURN_IF_ERROR(Decide(std::move(both), 0, &cases));
  for (const SchemaFacts& facts : cases) {
    ASSIGN_OR_RETURN(const bool empty, CaseIsEmpty(facts, 0));
    if (!empty) return true;
  }
  return false;
}

absl::StatusOr<bool> SchemaCases::IsEmpty(const SchemaSet& set, int depth) {
  if (IsNever(set)) return true;
  if (set.empty() || depth > kMaxProofDepth) return false;
  ASSIGN_OR_RETURN(const std::vector<SchemaFacts> cases, Of(set));
  for (const SchemaFacts& facts : cases) {
    ASSIGN_OR_RETURN(const bool empty, CaseIsEmpty(facts, depth));
    if (!empty) return false;
  }
  return true;
}

absl::StatusOr<bool> SchemaCases::CaseIsEmpty(const SchemaFacts& facts, int depth) {
  if (facts.HasValues()) {
    std::vector<const Json*> candidates = facts.constants;
    if (candidates.empty()) {
      for (const Json& value : *facts.enums[0]) candidates.push_back(&value);
    }
    for (const Json* value : candidates) {
      ASSIGN_OR_RETURN(const bool accepted, CaseAccepts(facts, *value));
      if (accepted) return false;
    }
    return true;
  }
  if (facts.types & (kNullType | kBooleanType)) return false;
  if (facts.types & kNumberType && !facts.numbers.IsEmpty()) return false;
  if (facts.types & kStringType) {
    const bool no_length = facts.max_length >= 0 && facts.min_length > facts.max_length;
    if (!no_length && facts.patterns.size() < 2) return false;
    const auto strings =
        no_length ? absl::StatusOr<TextDfa>(TextDfa{.starts = {0}, .next = {-1}, .label = {0}}) : Strings(facts);
    if (!strings.ok() || !braid::IsEmpty(*strings)) return false;
  }
  if (facts.types & kArrayType) {
    ASSIGN_OR_RETURN(const bool empty, ArrayIsEmpty(facts, depth));
    if (!empty) return false;
  }
  if (!(facts.types & kObjectType)) return true;
  return ObjectIsEmpty(facts, depth);
}

absl::StatusOr<bool> SchemaCases::ArrayIsEmpty(const SchemaFacts& facts, int depth) {
  if (facts.max_items >= 0 && facts.min_items > facts.max_items) return true;
  for (int64_t i = 0; i < std::min<int64_t>(facts.min_items, 16); ++i) {
    ASSIGN_OR_RETURN(const bool empty, IsEmpty(ItemSet(facts, i), depth + 1));
    if (empty) return true;
  }
  return false;
}

absl::StatusOr<bool> SchemaCases::ObjectIsEmpty(const SchemaFacts& facts, int depth) {
  if (facts.max_properties >= 0 && static_cast<int64_t>(facts.required.size()) > facts.max_properties) return true;
  for (const std::string& name : facts.required) {
    ASSIGN_OR_RETURN(const SchemaSet set, MemberSet(facts, name));
    ASSIGN_OR_RETURN(const bool empty, IsEmpty(set, depth + 1));
    if (empty) return true;
  }
  return false;
}

absl::StatusOr<SchemaSet> SchemaCases::MemberSet(const SchemaFacts& facts, const std::string& name) {
  SchemaSet set;
  for (const ObjectLayer& layer : facts.objects) {
    const size_t before = set.size();
    if (layer.properties != nullptr && layer.properties->contains(name)) set.push_back(&(*layer.properties)[name]);
    if (layer.patterns != nullptr) {
      for (auto member = layer.patterns->begin(); member != layer.patterns->end(); ++member) {
        ASSIGN_OR_RETURN(const TextDfa* found, FoundBy({layer.patterns, "patternProperties", member.key()}));
        if (LabelOf(*found, name) != 0) set.push_back(&*member);
      }
    }
    if (set.size() == before && layer.others != nullptr) set.push_back(layer.others);
  }
  return Normal(std::move(set));
}

SchemaSet SchemaCases::ItemSet(const SchemaFacts& facts, size_t index) {
  SchemaSet set;
  for (const ArrayLayer& layer : facts.arrays) {
    if (layer.first != nullptr && index < layer.first->size()) {
      set.push_back(&(*layer.first)[index]);
    } else if (layer.others != nullptr) {
      set.push_back(layer.others);
    }
  }
  return Normal(std::move(set));
}

absl::StatusOr<bool> SchemaCases::Accepts(const SchemaSet& set, const Json& value, int depth) {
  if (IsNever(set) || depth > kMaxValueDepth) return false;
  ASSIGN_OR_RETURN(const std::vector<SchemaFacts> cases, Of(set));
  for (const SchemaFacts& facts : cases) {
    ASSIGN_OR_RETURN(const bool accepted, CaseAccepts(facts, value, depth));
    if (accepted) return true;
  }
  return false;
}

absl::StatusOr<bool> SchemaCases::CaseAccepts(const SchemaFacts& facts, const Json& value, int depth) {
  const uint8_t type = TypeOf(value);
  if (!(facts.types & type)) return false;
  for (const Json* constant : facts.constants) {
    if (ValueKey(*constant) != ValueKey(value)) return false;
  }
  for (const Json* list : facts.enums) {
    if (!ListHas(*list, value)) return false;
  }
  if (type == kNumberType) {
    const auto number = DecimalOf(value);
    if (!number) return facts.numbers.IsAll() && !facts.numbers.integer;
    return facts.numbers.Contains(*number);
  }
  if (type == kStringType) return StringAccepted(facts, value.get_ref<const std::string&>());
  if (type == kArrayType) return ArrayAccepted(facts, value, depth);
  if (type == kObjectType) return ObjectAccepted(facts, value, depth);
  return true;
}

absl::StatusOr<bool> SchemaCases::StringAccepted(const SchemaFacts& facts, const std::string& text) {
  const auto points = CodePointsOf(text);
  if (!points || !WithinCounts(points->size(), facts.min_length, facts.max_length)) return false;
  for (const StringPattern& pattern : facts.patterns) {
    ASSIGN_OR_RETURN(const TextDfa* found, FoundBy(pattern));
    if (LabelOf(*found, text) == 0) return false;
  }
  return true;
}

absl::StatusOr<bool> SchemaCases::ArrayAccepted(const SchemaFacts& facts, const Json& value, int depth) {
  if (!WithinCounts(value.size(), facts.min_items, facts.max_items)) return false;
  for (size_t i = 0; i < value.size(); ++i) {
    ASSIGN_OR_RETURN(const bool accepted, Accepts(ItemSet(facts, i), value[i], depth + 1));
    if (!accepted) return false;
  }
  return true;
}

absl::StatusOr<bool> SchemaCases::ObjectAccepted(const SchemaFacts& facts, const Json& value, int depth) {
  if (!WithinCounts(value.size(), facts.min_properties, facts.max_properties)) return false;
  for (const std::string& name : facts.required) {
    if (!value.contains(name)) return false;
  }
  const SchemaSet names = Normal(facts.names);
  for (auto member = value.begin(); member != value.end(); ++member) {
    ASSIGN_OR_RETURN(const SchemaSet set, MemberSet(facts, member.key()));
    ASSIGN_OR_RETURN(const bool accepted, Accepts(set, *member, depth + 1));
    ASSIGN_OR_RETURN(const bool named, Accepts(names, Json(member.key()), depth + 1));
    if (!accepted || !named) return false;
  }
  return true;
}

absl::StatusOr<const Regex*> SchemaCases::RegexOf(const StringPattern& pattern) {
  if (pattern.keyword == "format" && pattern.regex.empty()) {
    return document_.Error(pattern.node, "format",
                           absl::StrCat("\"", pattern.value, "\" is not supported: want one of ", FormatNames()));
  }
  const auto known = regexes_.find(pattern.regex);
  if (known != regexes_.end()) return &known->second;
  auto regex = ParseRegex(pattern.regex);
  if (!regex.ok()) return document_.Error(pattern.node, pattern.keyword, std::string(regex.status().message()));
  return &regexes_.emplace(pattern.regex, *std::move(regex)).first->second;
}

absl::StatusOr<const TextDfa*> SchemaCases::FoundBy(const StringPattern& pattern) {
  ASSIGN_OR_RETURN(const Regex* regex, RegexOf(pattern));
  const auto known = found_.find(pattern.regex);
  if (known != found_.end()) return &known->second;
  auto dfa = RegexDfa(*regex, RegexMatch::kAnywhere);
  if (!dfa.ok()) return document_.Error(pattern.node, pattern.keyword, std::string(dfa.status().message()));
  return &found_.emplace(pattern.regex, *std::move(dfa)).first->second;
}

absl::StatusOr<TextDfa> SchemaCases::Strings(const SchemaFacts& facts) {
  std::optional<TextDfa> strings;
  const auto also = [&](const TextDfa& next, const StringPattern& pattern) -> absl::Status {
    if (!strings) return strings = next, absl::OkStatus();
    auto both = braid::Both(*strings, next);
    if (both.ok()) return strings = *std::move(both), absl::OkStatus();
    return document_.Error(pattern.node, pattern.keyword, std::string(both.status().message()));
  };
  for (const StringPattern& pattern : facts.patterns) {
    ASSIGN_OR_RETURN(const TextDfa* found, FoundBy(pattern));
    RETURN_IF_ERROR(also(*found, pattern));
  }
  if (facts.min_length > 0 || facts.max_length >= 0) {
    const auto lengths = LengthDfa(facts.min_length, facts.max_length);
    if (!lengths.ok())
      return document_.Error(facts.node, "minLength, maxLength", std::string(lengths.status().message()));
    RETURN_IF_ERROR(also(*lengths, {facts.node, "minLength, maxLength"}));
  }
  if (!strings) return LengthDfa(0, -1);
  return *std::move(strings);
}

}  // namespace braid
