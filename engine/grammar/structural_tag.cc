#include "engine/grammar/structural_tag.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/grammar/free_text.h"
#include "engine/grammar/grammar_copy.h"
#include "engine/grammar/tag_part.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr int kMaxFormats = 1'000;

using Part = TagPart;

// What the surroundings ask of free text: none of the enclosing tag's ends occurs in it. `next`: the one of them that
// follows; none where something else does.
struct Place {
  Texts ends, next;
  Place Before() const { return {ends, {}}; }
};

struct Tag {
  std::string begin;
  int32_t node;  // all of it, the beginning included
};

// How tags stand in free text.
struct Flow {
  Texts excludes;
  bool at_least_one = false, stop_after_first = false;
};

class TagWriter {
 public:
  TagWriter(const StructuralTagOptions& options, GrammarBuilder* builder) : options_(options), builder_(*builder) {}

  absl::StatusOr<int32_t> Whole(const Part& tag) {
    if (!tag.json.is_object()) return tag.Wrong("must be an object");
    if (tag.Find("format") == nullptr) return Legacy(tag);
    RETURN_IF_ERROR(CheckMembers(tag, {"format"}));
    return Format(tag.Member("format"), {});
  }

 private:
  using Adder = absl::StatusOr<int32_t> (TagWriter::*)(const Part&, const Place&);
  struct Kind {
    std::string_view type;
    Adder add;
    std::vector<std::string> members;
  };

  static const std::vector<Kind>& Kinds() {
    static const auto* const kKinds = new std::vector<Kind>{
        {"const_string", &TagWriter::ConstString, {"value"}},
        {"json_schema", &TagWriter::JsonSchema, {"json_schema", "style", "any_order"}},
        {"regex", &TagWriter::Regular, {"pattern"}},
        {"grammar", &TagWriter::Ebnf, {"grammar"}},
        {"any_text", &TagWriter::AnyText, {"excludes"}},
        {"sequence", &TagWriter::Sequence, {"elements"}},
        {"or", &TagWriter::Or, {"elements"}},
        {"optional", &TagWriter::Optional, {"content"}},
        {"plus", &TagWriter::Plus, {"content"}},
        {"star", &TagWriter::Star, {"content"}},
        {"repeat", &TagWriter::Repeat, {"content", "min", "max"}},
        {"tag", &TagWriter::Tagged, {"begin", "content", "end"}},
        {"triggered_tags", &TagWriter::Triggered, {"triggers", "tags", "at_least_one", "stop_after_first", "excludes"}},
        {"tags_with_separator", &TagWriter::Separated, {"tags", "separator", "at_least_one", "stop_after_first"}},
        {"dispatch", &TagWriter::Dispatch, {"rules", "loop", "excludes"}}};
    return *kKinds;
  }

  static absl::Status CheckMembers(const Part& part, const std::vector<std::string>& known) {
    for (const auto& [name, value] : part.json.items()) {
      if (name == "type" || value.is_null() || std::find(known.begin(), known.end(), name) != known.end()) continue;
      return absl::InvalidArgumentError(absl::StrCat(part.path, ".", name, ": is not supported here; known are type, ", absl::StrJoin(known, ", ")));
    }
    return absl::OkStatus();
  }

  static std::string TypeNames() {
    return absl::StrJoin(Kinds(), ", ", [](std::string* out, const Kind& kind) { out->append(kind.type); });
  }

  absl::StatusOr<int32_t> Format(const Part& part, const Place& place) {
    if (++formats_ > kMaxFormats) return absl::InvalidArgumentError(absl::StrCat(part.path, ": more than ", kMaxFormats, " formats"));
    if (!part.json.is_object()) return part.Wrong("must be an object with a type");
    const Part type = part.Member("type");
    for (const Kind& kind : Kinds()) {
      if (type.json != std::string(kind.type)) continue;
      RETURN_IF_ERROR(CheckMembers(part, kind.members));
      return (this->*kind.add)(part, place);
    }
    return type.Wrong(absl::StrCat("must be one of ", TypeNames()));
  }

  // --- single texts

  absl::StatusOr<int32_t> ConstString(const Part& part, const Place&) {
    ASSIGN_OR_RETURN(const std::string text, TextOf(part.Member("value")));
    return Written(text);
  }

  absl::StatusOr<int32_t> JsonSchema(const Part& part, const Place&) {
    const Part style = part.Member("style");
    if (!style.json.is_null() && style.json != "json") return style.Wrong("must be \"json\"");
    ASSIGN_OR_RETURN(const bool any_order, FlagOf(part.Member("any_order"), false));
    if (any_order) return part.Member("any_order").Wrong("must be false: members come in the order of the schema");
    return Schema(part.Member("json_schema"));
  }

