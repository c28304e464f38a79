#include "engine/grammar/schema_facts.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "absl/strings/ascii.h"
#include "engine/grammar/string_formats.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr int64_t kMaxCount = 1 << 30;

uint8_t TypeBit(const std::string& name) {
  static const std::map<std::string, uint8_t> bits = {
      {"null", kNullType},     {"boolean", kBooleanType}, {"integer", kNumberType}, {"number", kNumberType},
      {"string", kStringType}, {"array", kArrayType},     {"object", kObjectType}};
  const auto at = bits.find(name);
  return at == bits.end() ? 0 : at->second;
}

bool IsSchema(const Json& value) { return value.is_object() || value.is_boolean(); }
bool IsTrue(const Json& schema) { return schema == Json(true) || (schema.is_object() && schema.empty()); }
bool IsFalse(const Json& schema) { return schema == Json(false); }

// Reads one schema object, keyword by keyword.
class Reader {
 public:
  Reader(const Json& node, SchemaDocument* document, std::deque<Json>* made, SchemaFacts* facts,
         SchemaBranches* branches)
      : node_(node), document_(*document), made_(*made), facts_(*facts), branches_(*branches) {}

  absl::Status Read() {
    if (facts_.node == nullptr) facts_.node = &node_;
    for (auto member = node_.begin(); member != node_.end(); ++member) {
      keyword_ = member.key();
      RETURN_IF_ERROR(Keyword(*member));
    }
    RETURN_IF_ERROR(ReadItems());
    RETURN_IF_ERROR(ReadProperties());
    return ReadContains();
  }

 private:
  using Handler = absl::Status (Reader::*)(const Json&);

  static const std::map<std::string, Handler>& Handlers() {
    static const std::map<std::string, Handler> handlers = {
        {"type", &Reader::Type},
        {"enum", &Reader::Enum},
        {"const", &Reader::Const},
        {"minimum", &Reader::Minimum},
        {"maximum", &Reader::Maximum},
        {"exclusiveMinimum", &Reader::ExclusiveMinimum},
        {"exclusiveMaximum", &Reader::ExclusiveMaximum},
        {"multipleOf", &Reader::Multiple},
        {"minLength", &Reader::MinLength},
        {"maxLength", &Reader::MaxLength},
        {"pattern", &Reader::Pattern},
        {"format", &Reader::Format},
        {"minItems", &Reader::MinItems},
        {"maxItems", &Reader::MaxItems},
        {"uniqueItems", &Reader::UniqueItems},
        {"required", &Reader::Required},
        {"minProperties", &Reader::MinProperties},
        {"maxProperties", &Reader::MaxProperties},
        {"propertyNames", &Reader::PropertyNames},
        {"$ref", &Reader::Ref},
        {"allOf", &Reader::AllOf},
        {"anyOf", &Reader::AnyOf},
        {"oneOf", &Reader::AnyOf},
        {"not", &Reader::Not},
        {"if", &Reader::If},
        {"dependentRequired", &Reader::Dependencies},
        {"dependentSchemas", &Reader::Dependencies},
        {"dependencies", &Reader::Dependencies},
        // Read with their neighbours.
        {"prefixItems", &Reader::Later},
        {"items", &Reader::Later},
        {"additionalItems", &Reader::Later},
        {"unevaluatedItems", &Reader::Later},
        {"properties", &Reader::Later},
        {"patternProperties", &Reader::Later},
        {"additionalProperties", &Reader::Later},
        {"unevaluatedProperties", &Reader::Later},
        {"contains", &Reader::Later},
        {"minContains", &Reader::Later},
        {"maxContains", &Reader::Later},
        {"then", &Reader::Later},
        {"else", &Reader::Later},
        // Of no use in a text that is written from left to right by a fixed grammar, or of old drafts.
        {"$dynamicRef", &Reader::Refused},
        {"$recursiveRef", &Reader::Refused},
        {"extends", &Reader::Refused},
        {"disallow", &Reader::Refused},
        {"divisibleBy", &Reader::Refused},
    };
    return handlers;
  }

