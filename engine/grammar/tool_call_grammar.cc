#include "engine/grammar/tool_call_grammar.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/grammar/string_formats.h"
#include "engine/grammar/text_dfa.h"
#include "engine/grammar/tool_call_form.h"
#include "kernels/base/errors.h"
#include "models/chat/output/json_text.h"
#include "models/chat/output/schema_types.h"

namespace braid {
namespace {

// Markers that vocabularies have as one token.
constexpr std::string_view kSpecial[] = {"<tool_call>",
                                         "</tool_call>",
                                         "<TOOLCALL>",
                                         "</TOOLCALL>",
                                         "[TOOL_CALLS]",
                                         "[ARGS]",
                                         "<|channel|>",
                                         "<|message|>",
                                         "<|constrain|>",
                                         "<|start|>",
                                         "<|end|>",
                                         "<｜tool▁calls▁begin｜>",
                                         "<｜tool▁calls▁end｜>",
                                         "<｜tool▁call▁begin｜>",
                                         "<｜tool▁call▁end｜>",
                                         "<｜tool▁sep｜>",
                                         "｜DSML｜"};

const Json* Member(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

struct Tool {
  std::string name;
  const Json* schema;  // of its arguments; null: any
};

// The tools that `options` let be called.
absl::StatusOr<std::vector<Tool>> AllowedTools(const Json& tools, const ToolCallGrammarOptions& options) {
  const auto is_allowed = [&](const std::string& name) {
    return options.names.empty() || std::find(options.names.begin(), options.names.end(), name) != options.names.end();
  };
  std::vector<Tool> allowed;
  for (const Json& entry : tools) {
    const Json* const function = Member(entry, "function");
    const Json& described = function == nullptr ? entry : *function;
    const Json* const name = Member(described, "name");
    if (name == nullptr || !name->is_string()) {
      return absl::InvalidArgumentError("tools: an entry has no name: want {\"name\": string, \"parameters\": schema}");
    }
    const Json* schema = Member(described, "parameters");
    if (schema != nullptr && !schema->is_object()) schema = nullptr;
    if (is_allowed(*name)) allowed.push_back({*name, schema});
  }
  for (const std::string& name : options.names) {
    const bool known = std::any_of(allowed.begin(), allowed.end(), [&](const Tool& tool) { return tool.name == name; });
    if (!known) return absl::InvalidArgumentError(absl::StrCat("tool_choice: \"", name, "\" is not among the tools"));
  }
  if (allowed.empty()) return absl::InvalidArgumentError("tools: want at least one to force a call");
  return allowed;
}

absl::Status InPlace(const absl::Status& status, const std::string& place) {
  return status.ok() ? status : absl::Status(status.code(), absl::StrCat(place, ": ", std::string(status.message())));
}

class CallWriter {
 public:
  CallWriter(CallForm form, const ToolCallGrammarOptions& options, GrammarBuilder* builder)
      : form_(std::move(form)), options_(options), builder_(*builder) {}

  absl::StatusOr<int32_t> Calls(const std::vector<Tool>& tools) {
    std::vector<int32_t> ways;
    for (const Tool& tool : tools) {
      ASSIGN_OR_RETURN(const int32_t call, Call(tool));
      ways.push_back(call);
    }
    const int32_t rule = builder_.NewRule();
    builder_.Define(rule, builder_.Choice(std::move(ways)));
    std::vector<int32_t> parts = {Written(form_.before_all), builder_.Rule(rule)};
    if (options_.parallel && form_.several) {
      const int32_t next = builder_.Sequence({Written(form_.between), builder_.Rule(rule)});
      parts.push_back(builder_.Repeat(next, 0, -1));
    }
    parts.push_back(Written(form_.after_all));
    return builder_.Sequence(std::move(parts));
  }

  // Literals, with markers as nodes of their own.
  int32_t Written(std::string_view text) {
    std::vector<int32_t> parts;
    while (!text.empty()) {
      size_t first = std::string_view::npos, size = 0;
      for (const std::string_view marker : kSpecial) {
        const size_t found = text.find(marker);
        if (found >= first) continue;
        first = found;
        size = marker.size();
      }
      const std::string_view before = text.substr(0, first);
      if (!before.empty()) parts.push_back(builder_.Literal(before));
      if (size > 0) parts.push_back(builder_.Marker(text.substr(first, size)));
      text.remove_prefix(before.size() + size);
    }
    return parts.empty() ? builder_.Empty() : builder_.Sequence(std::move(parts));
  }

  // Any text in which `markers`, a regular expression, is not found.
  static absl::StatusOr<TextDfa> TextWithout(std::string_view markers) {
    ASSIGN_OR_RETURN(const Regex regex, ParseRegex(markers));
    ASSIGN_OR_RETURN(const TextDfa found, RegexDfa(regex, RegexMatch::kAnywhere));
    ASSIGN_OR_RETURN(const TextDfa any, LengthDfa(0, -1));
    ASSIGN_OR_RETURN(const TextDfa marked, Mark(any, found, 1));
    return Only(marked, 1);
  }

 private:
  absl::StatusOr<int32_t> Call(const Tool& tool) {
    const bool plain = !tool.name.empty() && tool.name.find_first_of("<>[]{}\" \t\r\n") == std::string::npos;
    if (!plain) {
      return absl::InvalidArgumentError(
          absl::StrCat("tools: the name \"", tool.name, "\" cannot be written in a call"));
    }
    const std::string name = form_.quoted_name ? QuotedJson(tool.name) : tool.name;
    absl::StatusOr<int32_t> arguments = form_.parameter_begin.empty() ? Object(tool) : Parameters(tool);
    if (!arguments.ok()) return InPlace(arguments.status(), absl::StrCat("tool \"", tool.name, "\""));
    return builder_.Sequence(
        {Written(absl::StrCat(form_.call_begin, name, form_.name_end)), *arguments, Written(form_.call_end)});
  }

  absl::StatusOr<int32_t> Object(const Tool& tool) {
    if (tool.schema == nullptr) return AddAnyJsonObject(options_.json, &builder_);
    Json schema = *tool.schema;
    if (!schema.contains("type")) schema["type"] = "object";
    return AddJsonSchema(schema, options_.json, &builder_);
  }

  absl::StatusOr<int32_t> Parameters(const Tool& tool) {
    const Json* const properties = tool.schema == nullptr ? nullptr : Member(*tool.schema, "properties");
    if (tool.schema == nullptr) return AnyParameters();
    if (properties == nullptr || !properties->is_object()) return builder_.Empty();
    std::vector<int32_t> parts;
    for (const auto& [key, schema] : properties->items()) {
      ASSIGN_OR_RETURN(const int32_t parameter, Parameter(key, schema, *tool.schema));
      parts.push_back(IsRequired(*tool.schema, key) ? parameter : builder_.Repeat(parameter, 0, 1));
    }
    return parts.empty() ? builder_.Empty() : builder_.Sequence(std::move(parts));
  }

  static bool IsRequired(const Json& schema, const std::string& key) {
    const Json* const required = Member(schema, "required");
    return required != nullptr && required->is_array() &&
           std::find(required->begin(), required->end(), Json(key)) != required->end();
  }

  absl::StatusOr<int32_t> AnyParameters() {
    ASSIGN_OR_RETURN(const int32_t key, AddRegex("[A-Za-z_][A-Za-z0-9_.-]*", &builder_));
    ASSIGN_OR_RETURN(const TextDfa text, TextWithout(form_.values_end));
    return builder_.Repeat(Tag(key, form_.text_begin, Raw(text)), 0, -1);
  }

  int32_t Tag(int32_t key, const std::string& begin, int32_t value) {
    return builder_.Sequence(
        {Written(form_.parameter_begin), key, Written(begin), value, Written(form_.parameter_end)});
  }

  absl::StatusOr<int32_t> Parameter(const std::string& key, const Json& schema, const Json& root) {
    if (key.empty() || key.find_first_of("<>\"\n") != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("parameter \"", key, "\" cannot be written as a tag"));
    }
    const ValueTypes types = SchemaTypes(schema, root);
    const bool text = types == 0 || (types & kStringValue) != 0;
    const auto value = text ? TextValue(Resolved(schema, root), types == kStringValue) : JsonValue(schema, root);
    if (!value.ok()) return InPlace(value.status(), absl::StrCat("parameter \"", key, "\""));
    return Tag(builder_.Literal(key), text ? form_.text_begin : form_.json_begin, *value);
  }

  absl::StatusOr<int32_t> JsonValue(Json schema, const Json& root) {
    for (const char* definitions : {"$defs", "definitions"}) {
      const Json* const shared = Member(root, definitions);
      if (shared != nullptr && schema.is_object() && !schema.contains(definitions)) schema[definitions] = *shared;
    }
    return AddJsonSchema(schema, options_.json, &builder_);
  }

  absl::StatusOr<int32_t> TextValue(const Json& schema, bool only_strings) {
    const Json* const values = Member(schema, "enum");
    if (values != nullptr && values->is_array() && !values->empty()) return OneOf(*values);
    if (const Json* const value = Member(schema, "const")) return OneOf(Json::array({*value}));
    ASSIGN_OR_RETURN(TextDfa text, TextWithout(form_.values_end));
    if (only_strings) RETURN_IF_ERROR(Narrow(schema, &text));
    return Raw(text);
  }

  static const Json& Resolved(const Json& schema, const Json& root) {
    constexpr int kMaxReferences = 16;
    const Json* found = &schema;
    for (int i = 0; i < kMaxReferences; ++i) {
      const Json* const target = Target(*found, root);
      if (target == nullptr) break;
      found = target;
    }
    return *found;
  }

  // What a schema that is a reference stands for.
  static const Json* Target(const Json& schema, const Json& root) {
    const Json* const reference = Member(schema, "$ref");
    if (reference == nullptr || !reference->is_string()) return nullptr;
    const std::string path = *reference;
    for (const char* folder : {"$defs", "definitions"}) {
      const std::string prefix = absl::StrCat("#/", folder, "/");
      const Json* const definitions = Member(root, folder);
      if (definitions != nullptr && path.starts_with(prefix)) return Member(*definitions, path.c_str() + prefix.size());
    }
    return nullptr;
  }

  int32_t OneOf(const Json& values) {
    std::vector<int32_t> ways;
    for (const Json& value : values) {
      ways.push_back(builder_.Literal(value.is_string() ? value.get<std::string>() : WriteJson(value)));
    }
    return builder_.Choice(std::move(ways));
  }

  // Holds `text` to the length, the pattern and the format that `schema` wants.
  static absl::Status Narrow(const Json& schema, TextDfa* text) {
    ASSIGN_OR_RETURN(const int64_t least, Count(schema, "minLength", 0));
    ASSIGN_OR_RETURN(const int64_t most, Count(schema, "maxLength", -1));
    if (least > 0 || most >= 0) {
      ASSIGN_OR_RETURN(const TextDfa length, LengthDfa(least, most));
      ASSIGN_OR_RETURN(*text, Both(*text, length));
    }
    if (const Json* const pattern = Member(schema, "pattern"); pattern != nullptr && pattern->is_string()) {
      RETURN_IF_ERROR(Match(pattern->get<std::string>(), "pattern", text));
    }
    if (const Json* const format = Member(schema, "format"); format != nullptr && format->is_string()) {
      const std::string expression = FormatPattern(format->get<std::string>());
      if (expression.empty()) {
        return absl::InvalidArgumentError(
            absl::StrCat("format ", Shown(*format), " is not supported: want one of ", FormatNames()));
      }
      RETURN_IF_ERROR(Match(expression, "format", text));
    }
    if (IsEmpty(*text)) return absl::InvalidArgumentError("pattern, format and length leave no text");
    return absl::OkStatus();
  }

  static absl::Status Match(const std::string& expression, const std::string& keyword, TextDfa* text) {
    const absl::StatusOr<Regex> regex = ParseRegex(expression);
    if (!regex.ok()) return InPlace(regex.status(), keyword);
    const absl::StatusOr<TextDfa> matching = RegexDfa(*regex, RegexMatch::kAnywhere);
    if (!matching.ok()) return InPlace(matching.status(), keyword);
    ASSIGN_OR_RETURN(*text, Both(*text, *matching));
    return absl::OkStatus();
  }

  static absl::StatusOr<int64_t> Count(const Json& schema, const char* keyword, int64_t absent) {
    const Json* const count = Member(schema, keyword);
    if (count == nullptr) return absent;
    constexpr int64_t kMost = 1'000'000;
    if (!count->is_number_integer() || count->get<double>() < 0 || count->get<double>() > kMost) {
      return absl::InvalidArgumentError(
          absl::StrCat(keyword, " is ", Shown(*count), ": want a whole number from 0 to ", kMost));
    }
    return count->get<int64_t>();
  }

  int32_t Raw(const TextDfa& text) { return AddDfa(text, Utf8Spelling(&builder_), &builder_); }

  CallForm form_;
  const ToolCallGrammarOptions& options_;
  GrammarBuilder& builder_;
};

// What may come before a call of harmony: nothing, the role, or one message of analysis and the role.
absl::StatusOr<int32_t> HarmonyLead(CallWriter* writer, GrammarBuilder* builder) {
  ASSIGN_OR_RETURN(const TextDfa thought, CallWriter::TextWithout("<\\|"));
  const int32_t role = writer->Written("<|start|>assistant");
  const int32_t analysis =
      builder->Sequence({writer->Written("<|channel|>analysis<|message|>"),
                         AddDfa(thought, Utf8Spelling(builder), builder), writer->Written("<|end|>"), role});
  return builder->Choice({builder->Empty(), role, analysis});
}

}  // namespace

absl::StatusOr<int32_t> AddToolCallGrammar(OutputFormat format, const Json& tools,
                                           const ToolCallGrammarOptions& options, GrammarBuilder* builder) {
  ASSIGN_OR_RETURN(CallForm form, CallFormOf(format));
  ASSIGN_OR_RETURN(const std::vector<Tool> allowed, AllowedTools(tools, options));
  CallWriter writer(std::move(form), options, builder);
  ASSIGN_OR_RETURN(const int32_t calls, writer.Calls(allowed));
  if (format != OutputFormat::kHarmony) return calls;
  ASSIGN_OR_RETURN(const int32_t lead, HarmonyLead(&writer, builder));
  return builder->Sequence({lead, calls});
}

}  // namespace braid