  absl::StatusOr<int32_t> Schema(const Part& part) {
    if (!part.json.is_object() && !part.json.is_boolean()) return part.Wrong("must be a JSON schema");
    auto node = AddJsonSchema(part.json, options_.json, &builder_);
    return node.ok() ? node : At(part, node.status());
  }

  absl::StatusOr<int32_t> Regular(const Part& part, const Place&) {
    const Part pattern = part.Member("pattern");
    ASSIGN_OR_RETURN(const std::string expression, TextOf(pattern));
    auto node = AddRegex(expression, &builder_);
    return node.ok() ? node : At(pattern, node.status());
  }

  absl::StatusOr<int32_t> Ebnf(const Part& part, const Place&) {
    const Part source = part.Member("grammar");
    ASSIGN_OR_RETURN(const std::string text, TextOf(source));
    const absl::StatusOr<Grammar> grammar = EbnfGrammar(text);
    if (!grammar.ok()) return At(source, grammar.status());
    return GrammarCopy(*grammar, &builder_).Root();
  }

  absl::StatusOr<int32_t> AnyText(const Part& part, const Place& place) {
    ASSIGN_OR_RETURN(Texts words, TextsOf(part.Member("excludes")));
    words.insert(words.end(), place.ends.begin(), place.ends.end());
    const absl::StatusOr<TextDfa> free = TextWithout(words);
    if (!free.ok()) return At(part, free.status());
    return Free(LastText(*free, place));
  }

  // --- composed ones

  absl::StatusOr<std::vector<int32_t>> Elements(const Part& part, const Place& place, bool in_row) {
    ASSIGN_OR_RETURN(const Part list, ListOf(part.Member("elements")));
    std::vector<int32_t> nodes;
    for (size_t i = 0; i < list.json.size(); ++i) {
      const bool more = in_row && i + 1 < list.json.size();
      ASSIGN_OR_RETURN(const int32_t node, Format(list.Item(i), more ? place.Before() : place));
      nodes.push_back(node);
    }
    return nodes;
  }

  absl::StatusOr<int32_t> Sequence(const Part& part, const Place& place) {
    ASSIGN_OR_RETURN(std::vector<int32_t> nodes, Elements(part, place, true));
    return builder_.Sequence(std::move(nodes));
  }

  absl::StatusOr<int32_t> Or(const Part& part, const Place& place) {
    ASSIGN_OR_RETURN(std::vector<int32_t> nodes, Elements(part, place, false));
    return builder_.Choice(std::move(nodes));
  }

  absl::StatusOr<int32_t> Optional(const Part& part, const Place& place) { return Repeated(part, place, 0, 1); }
  absl::StatusOr<int32_t> Plus(const Part& part, const Place& place) { return Repeated(part, place, 1, -1); }
  absl::StatusOr<int32_t> Star(const Part& part, const Place& place) { return Repeated(part, place, 0, -1); }

  absl::StatusOr<int32_t> Repeat(const Part& part, const Place& place) {
    ASSIGN_OR_RETURN(const int min, CountOf(part.Member("min"), 0));
    ASSIGN_OR_RETURN(const int max, CountOf(part.Member("max"), -1));
    if (max >= 0 && max < min) return part.Member("max").Wrong(absl::StrCat("must be -1 or at least min (", min, ")"));
    return Repeated(part, place, min, max);
  }

  absl::StatusOr<int32_t> Repeated(const Part& part, const Place& place, int min, int max) {
    const int64_t outside = repeats_;
    repeats_ *= std::max({min, max, 1});
    if (repeats_ > kMaxTagRepeats) return absl::InvalidArgumentError(absl::StrCat(part.path, ": the counts multiply to more than ", kMaxTagRepeats));
    const absl::StatusOr<int32_t> node = Format(part.Member("content"), max == 0 || max == 1 ? place : place.Before());
    repeats_ = outside;
    RETURN_IF_ERROR(node.status());
    return builder_.Repeat(*node, min, max);
  }

  // --- tags

  absl::StatusOr<int32_t> Tagged(const Part& part, const Place& place) {
    ASSIGN_OR_RETURN(const Tag tag, TagOf(part, place));
    return tag.node;
  }

  absl::StatusOr<Tag> TagOf(const Part& part, const Place& place) {
    ASSIGN_OR_RETURN(std::string begin, TextOf(part.Member("begin")));
    ASSIGN_OR_RETURN(const Texts ends, EndsOf(part.Member("end")));
    Texts known = ends;
    std::erase(known, "");
    std::vector<int32_t> ways;
    for (const std::string& end : ends) {  // without an end of its own what surrounds the tag ends its text
      ASSIGN_OR_RETURN(const int32_t content, Format(part.Member("content"), end.empty() ? place : Place{known, {end}}));
      ways.push_back(builder_.Sequence({content, Written(end)}));
    }
    return Tag{begin, builder_.Sequence({Written(begin), builder_.Choice(std::move(ways))})};
  }