  absl::Status Keyword(const Json& value) {
    const auto handler = Handlers().find(keyword_);
    if (handler != Handlers().end()) return (this->*handler->second)(value);
    for (const auto& [name, function] : Handlers()) {  // a slip of the pen is no annotation
      if (absl::AsciiStrToLower(name) == absl::AsciiStrToLower(keyword_)) return Error("unknown keyword: want " + name);
    }
    return absl::OkStatus();
  }

  absl::Status Error(const std::string& what) const { return document_.Error(&node_, keyword_, what); }
  absl::Status Later(const Json&) { return absl::OkStatus(); }
  absl::Status Refused(const Json&) { return Error("not supported"); }

  const Json* Find(const char* name) {
    const auto at = node_.find(name);
    if (at == node_.end()) return nullptr;
    keyword_ = name;
    return &*at;
  }

  // A schema that stands for another keyword.
  const Json* Make(Json schema) {
    made_.push_back(std::move(schema));
    document_.NoteMade(&made_.back(), &node_);
    return &made_.back();
  }

  absl::Status Type(const Json& value) {
    uint8_t types = 0;
    bool integer = false, number = false;
    const auto one = [&](const Json& name) {
      const uint8_t bit = name.is_string() ? TypeBit(name.get_ref<const std::string&>()) : 0;
      types |= bit;
      integer |= name == "integer";
      number |= name == "number";
      return bit != 0;
    };
    bool known = value.is_array() ? !value.empty() : one(value);
    if (value.is_array()) known = std::all_of(value.begin(), value.end(), one) && known;
    if (!known)
      return Error("want null, boolean, integer, number, string, array, object or a list of them, not " + Shown(value));
    facts_.types &= types;
    facts_.numbers.integer |= integer && !number;
    return absl::OkStatus();
  }

  absl::Status Enum(const Json& value) {
    if (!value.is_array()) return Error("want a list, not " + Shown(value));
    facts_.enums.push_back(&value);
    return absl::OkStatus();
  }

  absl::Status Const(const Json& value) {
    facts_.constants.push_back(&value);
    return absl::OkStatus();
  }

  absl::StatusOr<Decimal> Number(const Json& value) {
    const auto number = DecimalOf(value);
    if (!number) return Error("want a number of at most 400 digits, not " + Shown(value));
    return *number;
  }

  // Draft 4: exclusiveMinimum true makes minimum exclusive.
  bool IsExclusive(const char* flag) const {
    const auto at = node_.find(flag);
    return at != node_.end() && *at == Json(true);
  }

  absl::Status Minimum(const Json& value) {
    ASSIGN_OR_RETURN(const Decimal bound, Number(value));
    facts_.numbers.RaiseMin({bound, IsExclusive("exclusiveMinimum")});
    return absl::OkStatus();
  }
  absl::Status Maximum(const Json& value) {
    ASSIGN_OR_RETURN(const Decimal bound, Number(value));
    facts_.numbers.LowerMax({bound, IsExclusive("exclusiveMaximum")});
    return absl::OkStatus();
  }
  absl::Status ExclusiveMinimum(const Json& value) {
    if (value.is_boolean()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const Decimal bound, Number(value));
    facts_.numbers.RaiseMin({bound, true});
    return absl::OkStatus();
  }
  absl::Status ExclusiveMaximum(const Json& value) {
    if (value.is_boolean()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const Decimal bound, Number(value));
    facts_.numbers.LowerMax({bound, true});
    return absl::OkStatus();
  }

  absl::Status Multiple(const Json& value) {
    ASSIGN_OR_RETURN(const Decimal divisor, Number(value));
    if (divisor.negative || divisor.IsZero()) return Error("want a number above 0, not " + Shown(value));
    const absl::Status added = facts_.numbers.AlsoMultipleOf(divisor);
    return added.ok() ? added : Error(std::string(added.message()));
  }

