// JSON schema (drafts 4 to 2020-12) to grammar. A rule for each set of schemas that a value has to meet at once; the
// sets are worked off one after another, so that neither depth nor recursion of a schema is any of the stack.
#include <deque>
#include <map>
#include <set>
#include <string>
#include <unordered_set>

#include "engine/grammar/grammar_sources.h"
#include "engine/grammar/json_text.h"
#include "engine/grammar/schema_cases.h"
#include "engine/grammar/schema_objects.h"
#include "engine/grammar/schema_scalars.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr size_t kMaxNodes = 1 << 20;
constexpr size_t kMaxFirstItems = 200;
constexpr int kMaxPatterns = 60;        // of one object
constexpr size_t kMaxInlineValues = 8;  // of an enum

class SchemaCompiler {
 public:
  SchemaCompiler(SchemaDocument* document, const JsonGrammarOptions& options, GrammarBuilder* builder)
      : document_(*document),
        builder_(*builder),
        text_(builder, options),
        cases_(document),
        scalars_(&cases_, &text_) {}

  absl::StatusOr<int32_t> Compile() {
    ASSIGN_OR_RETURN(const int32_t root, Value(SchemaCases::Normal({&document_.root()})));
    while (!work_.empty()) {
      const Work work = std::move(work_.front());
      work_.pop_front();
      ASSIGN_OR_RETURN(const int32_t node, Cases(work.cases));
      builder_.Define(work.rule, node);
      if (builder_.num_nodes() > kMaxNodes) {
        return absl::InvalidArgumentError(
            absl::StrCat("JSON schema: too large: a grammar of more than ", kMaxNodes, " nodes"));
      }
    }
    return root;
  }

 private:
  struct Work {
    int32_t rule;
    std::vector<SchemaFacts> cases;
  };

  // A value that meets all of `set`.
  absl::StatusOr<int32_t> Value(const SchemaSet& set) {
    if (set.empty()) return text_.Any();
    if (SchemaCases::IsNever(set)) return builder_.Nothing();
    if (const auto known = values_.find(set); known != values_.end()) return known->second;
    ASSIGN_OR_RETURN(std::vector<SchemaFacts> cases, cases_.Of(set));
    if (AreScalars(cases)) {
      ASSIGN_OR_RETURN(const int32_t node, Cases(cases));
      return values_[set] = node;
    }
    const int32_t rule = builder_.NewRule();
    work_.push_back({rule, std::move(cases)});
    return values_[set] = builder_.Rule(rule);
  }

  static bool AreScalars(const std::vector<SchemaFacts>& cases) {
    for (const SchemaFacts& facts : cases) {
      if (facts.types & (kArrayType | kObjectType) && !facts.HasValues()) return false;
    }
    return true;
  }

  absl::StatusOr<int32_t> Cases(const std::vector<SchemaFacts>& cases) {
    std::vector<int32_t> ways;
    for (const SchemaFacts& facts : cases) {
      ASSIGN_OR_RETURN(const int32_t way, facts.HasValues() ? GivenValues(facts) : Types(facts));
      ways.push_back(way);
    }
    return builder_.Choice(std::move(ways));
  }

  absl::StatusOr<int32_t> Types(const SchemaFacts& facts) {
    std::vector<int32_t> ways;
    if (facts.types & kNullType) ways.push_back(text_.Null());
    if (facts.types & kBooleanType) ways.push_back(text_.Boolean());
    if (facts.types & kNumberType) {
      const auto way = scalars_.Number(facts.numbers);
      if (!way.ok()) return document_.Error(facts.node, "number", std::string(way.status().message()));
      ways.push_back(*way);
    }
    if (facts.types & kStringType) {
      ASSIGN_OR_RETURN(const int32_t way, scalars_.String(facts));
      ways.push_back(way);
    }
    if (facts.types & kArrayType) {
      ASSIGN_OR_RETURN(const int32_t way, Array(facts));
      ways.push_back(way);
    }
    if (facts.types & kObjectType) {
      ASSIGN_OR_RETURN(const int32_t way, Object(facts));
      ways.push_back(way);
    }
    return builder_.Choice(std::move(ways));
  }