  static absl::StatusOr<Texts> EndsOf(const Part& part) {
    if (part.json.is_string()) return Texts{part.json.get<std::string>()};
    if (!part.json.is_array() || part.json.empty()) return part.Wrong("must be a string or a list of strings");
    Texts ends;
    for (size_t i = 0; i < part.json.size(); ++i) {
      ASSIGN_OR_RETURN(std::string end, TextOf(part.Item(i)));
      ends.push_back(std::move(end));
    }
    return ends;
  }

  // Tags of a list; each may stand inside free text, which goes on behind it.
  absl::StatusOr<std::vector<Tag>> TagsOf(const Part& part, const Place& place) {
    ASSIGN_OR_RETURN(const Part list, ListOf(part));
    std::vector<Tag> tags;
    for (size_t i = 0; i < list.json.size(); ++i) {
      const Part item = list.Item(i);
      if (!item.json.is_object()) return item.Wrong("must be a tag");
      const Part type = item.Member("type");
      if (!type.json.is_null() && type.json != "tag") return type.Wrong("must be \"tag\"");
      RETURN_IF_ERROR(CheckMembers(item, {"begin", "content", "end"}));
      ASSIGN_OR_RETURN(Tag tag, TagOf(item, place.Before()));
      tags.push_back(std::move(tag));
    }
    return tags;
  }

  static absl::StatusOr<Flow> FlowOf(const Part& part) {
    Flow flow;
    ASSIGN_OR_RETURN(flow.excludes, TextsOf(part.Member("excludes")));
    ASSIGN_OR_RETURN(flow.at_least_one, FlagOf(part.Member("at_least_one"), false));
    ASSIGN_OR_RETURN(flow.stop_after_first, FlagOf(part.Member("stop_after_first"), false));
    return flow;
  }

  absl::StatusOr<int32_t> Triggered(const Part& part, const Place& place) {
    ASSIGN_OR_RETURN(const Flow flow, FlowOf(part));
    ASSIGN_OR_RETURN(const std::vector<Tag> tags, TagsOf(part.Member("tags"), place));
    return InFreeText(part, part.Member("triggers"), tags, flow, place);
  }

  absl::StatusOr<int32_t> Separated(const Part& part, const Place& place) {
    ASSIGN_OR_RETURN(const Flow flow, FlowOf(part));
    ASSIGN_OR_RETURN(const std::string separator, TextOf(part.Member("separator")));
    ASSIGN_OR_RETURN(const std::vector<Tag> tags, TagsOf(part.Member("tags"), place));
    const int32_t tag = Any(tags), next = builder_.Sequence({Written(separator), tag});
    const int32_t all = flow.stop_after_first ? tag : builder_.Sequence({tag, builder_.Repeat(next, 0, -1)});
    return flow.at_least_one ? all : builder_.Repeat(all, 0, 1);
  }

  absl::StatusOr<int32_t> Dispatch(const Part& part, const Place& place) {
    Flow flow;
    ASSIGN_OR_RETURN(flow.excludes, TextsOf(part.Member("excludes")));
    ASSIGN_OR_RETURN(const bool loop, FlagOf(part.Member("loop"), true));
    flow.stop_after_first = !loop;
    ASSIGN_OR_RETURN(const Part rules, ListOf(part.Member("rules")));
    std::vector<Tag> tags;
    Json triggers = Json::array();
    for (size_t i = 0; i < rules.json.size(); ++i) {
      const Part rule = rules.Item(i);
      if (!rule.json.is_array() || rule.json.size() != 2) return rule.Wrong("must be [text, format]");
      ASSIGN_OR_RETURN(const std::string text, SomeTextOf(rule.Item(0)));
      ASSIGN_OR_RETURN(const int32_t format, Format(rule.Item(1), loop ? place.Before() : place));
      tags.push_back({text, builder_.Sequence({Written(text), format})});
      triggers.push_back(text);
    }
    return InFreeText(part, {triggers, rules.path}, tags, flow, place);
  }

  absl::StatusOr<int32_t> Legacy(const Part& tag) {
    RETURN_IF_ERROR(CheckMembers(tag, {"structures", "triggers"}));
    if (tag.Find("structures") == nullptr) return tag.Wrong("must hold a format, or structures and triggers");
    ASSIGN_OR_RETURN(const Part list, ListOf(tag.Member("structures")));
    std::vector<Tag> tags;
    for (size_t i = 0; i < list.json.size(); ++i) {
      const Part item = list.Item(i);
      if (!item.json.is_object()) return item.Wrong("must be {\"begin\", \"schema\", \"end\"}");
      RETURN_IF_ERROR(CheckMembers(item, {"begin", "schema", "end"}));
      ASSIGN_OR_RETURN(const std::string begin, SomeTextOf(item.Member("begin")));
      ASSIGN_OR_RETURN(const int32_t content, Schema(item.Member("schema")));
      ASSIGN_OR_RETURN(const std::string end, TextOf(item.Member("end")));
      tags.push_back({begin, builder_.Sequence({Written(begin), content, Written(end)})});
    }
    return InFreeText(tag, tag.Member("triggers"), tags, {}, {});
  }