  absl::StatusOr<int64_t> Count(const Json& value) {
    const auto number = DecimalOf(value);
    if (!number || number->negative || !number->IsInteger())
      return Error("want a whole number from 0, not " + Shown(value));
    return number->whole.size() > 10 ? kMaxCount : std::min<int64_t>(std::stoll(number->whole), kMaxCount);
  }

  absl::Status RaiseCount(const Json& value, int64_t* min) {
    ASSIGN_OR_RETURN(const int64_t count, Count(value));
    if (count == kMaxCount) return Error(absl::StrCat("want less than ", kMaxCount));
    *min = std::max(*min, count);
    return absl::OkStatus();
  }
  absl::Status LowerCount(const Json& value, int64_t* max) {
    ASSIGN_OR_RETURN(const int64_t count, Count(value));
    if (*max < 0 || count < *max) *max = count;
    return absl::OkStatus();
  }
  absl::Status MinLength(const Json& value) { return RaiseCount(value, &facts_.min_length); }
  absl::Status MaxLength(const Json& value) { return LowerCount(value, &facts_.max_length); }
  absl::Status MinItems(const Json& value) { return RaiseCount(value, &facts_.min_items); }
  absl::Status MaxItems(const Json& value) { return LowerCount(value, &facts_.max_items); }
  absl::Status MinProperties(const Json& value) { return RaiseCount(value, &facts_.min_properties); }
  absl::Status MaxProperties(const Json& value) { return LowerCount(value, &facts_.max_properties); }

  absl::Status Pattern(const Json& value) {
    if (!value.is_string()) return Error("want a regular expression, not " + Shown(value));
    facts_.patterns.push_back({&node_, keyword_, value.get<std::string>()});
    return absl::OkStatus();
  }

  absl::Status Format(const Json& value) {
    if (!value.is_string()) return Error("want a name, not " + Shown(value));
    const std::string& name = value.get_ref<const std::string&>();
    if (name == "password" || name == "binary" || name == "float" || name == "double") return absl::OkStatus();
    if (name == "int32" || name == "int64") {  // OpenAPI's
      const bool small = name == "int32";
      facts_.numbers.RaiseMin({*ParseDecimal(small ? "-2147483648" : "-9223372036854775808")});
      facts_.numbers.LowerMax({*ParseDecimal(small ? "2147483647" : "9223372036854775807")});
      return absl::OkStatus();
    }
    facts_.patterns.push_back({&node_, keyword_, FormatPattern(name), name});
    return absl::OkStatus();
  }

  absl::Status UniqueItems(const Json& value) {
    if (!value.is_boolean()) return Error("want true or false, not " + Shown(value));
    const auto max = node_.find("maxItems");
    const bool alone = max != node_.end() && max->is_number() && *max <= Json(1);
    return value == Json(true) && !alone ? Error("true is not supported (but with maxItems 1)") : absl::OkStatus();
  }

  absl::Status Required(const Json& value) {
    const auto is_name = [](const Json& name) { return name.is_string(); };
    if (!value.is_array() || !std::all_of(value.begin(), value.end(), is_name)) {
      return Error("want a list of names, not " + Shown(value));
    }
    std::set<std::string> known(facts_.required.begin(), facts_.required.end());
    for (const Json& name : value) {
      if (known.insert(name.get<std::string>()).second) facts_.required.push_back(name.get<std::string>());
    }
    return absl::OkStatus();
  }

  absl::Status Schema(const Json& value) {
    return IsSchema(value) ? absl::OkStatus() : Error("want a schema (an object, true or false), not " + Shown(value));
  }

  absl::Status PropertyNames(const Json& value) {
    RETURN_IF_ERROR(Schema(value));
    facts_.names.push_back(&value);
    return absl::OkStatus();
  }