  // Of enum and const, the values that the other keywords let through.
  absl::StatusOr<int32_t> GivenValues(const SchemaFacts& facts) {
    std::vector<const Json*> candidates = facts.constants;
    if (candidates.empty()) {
      for (const Json& value : *facts.enums[0]) candidates.push_back(&value);
    }
    std::vector<std::string> strings;
    std::vector<int32_t> ways;
    for (const Json* value : candidates) {
      ASSIGN_OR_RETURN(const bool accepted, cases_.CaseAccepts(facts, *value));
      if (accepted && value->is_string()) strings.push_back(JsonText::Quoted(value->get_ref<const std::string&>()));
      if (accepted && !value->is_string()) ways.push_back(text_.Value(*value));
    }
    const bool many = strings.size() + ways.size() > kMaxInlineValues;
    if (!strings.empty()) ways.push_back(text_.OneOf(std::move(strings)));
    const int32_t node = builder_.Choice(std::move(ways));
    if (!many) return node;
    const int32_t rule = builder_.NewRule();
    builder_.Define(rule, node);
    return builder_.Rule(rule);
  }

  static size_t NumFirstItems(const SchemaFacts& facts) {
    size_t count = 0;
    for (const ArrayLayer& layer : facts.arrays)
      count = std::max(count, layer.first == nullptr ? 0 : layer.first->size());
    return count;
  }

  absl::StatusOr<int32_t> Array(const SchemaFacts& facts) {
    const int64_t min = facts.min_items, max = facts.max_items;
    if (facts.arrays.empty() && min == 0 && max < 0) return text_.AnyArray();
    if (max >= 0 && min > max) return builder_.Nothing();
    const size_t num_first = NumFirstItems(facts);
    if (num_first > kMaxFirstItems) {
      return document_.Error(facts.node, "prefixItems", absl::StrCat("more than ", kMaxFirstItems, " items"));
    }
    ASSIGN_OR_RETURN(const int32_t other, Value(SchemaCases::ItemSet(facts, num_first)));
    const auto from = [](int64_t count, int64_t done) { return std::max<int64_t>(count - done, 0); };
    const int64_t first_of_others = std::max<int64_t>(num_first, 1);
    // All behind item i, from the last item of its own to the first.
    int32_t behind = max >= 0 && max < first_of_others
                         ? builder_.Empty()
                         : builder_.Repeat(builder_.Sequence({text_.Comma(), other}),
                                           static_cast<int32_t>(from(min, first_of_others)),
                                           static_cast<int32_t>(max < 0 ? -1 : max - first_of_others));
    for (int64_t i = first_of_others - 1; i > 0; --i) {
      ASSIGN_OR_RETURN(const int32_t item, Value(SchemaCases::ItemSet(facts, i)));
      const int32_t with = max >= 0 && i >= max ? builder_.Nothing() : builder_.Sequence({text_.Comma(), item, behind});
      behind = i < min ? with : builder_.Choice({with, builder_.Empty()});
    }
    ASSIGN_OR_RETURN(const int32_t first, Value(SchemaCases::ItemSet(facts, 0)));
    const int32_t body = max == 0 ? builder_.Nothing() : builder_.Sequence({first, behind});
    return text_.Bracketed(JsonText::Brackets::kArray, body,
                           min == 0 ? JsonText::Emptiness::kMayBeEmpty : JsonText::Emptiness::kNever);
  }

  absl::StatusOr<int32_t> Object(const SchemaFacts& facts) {
    const SchemaSet names = SchemaCases::Normal(facts.names);
    const bool counted = facts.min_properties > 0 || facts.max_properties >= 0;
    if (facts.objects.empty() && facts.required.empty() && names.empty() && !counted) return text_.AnyObject();
    ObjectMembers members{.other = builder_.Nothing(), .min = facts.min_properties, .max = facts.max_properties};
    ASSIGN_OR_RETURN(const NameRule rule, ReadNames(names));
    std::vector<std::string> declared = Declared(facts);
    AddUnknown(rule.names, &declared);
    const std::set<std::string> required(facts.required.begin(), facts.required.end());
    for (const std::string& name : declared) {
      ASSIGN_OR_RETURN(const int32_t member, NamedMember(facts, names, name));
      const bool is_required = required.contains(name);
      if (builder_.IsNothing(member) && !is_required) continue;
      members.declared.push_back({member, is_required});
    }
    if (rule.open) {
      ASSIGN_OR_RETURN(members.other, OtherMember(facts, rule.strings, declared));
    }
    const auto object = AddObject(std::move(members), &text_);
    if (!object.ok()) return document_.Error(facts.node, "object", std::string(object.status().message()));
    return object;
  }

