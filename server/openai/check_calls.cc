#include "server/openai/check_calls.h"

#include <ctime>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "engine/grammar/grammar_sources.h"
#include "engine/grammar/matcher.h"
#include "kernels/base/errors.h"
#include "models/chat/chat_template.h"
#include "models/chat/output/output_parser.h"
#include "server/openai/request_fields.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

constexpr size_t kMaxTexts = 65'536;

// --- grammars ---

absl::StatusOr<Grammar> GrammarOf(const Json& body) {
  const auto schema = body.find("json_schema"), regex = body.find("regex"), ebnf = body.find("ebnf");
  const auto given = [&](const auto& found) { return found != body.end() && !found->is_null(); };
  if (given(schema) + given(regex) + given(ebnf) != 1) return absl::InvalidArgumentError("give one of json_schema, regex, ebnf");
  if (given(schema)) {
    if (!schema->is_string()) return JsonSchemaGrammar(*schema);
    ASSIGN_OR_RETURN(const Json parsed, ParseJson(schema->get_ref<const std::string&>()));
    return JsonSchemaGrammar(parsed);
  }
  const Json& source = given(regex) ? *regex : *ebnf;
  const char* field = given(regex) ? "regex" : "ebnf";
  if (!source.is_string()) return InvalidParam(field, absl::StrCat(field, ": must be a string, not ", Shown(source)));
  const std::string& text = source.get_ref<const std::string&>();
  return given(regex) ? RegexGrammar(text) : EbnfGrammar(text);
}

// A schema such as `false`: nothing to generate, but a fair question about texts.
bool MatchesNothing(const Grammar& grammar) { return grammar.nodes[grammar.rules[0]].kind == GrammarNode::Kind::kNothing; }

bool Accepts(const std::shared_ptr<const CompiledGrammar>& grammar, const std::string& text) {
  GrammarMatcher matcher(grammar);
  return matcher.AcceptBytes(text) && matcher.CanEnd();
}

// --- output ---

// What the deltas of one text add up to.
struct Parsed {
  std::string content, reasoning;
  std::vector<ToolCallDelta> calls;

  void Add(const OutputDelta& delta) {
    content += delta.content;
    reasoning += delta.reasoning;
    for (const ToolCallDelta& call : delta.tool_calls) {
      if (static_cast<size_t>(call.index) >= calls.size()) calls.resize(call.index + 1);
      ToolCallDelta& whole = calls[call.index];
      if (call.name.has_value()) whole.name = call.name;
      whole.arguments += call.arguments;
    }
  }
  Json ToJson() const {
    const auto text_or_null = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
    Json list = Json::array();
    for (const ToolCallDelta& call : calls) {
      list.push_back(Json{{"name", call.name.value_or("")}, {"arguments", call.arguments}});
    }
    return Json{{"content", text_or_null(content)}, {"reasoning_content", text_or_null(reasoning)}, {"tool_calls", list}};
  }
};

absl::StatusOr<std::vector<std::string>> PiecesOf(RequestFields& fields) {
  if (fields.Has("text")) return std::vector<std::string>{fields.String("text").value_or("")};
  const Json* chunks = fields.Array("chunks", 1 << 22);
  if (chunks == nullptr) return InvalidParam("text", "text: is missing; give text or chunks");
  std::vector<std::string> pieces;
  for (const Json& chunk : *chunks) {
    if (!chunk.is_string()) return InvalidParam("chunks", absl::StrCat("chunks: must hold strings, not ", Shown(chunk)));
    pieces.push_back(chunk);
  }
  return pieces;
}

// --- templates ---

// ISO time, with or without a zone (UTC), to seconds since 1970; absent: now.
absl::StatusOr<int64_t> ClockOf(RequestFields& fields) {
  const auto text = fields.String("now");
  if (!text.has_value()) return static_cast<int64_t>(std::time(nullptr));
  absl::Time time;
  for (const char* format : {absl::RFC3339_full, "%Y-%m-%dT%H:%M:%E*S", "%Y-%m-%d %H:%M:%E*S", "%Y-%m-%d"}) {
    if (absl::ParseTime(format, *text, absl::UTCTimeZone(), &time, nullptr)) return absl::ToUnixSeconds(time);
  }
  return InvalidParam("now", absl::StrCat("now: must be an ISO time such as 2026-01-31T08:00:00, not ", *text));
}