  absl::Status Ref(const Json& value) {
    if (!value.is_string()) return Error("want a reference, not " + Shown(value));
    const auto target = document_.Resolve(node_, value.get_ref<const std::string&>());
    if (!target.ok()) return Error(absl::StrCat(Shown(value), " ", std::string(target.status().message())));
    RETURN_IF_ERROR(Schema(**target));
    branches_.all.push_back(*target);
    return absl::OkStatus();
  }

  absl::Status Schemas(const Json& value) {
    if (!value.is_array() || value.empty() || !std::all_of(value.begin(), value.end(), IsSchema)) {
      return Error("want a list of schemas, not " + Shown(value));
    }
    return absl::OkStatus();
  }

  absl::Status AllOf(const Json& value) {
    RETURN_IF_ERROR(Schemas(value));
    for (const Json& schema : value) branches_.all.push_back(&schema);
    return absl::OkStatus();
  }

  absl::Status AnyOf(const Json& value) {
    RETURN_IF_ERROR(Schemas(value));
    AddChoice({}, keyword_ == "oneOf");
    for (const Json& schema : value) branches_.choices.back().ways.push_back(&schema);
    return absl::OkStatus();
  }

  void AddChoice(std::vector<const Json*> ways, bool exclusive) {
    branches_.choices.push_back({&node_, keyword_, std::move(ways), exclusive});
  }

  // Of all that can be denied: everything, nothing, types, and members that an object has.
  absl::Status Not(const Json& value) {
    RETURN_IF_ERROR(Schema(value));
    if (IsTrue(value)) return branches_.all.push_back(Make(false)), absl::OkStatus();
    if (IsFalse(value)) return absl::OkStatus();
    const bool alone = value.is_object() && value.size() == 1;
    if (alone && value.contains("type")) return NotType(value["type"]);
    if (alone && value.contains("required") && value["required"].is_array()) return NotRequired(value["required"]);
    return Error("supported only of true, false, a lone type other than integer, or a lone required");
  }

  absl::Status NotType(const Json& value) {
    SchemaFacts denied;
    SchemaBranches none;
    const Json schema = {{"type", value}};
    Reader reader(schema, &document_, &made_, &denied, &none);
    reader.keyword_ = keyword_;
    RETURN_IF_ERROR(reader.Type(value));
    if (denied.numbers.integer) return Error("of the type integer is not supported");
    facts_.types &= static_cast<uint8_t>(~denied.types);
    return absl::OkStatus();
  }

  absl::Status NotRequired(const Json& names) {
    if (names.empty()) return branches_.all.push_back(Make(false)), absl::OkStatus();
    AddChoice({}, false);
    for (const Json& name : names) {
      if (!name.is_string()) return Error("required: want a list of names");
      branches_.choices.back().ways.push_back(Make(Without(name.get<std::string>(), "object")));
    }
    return absl::OkStatus();
  }

  static Json Without(const std::string& name, const char* type) {
    Json schema = {{"properties", {{name, false}}}};
    if (type != nullptr) schema["type"] = type;
    return schema;
  }

  absl::Status If(const Json& value) {
    RETURN_IF_ERROR(Schema(value));
    if (!node_.contains("then") && !node_.contains("else")) return absl::OkStatus();
    if (!IsTrue(value) && !IsFalse(value)) return Error("not supported: say anyOf with a const in each way");
    const auto way = node_.find(IsTrue(value) ? "then" : "else");
    if (way == node_.end()) return absl::OkStatus();
    RETURN_IF_ERROR(Schema(*way));
    branches_.all.push_back(&*way);
    return absl::OkStatus();
  }