  // The names of members in the order in which they come.
  static std::vector<std::string> Declared(const SchemaFacts& facts) {
    std::vector<std::string> names;
    for (const ObjectLayer& layer : facts.objects) {
      if (layer.properties == nullptr) continue;
      std::vector<std::string> of_layer;
      for (auto member = layer.properties->begin(); member != layer.properties->end(); ++member)
        of_layer.push_back(member.key());
      AddUnknown(of_layer, &names);
    }
    AddUnknown(facts.required, &names);
    return names;
  }

  static void AddUnknown(const std::vector<std::string>& more, std::vector<std::string>* names) {
    std::unordered_set<std::string> known(names->begin(), names->end());
    for (const std::string& name : more) {
      if (known.insert(name).second) names->push_back(name);
    }
  }

  // What propertyNames lets through: given names, or (open) those of a language.
  struct NameRule {
    bool open = true;
    std::optional<TextDfa> strings;  // none: any
    std::vector<std::string> names;
  };

  absl::StatusOr<NameRule> ReadNames(const SchemaSet& set) {
    NameRule rule;
    if (set.empty()) return rule;
    rule.open = false;
    if (SchemaCases::IsNever(set)) return rule;
    ASSIGN_OR_RETURN(const std::vector<SchemaFacts> cases, cases_.Of(set));
    for (const SchemaFacts& facts : cases) {
      if (!(facts.types & kStringType)) continue;
      if (facts.HasValues()) {
        RETURN_IF_ERROR(AddGivenNames(facts, &rule.names));
      } else if (rule.open) {
        return document_.Error(set[0], "propertyNames", "supported only with one way to be met");
      } else {
        rule.open = true;
        ASSIGN_OR_RETURN(rule.strings, cases_.Strings(facts));
      }
    }
    return rule;
  }

  absl::Status AddGivenNames(const SchemaFacts& facts, std::vector<std::string>* names) {
    for (const Json& value : facts.constants.empty() ? *facts.enums[0] : Json::array({*facts.constants[0]})) {
      ASSIGN_OR_RETURN(const bool accepted, cases_.CaseAccepts(facts, value));
      if (accepted && value.is_string()) names->push_back(value.get<std::string>());
    }
    return absl::OkStatus();
  }

  absl::StatusOr<int32_t> NamedMember(const SchemaFacts& facts, const SchemaSet& names, const std::string& name) {
    ASSIGN_OR_RETURN(const bool named, cases_.Accepts(names, Json(name)));
    if (!named) return builder_.Nothing();
    ASSIGN_OR_RETURN(const SchemaSet set, cases_.MemberSet(facts, name));
    ASSIGN_OR_RETURN(const int32_t value, Value(set));
    return builder_.Sequence({text_.StringLiteral(name), text_.Colon(), value});
  }

  // A member of no declared name.
  absl::StatusOr<int32_t> OtherMember(const SchemaFacts& facts, const std::optional<TextDfa>& strings,
                                      const std::vector<std::string>& declared) {
    const std::vector<PatternSchema> patterns = Patterns(facts);
    if (patterns.empty() && SchemaCases::IsNever(OtherSet(facts, patterns, 0))) return builder_.Nothing();
    if (patterns.empty() && !strings && declared.empty()) {
      ASSIGN_OR_RETURN(const int32_t value, Value(OtherSet(facts, patterns, 0)));
      return builder_.Sequence({text_.String(0, -1), text_.Colon(), value});
    }
    ASSIGN_OR_RETURN(const TextDfa names, OtherNames(facts, patterns, strings, declared));
    const int32_t quote = builder_.Literal("\"");
    std::vector<int32_t> ways;
    for (const uint64_t label : Labels(names)) {
      const SchemaSet set = OtherSet(facts, patterns, label);
      if (SchemaCases::IsNever(set)) continue;
      ASSIGN_OR_RETURN(const int32_t value, Value(set));
      const TextDfa alike = patterns.empty() && !strings ? names : Only(names, label);
      ways.push_back(
          builder_.Sequence({quote, AddDfa(alike, text_.Spelling(), &builder_), quote, text_.Colon(), value}));
    }
    return builder_.Choice(std::move(ways));
  }