  // --- free text with tags

  // Free text in which each trigger begins one of the tags that it is a prefix of.
  absl::StatusOr<int32_t> InFreeText(const Part& part, const Part& triggers, const std::vector<Tag>& tags, const Flow& flow,
                                     const Place& place) {
    RETURN_IF_ERROR(ListOf(triggers).status());
    ASSIGN_OR_RETURN(const Texts starts, TextsOf(triggers));
    RETURN_IF_ERROR(CheckTriggers(triggers, starts, tags));
    Texts words = starts;
    words.insert(words.end(), flow.excludes.begin(), flow.excludes.end());
    words.insert(words.end(), place.ends.begin(), place.ends.end());
    const absl::StatusOr<TextDfa> free = TextWithout(words);
    if (!free.ok()) return At(part, free.status());
    if (flow.at_least_one && flow.stop_after_first) return Any(tags);
    const int32_t rule = builder_.NewRule();
    std::vector<int32_t> ways = {Free(LastText(*free, place))};
    for (const std::string& start : starts) {
      std::vector<int32_t> parts = {Free(TextBefore(*free, {&start, 1})), Any(TagsAt(start, tags))};
      if (!flow.stop_after_first) parts.push_back(builder_.Rule(rule));
      ways.push_back(builder_.Sequence(std::move(parts)));
    }
    builder_.Define(rule, builder_.Choice(std::move(ways)));
    const int32_t text = builder_.Rule(rule);
    return flow.at_least_one ? builder_.Sequence({Any(tags), text}) : text;
  }

  static std::vector<Tag> TagsAt(const std::string& start, const std::vector<Tag>& tags) {
    std::vector<Tag> found;
    for (const Tag& tag : tags) {
      if (absl::StartsWith(tag.begin, start)) found.push_back(tag);
    }
    return found;
  }

  // Each tag has one trigger, each trigger a tag.
  static absl::Status CheckTriggers(const Part& part, const Texts& starts, const std::vector<Tag>& tags) {
    for (const Tag& tag : tags) {
      const auto count = std::count_if(starts.begin(), starts.end(), [&](const std::string& start) { return absl::StartsWith(tag.begin, start); });
      if (count == 1) continue;
      return absl::InvalidArgumentError(absl::StrCat(part.path, ": the tag that begins ", Shown(Json(tag.begin)), " must have one of them as its prefix, not ", count));
    }
    for (const std::string& start : starts) {
      if (TagsAt(start, tags).empty()) return absl::InvalidArgumentError(absl::StrCat(part.path, ": no tag begins with ", Shown(Json(start))));
    }
    return absl::OkStatus();
  }

  // Those texts that may stand at the place, of texts without its ends.
  static TextDfa LastText(const TextDfa& free, const Place& place) {
    return place.next.empty() ? free : TextBefore(free, place.next);
  }

  int32_t Free(const TextDfa& text) { return AddDfa(text, Utf8Spelling(&builder_), &builder_); }

  int32_t Any(const std::vector<Tag>& tags) {
    std::vector<int32_t> nodes;
    for (const Tag& tag : tags) nodes.push_back(tag.node);
    return builder_.Choice(std::move(nodes));
  }

  // A fixed text; special tokens in it are nodes of their own.
  int32_t Written(std::string_view text) {
    std::vector<int32_t> parts;
    while (!text.empty()) {
      size_t first = text.size(), size = 0;
      for (const std::string& marker : options_.markers) {
        const size_t found = text.find(marker);
        if (marker.empty() || found > first || (found == first && marker.size() <= size)) continue;
        if (found == std::string_view::npos) continue;
        first = found;
        size = marker.size();
      }
      parts.push_back(builder_.Literal(text.substr(0, first)));
      parts.push_back(builder_.Marker(text.substr(first, size)));
      text.remove_prefix(first + size);
    }
    return builder_.Sequence(std::move(parts));
  }

  const StructuralTagOptions& options_;
  GrammarBuilder& builder_;
  int formats_ = 0;
  int64_t repeats_ = 1;
};

}  // namespace

absl::StatusOr<int32_t> AddStructuralTag(const Json& tag, const StructuralTagOptions& options, GrammarBuilder* builder) {
  return TagWriter(options, builder).Whole({tag, "structural_tag"});
}

}  // namespace braid
