#include "server/openai/output_rules_json.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace braid {
namespace {

using Kind = StructuredOutput::Kind;

constexpr std::array<const char*, 6> kStructures = {"json", "regex", "choice", "grammar", "json_object", "structural_tag"};
constexpr size_t kMaxChoices = 16'384;
constexpr size_t kMaxBadWords = 128;

// {"name", "schema", "strict", "description"} of a response_format.
void ReadJsonSchemaFormat(RequestFields& fields, const Json& format, StructuredOutput* out) {
  const auto wrapper = format.find("json_schema");
  if (wrapper == format.end() || !wrapper->is_object()) {
    return fields.Fail("response_format", "json_schema is missing; it must be an object with a schema");
  }
  const auto schema = wrapper->find("schema");
  if (schema == wrapper->end() || !(schema->is_object() || schema->is_boolean())) {
    return fields.Fail("response_format", "json_schema.schema is missing; it must be a JSON schema");
  }
  out->kind = Kind::kJsonSchema;
  out->schema = *schema;
}

void ReadResponseFormat(RequestFields& fields, StructuredOutput* out) {
  const Json* format = fields.Object("response_format");
  if (format == nullptr) return;
  const auto type = format->find("type");
  if (type == format->end() || !type->is_string()) return fields.Fail("response_format", "must hold a type");
  if (*type == "text") return;
  out->field = "response_format";
  if (*type == "json_object") {
    out->kind = Kind::kJsonObject;
  } else if (*type == "json_schema") {
    ReadJsonSchemaFormat(fields, *format, out);
  } else if (*type == "structural_tag") {
    out->kind = Kind::kStructuralTag;
    out->schema = *format;
  } else {
    fields.Fail("response_format", absl::StrCat("type ", Shown(*type), " is not supported; use \"text\", \"json_object\", \"json_schema\" or \"structural_tag\""));
  }
}

bool ReadChoices(const Json& list, std::vector<std::string>* out) {
  if (!list.is_array() || list.empty() || list.size() > kMaxChoices) return false;
  for (const Json& choice : list) {
    if (!choice.is_string()) return false;
    out->push_back(choice);
  }
  return true;
}

// A schema, as an object or as its JSON text.
bool ReadSchema(const Json& value, Json* out) {
  *out = value;
  if (value.is_string()) {
    auto parsed = ParseJson(value.get_ref<const std::string&>());
    if (!parsed.ok()) return false;
    *out = *std::move(parsed);
  }
  return out->is_object() || out->is_boolean();
}

// One member of structured_outputs; false when its value is not what the member takes.
bool ReadStructure(const std::string& name, const Json& value, StructuredOutput* out) {
  if (name == "json") {
    out->kind = Kind::kJsonSchema;
    return ReadSchema(value, &out->schema);
  }
  if (name == "structural_tag") {
    out->kind = Kind::kStructuralTag;
    return ReadSchema(value, &out->schema) && out->schema.is_object();
  }
  if (name == "json_object") {
    out->kind = Kind::kJsonObject;
    return value == true;
  }
  if (name == "choice") {
    out->kind = Kind::kChoice;
    return ReadChoices(value, &out->choices);
  }
  out->kind = name == "regex" ? Kind::kRegex : Kind::kEbnf;
  if (value.is_string()) out->source = value;
  return !out->source.empty();
}

const char* Accepted(const std::string& name) {
  if (name == "json") return "must be a JSON schema, or its text";
  if (name == "structural_tag") return "must be an object, or its JSON text";
  if (name == "json_object") return "must be true, or left out";
  if (name == "choice") return "must be a list of 1 to 16384 strings";
  return "must be a string that is not empty";
}

std::string OneStructure() { return absl::StrCat("one of ", absl::StrJoin(kStructures, ", ")); }

void ReadStructuredOutputs(RequestFields& fields, StructuredOutput* out) {
  const Json* given = fields.Object("structured_outputs");
  if (given == nullptr) return;
  if (out->kind != Kind::kNone) return fields.Fail("structured_outputs", "cannot be combined with a response_format that is not \"text\"");
  out->field = "structured_outputs";
  for (const auto& [name, value] : given->items()) {
    const bool known = std::find(kStructures.begin(), kStructures.end(), name) != kStructures.end();
    if (value.is_null() || (name == "json_object" && value == false)) continue;
    if (!known) return fields.Fail("structured_outputs", absl::StrCat("does not know ", Shown(name), "; it takes ", OneStructure()));
    if (out->kind != Kind::kNone) return fields.Fail("structured_outputs", absl::StrCat("takes only ", OneStructure()));
    if (!ReadStructure(name, value, out)) return fields.Fail("structured_outputs", absl::StrCat(name, " ", Accepted(name)));
  }
  if (out->kind == Kind::kNone) fields.Fail("structured_outputs", absl::StrCat("must hold ", OneStructure()));
}

// Its compiler has bounds of its own; this one is for what need not be looked at.
void CheckSize(RequestFields& fields, const ServingLimits& limits, const StructuredOutput& form) {
  const size_t bytes = form.schema.is_null() ? form.source.size() : WriteJson(form.schema).size();
  if (bytes <= limits.max_schema_bytes) return;
  fields.Fail(form.field, absl::StrCat("the schema or grammar is of ", bytes, " bytes; at most ", limits.max_schema_bytes, " are allowed"));
}

void ReadBadWords(RequestFields& fields, OutputRules* rules) {
  const Json* words = fields.Array("bad_words", kMaxBadWords);
  if (words == nullptr) return;
  for (const Json& word : *words) {
    if (!word.is_string() || word.get_ref<const std::string&>().empty()) {
      return fields.Fail("bad_words", absl::StrCat("must hold strings that are not empty, not ", Shown(word)));
    }
    rules->bad_words.push_back(word);
  }
}

bool Offers(const Json& tools, const std::string& name) {
  return std::any_of(tools.begin(), tools.end(), [&](const Json& tool) { return tool["function"]["name"] == name; });
}

void ReadNamedChoice(RequestFields& fields, const Json& tools, const Json& choice, ToolChoice* out) {
  const auto function = choice.find("function");
  const bool named = choice.value("type", Json()) == "function" && function != choice.end() && function->is_object() &&
                     function->value("name", Json()).is_string();
  if (!named) return fields.Fail("tool_choice", "must be {\"type\": \"function\", \"function\": {\"name\": ...}}");
  out->kind = ToolChoice::Kind::kNamed;
  out->name = (*function)["name"];
  if (!Offers(tools, out->name)) fields.Fail("tool_choice", absl::StrCat("names the function ", Shown(out->name), ", which is not among tools"));
}

}  // namespace