absl::StatusOr<std::string> RenderWith(const ChatTemplate& chat_template, RequestFields& fields, int64_t unix_time) {
  static const Json kNoMessages = Json::array();
  if (const Json* context = fields.Object("context")) return chat_template.RenderContext(*context, unix_time);
  const Json* messages = fields.Find("messages");
  Json normalized = messages == nullptr ? kNoMessages : *messages;
  if (!fields.Bool("raw_messages", false)) {
    ASSIGN_OR_RETURN(normalized, NormalizeMessages(normalized, chat_template));
  }
  return chat_template.Render({.messages = &normalized,
                               .tools = fields.Find("tools"),
                               .documents = fields.Find("documents"),
                               .add_generation_prompt = fields.Bool("add_generation_prompt", true),
                               .kwargs = fields.Object("chat_template_kwargs"),
                               .unix_time = unix_time});
}

}  // namespace

absl::StatusOr<std::string> CheckGrammar(const Json& body) {
  RequestFields fields(body);
  const Json* texts = fields.Array("texts", kMaxTexts);
  RETURN_IF_ERROR(fields.status());
  if (texts == nullptr) return InvalidParam("texts", "texts: is missing; it must be a list of strings");
  ASSIGN_OR_RETURN(const Grammar grammar, GrammarOf(body));
  std::shared_ptr<const CompiledGrammar> compiled;  // null: no text is a sentence
  if (!MatchesNothing(grammar)) {
    ASSIGN_OR_RETURN(compiled, CompiledGrammar::Compile(grammar, TokenVocabulary::Make({}, {}, {})));
  }
  Json accepted = Json::array();
  for (const Json& text : *texts) {
    if (!text.is_string()) return InvalidParam("texts", absl::StrCat("texts: must hold strings, not ", Shown(text)));
    accepted.push_back(compiled != nullptr && Accepts(compiled, text.get_ref<const std::string&>()));
  }
  return WriteJson(Json{{"accepted", accepted}});
}

absl::StatusOr<std::string> ParseOutputText(const Json& body) {
  RequestFields fields(body);
  const auto format = ParseOutputFormat(fields.String("family").value_or(""));
  OutputParserOptions options;
  options.starts_in_reasoning = fields.Bool("starts_in_reasoning", false);
  if (const Json* tools = fields.Array("tools", 1024)) options.tools = *tools;
  const bool cut = fields.String("finish_reason").value_or("stop") == "length";
  ASSIGN_OR_RETURN(const std::vector<std::string> pieces, PiecesOf(fields));
  RETURN_IF_ERROR(fields.status());
  if (!format.ok()) return WithDetails(format.status(), "family");
  const auto parser = MakeOutputParser(*format, std::move(options));
  Parsed parsed;
  for (const std::string& piece : pieces) parsed.Add(parser->Push(piece));
  parsed.Add(parser->Finish(cut));
  return WriteJson(parsed.ToJson());
}

bool BringsOwnTemplate(const Json& body) { return body.is_object() && body.contains("chat_template"); }

absl::StatusOr<std::string> RenderOwnTemplate(const Json& body) {
  RequestFields fields(body);
  const std::string source = fields.String("chat_template").value_or("");
  const std::string bos = fields.String("bos_token").value_or(""), eos = fields.String("eos_token").value_or("");
  ASSIGN_OR_RETURN(const int64_t unix_time, ClockOf(fields));
  RETURN_IF_ERROR(fields.status());
  auto chat_template = ChatTemplate::Parse(source, bos, eos);
  if (!chat_template.ok()) return WithDetails(chat_template.status(), "chat_template");
  auto prompt = RenderWith(**chat_template, fields, unix_time);
  RETURN_IF_ERROR(fields.status());
  if (!prompt.ok()) return WithDetails(prompt.status(), "messages");
  return WriteJson(Json{{"prompt", *prompt}});
}

}  // namespace braid