  struct PatternSchema {
    const ObjectLayer* layer;
    std::string regex;
    const Json* schema;
  };

  static std::vector<PatternSchema> Patterns(const SchemaFacts& facts) {
    std::vector<PatternSchema> patterns;
    for (const ObjectLayer& layer : facts.objects) {
      if (layer.patterns == nullptr) continue;
      for (auto member = layer.patterns->begin(); member != layer.patterns->end(); ++member) {
        patterns.push_back({&layer, member.key(), &*member});
      }
    }
    return patterns;
  }

  // The names that are not declared; bit i + 1 of the label: pattern i is found.
  absl::StatusOr<TextDfa> OtherNames(const SchemaFacts& facts, const std::vector<PatternSchema>& patterns,
                                     const std::optional<TextDfa>& strings, const std::vector<std::string>& declared) {
    const auto in_place = [&](absl::StatusOr<TextDfa> dfa, const Json* node,
                              const char* keyword) -> absl::StatusOr<TextDfa> {
      return dfa.ok() ? dfa : document_.Error(node, keyword, std::string(dfa.status().message()));
    };
    ASSIGN_OR_RETURN(TextDfa names, in_place(AllBut(declared), facts.node, "properties"));
    if (strings) {
      ASSIGN_OR_RETURN(names, in_place(Both(names, *strings), facts.node, "propertyNames"));
    }
    if (patterns.size() > kMaxPatterns) {
      return document_.Error(patterns[0].layer->patterns, "patternProperties",
                             absl::StrCat("more than ", kMaxPatterns));
    }
    for (size_t i = 0; i < patterns.size(); ++i) {
      const Json* node = patterns[i].layer->patterns;
      ASSIGN_OR_RETURN(const TextDfa* found, cases_.FoundBy({node, "patternProperties", patterns[i].regex}));
      ASSIGN_OR_RETURN(names, in_place(Mark(names, *found, static_cast<int>(i) + 1), node, "patternProperties"));
    }
    return names;
  }

  static SchemaSet OtherSet(const SchemaFacts& facts, const std::vector<PatternSchema>& patterns, uint64_t label) {
    SchemaSet set;
    for (const ObjectLayer& layer : facts.objects) {
      const size_t before = set.size();
      for (size_t i = 0; i < patterns.size(); ++i) {
        if (patterns[i].layer == &layer && (label >> (i + 1) & 1) != 0) set.push_back(patterns[i].schema);
      }
      if (set.size() == before && layer.others != nullptr) set.push_back(layer.others);
    }
    return SchemaCases::Normal(std::move(set));
  }

  SchemaDocument& document_;
  GrammarBuilder& builder_;
  JsonText text_;
  SchemaCases cases_;
  SchemaScalars scalars_;
  std::map<SchemaSet, int32_t> values_;
  std::deque<Work> work_;
};

}  // namespace

absl::StatusOr<int32_t> AddJsonSchema(const Json& schema, const JsonGrammarOptions& options, GrammarBuilder* builder) {
  if (!schema.is_object() && !schema.is_boolean()) {
    return absl::InvalidArgumentError("JSON schema: want an object, true or false, not " + Shown(schema));
  }
  ASSIGN_OR_RETURN(SchemaDocument document, SchemaDocument::Make(schema));
  return SchemaCompiler(&document, options, builder).Compile();
}

int32_t AddAnyJsonObject(const JsonGrammarOptions& options, GrammarBuilder* builder) {
  return JsonText(builder, options).AnyObject();
}

}  // namespace braid