void ReadOutputRules(RequestFields& fields, const ServingLimits& limits, OutputRules* rules) {
  ReadResponseFormat(fields, &rules->structured);
  ReadStructuredOutputs(fields, &rules->structured);
  CheckSize(fields, limits, rules->structured);
  ReadBadWords(fields, rules);
  rules->include_reasoning = fields.Bool("include_reasoning", true);
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  rules->thinking_budget = static_cast<int>(fields.Int("thinking_token_budget", -1, kMost).value_or(-1));
  rules->thinking_grace = static_cast<int>(fields.Int("thinking_grace_tokens", 0, kMost / 2).value_or(0));
  if (rules->thinking_grace > 0 && rules->thinking_budget < 0) fields.Fail("thinking_grace_tokens", "needs a thinking_token_budget");
  rules->thinking_budget = std::min<int>(rules->thinking_budget, kMost / 2);
}

void ReadToolChoice(RequestFields& fields, const Json& tools, OutputRules* rules) {
  rules->parallel_tool_calls = fields.Bool("parallel_tool_calls", true);
  ToolChoice& out = rules->tool_choice;
  out.kind = tools.is_null() ? ToolChoice::Kind::kNone : ToolChoice::Kind::kAuto;
  const Json* choice = fields.Find("tool_choice");
  if (choice == nullptr) return;
  const std::string word = choice->is_string() ? choice->get<std::string>() : "";
  if (word == "none") {
    out.kind = ToolChoice::Kind::kNone;
    return;
  }
  const bool known = word == "auto" || word == "required" || choice->is_object();
  if (!known) return fields.Fail("tool_choice", absl::StrCat("must be \"none\", \"auto\", \"required\" or an object, not ", Shown(*choice)));
  if (tools.is_null()) return fields.Fail("tool_choice", "needs tools");
  if (choice->is_object()) return ReadNamedChoice(fields, tools, *choice, &out);
  if (word == "required") out.kind = ToolChoice::Kind::kRequired;
}

}  // namespace braid