  // "a": [names] or a schema: either there is no a, or the rest holds.
  absl::Status Dependencies(const Json& value) {
    if (!value.is_object()) return Error("want an object, not " + Shown(value));
    for (auto member = value.begin(); member != value.end(); ++member) {
      const bool names = member->is_array();
      if (!names && !IsSchema(*member)) return Error("want lists of names or schemas");
      if (names ? member->empty() : IsTrue(*member)) continue;
      const Json* then = names ? Make(Json{{"required", *member}}) : &*member;
      AddChoice({Make(Without(member.key(), nullptr)), then}, false);
    }
    return absl::OkStatus();
  }

  bool LooksElsewhere() const {
    for (const char* keyword :
         {"$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas", "dependencies", "contains"}) {
      if (node_.contains(keyword)) return true;
    }
    return false;
  }

  // Without other schemas for the same value, what is unevaluated is what is additional.
  absl::Status Unevaluated(const char* keyword, const Json** others) {
    const Json* value = Find(keyword);
    if (value == nullptr) return absl::OkStatus();
    RETURN_IF_ERROR(Schema(*value));
    if (IsTrue(*value)) return absl::OkStatus();
    if (LooksElsewhere()) return Error("not supported beside $ref, allOf, anyOf, oneOf, if or contains");
    if (*others == nullptr) *others = value;
    return absl::OkStatus();
  }

  absl::Status ReadItems() {
    ArrayLayer layer;
    const Json* items = Find("items");
    if (const Json* first = Find("prefixItems")) {
      RETURN_IF_ERROR(Schemas(*first));
      layer.first = first;
    }
    if (items != nullptr && items->is_array() && layer.first == nullptr) {  // drafts before 2020
      keyword_ = "items";
      if (!items->empty()) RETURN_IF_ERROR(Schemas(*items));
      layer.first = items;
      items = Find("additionalItems");
    }
    if (items != nullptr) RETURN_IF_ERROR(Schema(*items));
    layer.others = items;
    RETURN_IF_ERROR(Unevaluated("unevaluatedItems", &layer.others));
    if (layer.first != nullptr || layer.others != nullptr) facts_.arrays.push_back(layer);
    return absl::OkStatus();
  }

  absl::Status SchemaMap(const Json& value) {
    if (!value.is_object() || !std::all_of(value.begin(), value.end(), IsSchema)) {
      return Error("want an object of schemas, not " + Shown(value));
    }
    return absl::OkStatus();
  }

  absl::Status ReadProperties() {
    ObjectLayer layer;
    if ((layer.properties = Find("properties")) != nullptr) RETURN_IF_ERROR(SchemaMap(*layer.properties));
    if ((layer.patterns = Find("patternProperties")) != nullptr) RETURN_IF_ERROR(SchemaMap(*layer.patterns));
    if ((layer.others = Find("additionalProperties")) != nullptr) RETURN_IF_ERROR(Schema(*layer.others));
    RETURN_IF_ERROR(Unevaluated("unevaluatedProperties", &layer.others));
    if (layer.properties != nullptr || layer.patterns != nullptr || layer.others != nullptr) {
      facts_.objects.push_back(layer);
    }
    return absl::OkStatus();
  }

  absl::Status ReadContains() {
    const Json* value = Find("contains");
    if (value == nullptr) return absl::OkStatus();  // the standard: min- and maxContains then say nothing
    RETURN_IF_ERROR(Schema(*value));
    const bool counted = node_.contains("minContains") || node_.contains("maxContains");
    if (!IsTrue(*value) || counted) return Error("supported only of true, without minContains and maxContains");
    facts_.min_items = std::max<int64_t>(facts_.min_items, 1);
    return absl::OkStatus();
  }

  const Json& node_;
  SchemaDocument& document_;
  std::deque<Json>& made_;
  SchemaFacts& facts_;
  SchemaBranches& branches_;
  std::string keyword_;  // being read
};

}  // namespace

absl::Status ReadSchema(const Json& node, SchemaDocument* document, std::deque<Json>* made, SchemaFacts* facts,
                        SchemaBranches* branches) {
  return Reader(node, document, made, facts, branches).Read();
}

}  // namespace braid
