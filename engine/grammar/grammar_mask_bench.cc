// Compile and mask times over a real vocabulary for seven usual schemas, in CPU time of one thread.
//
// grammar_mask_bench VOCAB.json.gz [--end ID] [--only NAME]   a table
// grammar_mask_bench VOCAB.json.gz --json                     a JSON line per schema
// grammar_mask_bench VOCAB.json.gz --cases                    the schemas and the token walks as JSON lines, unmeasured
//
// "first" masks are those of the first text after a compile, "later" those of texts after it with the same grammar.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "engine/grammar/grammar_sources.h"
#include "engine/grammar/matcher.h"
#include "kernels/base/errors.h"
#include "kernels/base/json.h"
#include "models/tokenizer/token_vectors.h"
#include "models/tokenizer/tokenizer.h"

namespace braid {
namespace {

constexpr int kRounds = 5;

struct Case {
  std::string name;
  Json schema;
  std::string text;  // an instance as a model would write it
};

Json Parse(const std::string& text) {
  auto json = ParseJson(text);
  CHECK(json.ok()) << json.status().ToString() << text;
  return *std::move(json);
}

Json Type(const char* name) { return Json{{"type", name}}; }

Json Object(Json properties, bool all_required = true) {
  Json required = Json::array();
  for (const auto& [key, value] : properties.items()) required.push_back(key);
  Json object{{"type", "object"}, {"properties", std::move(properties)}};
  if (all_required) object["required"] = std::move(required);
  object["additionalProperties"] = false;
  return object;
}

Case Weather() {
  return {"weather, 2 fields", Object({{"city", Type("string")}, {"unit", {{"enum", {"celsius", "fahrenheit"}}}}}),
          R"({"city": "Paris", "unit": "celsius"})"};
}

Case Person() {
  Json address = Object({{"street", Type("string")}, {"zip", {{"type", "string"}, {"pattern", "^\\d{5}$"}}}});
  Json person = Object({{"name", {{"type", "string"}, {"minLength", 1}, {"maxLength", 40}}},
                        {"age", {{"type", "integer"}, {"minimum", 0}, {"maximum", 150}}},
                        {"email", {{"type", "string"}, {"pattern", "^[a-z0-9._]+@[a-z0-9.]+$"}}},
                        {"tags", {{"type", "array"}, {"items", Type("string")}, {"maxItems", 5}}},
                        {"address", std::move(address)}});
  return {"person, nested, patterns", std::move(person),
          R"({"name": "Ada Lovelace", "age": 36, "email": "ada@example.org", "tags": ["math", "engine"], )"
          R"("address": {"street": "12 St James Square", "zip": "12345"}})"};
}

Case Codes() {
  Json codes = Json::array();
  std::string chosen;
  for (int i = 0; i < 500; ++i) {
    char code[32];
    std::snprintf(code, sizeof code, "CODE-%04d-%d", i, i * 7919 % 997);
    codes.push_back(code);
    if (i == 123) chosen = code;
  }
  return {"enum of 500", Object({{"code", {{"enum", std::move(codes)}}}, {"note", Type("string")}}),
          R"({"code": ")" + chosen + R"(", "note": "ok"})"};
}

Case Tree() {
  const char* schema = R"({"$defs": {"n": {"type": "object", "properties": {"v": {"type": "number"}, "kids": {"type":
      "array", "items": {"$ref": "#/$defs/n"}}}, "required": ["v", "kids"], "additionalProperties": false}},
      "$ref": "#/$defs/n"})";
  return {"recursive tree", Parse(schema),
          R"({"v": 1.5, "kids": [{"v": 2, "kids": []}, {"v": -300000.0, "kids": [{"v": 0, "kids": []}]}]})"};
}

Case Tools() {
  Json tools = Json::array();
  for (int i = 0; i < 8; ++i) {
    Json arguments = Object({{"p0", Type("string")}, {"p1", Type("integer")}, {"p2", Type("boolean")},
                             {"p3", Type("number")}});
    tools.push_back(Object({{"name", {{"const", "tool_" + std::to_string(i)}}}, {"arguments", std::move(arguments)}}));
  }
  return {"anyOf of 8 tools", Json{{"anyOf", std::move(tools)}},
          R"({"name": "tool_5", "arguments": {"p0": "hello world", "p1": 42, "p2": true, "p3": 3.14}})"};
}

Case Optional() {
  Json fields = Json::object();
  std::string text;
  const char* const types[] = {"string", "integer", "null"};
  const char* const values[] = {"\"x\"", "1", "null"};
  for (int i = 0; i < 60; ++i) {
    char name[16];
    std::snprintf(name, sizeof name, "field_%02d", i);
    fields[name] = Type(types[i % 3]);
    if (i % 4 == 0) text += (text.empty() ? "{\"" : ", \"") + std::string(name) + "\": " + values[i % 3];
  }
  return {"60 optional fields", Object(std::move(fields), false), text + "}"};
}

Case Any() {
  return {"any JSON object", Type("object"),
          "{\"a\": [1, 2, {\"b\": \"free text \xC3\xA9 \xF0\x9F\x99\x82\"}], \"c\": null}"};
}

std::vector<Case> Cases() { return {Weather(), Person(), Codes(), Tree(), Tools(), Optional(), Any()}; }

double CpuMicros() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

Json Summary(std::vector<double> micros) {
  std::sort(micros.begin(), micros.end());
  const auto at = [&](double share) { return micros[static_cast<size_t>(static_cast<double>(micros.size()) * share)]; };
  return Json{{"n", micros.size()}, {"p50_us", at(0.5)}, {"p99_us", at(0.99)}, {"max_us", micros.back()}};
}

// Reads the walk once, adding the times of its masks and tokens.
void Walk(const std::shared_ptr<const CompiledGrammar>& grammar, const std::vector<int32_t>& ids,
          std::vector<double>* masks, std::vector<double>* tokens) {
  GrammarMatcher matcher(grammar);
  std::vector<uint32_t> words((grammar->vocabulary().size() + 31) / 32);
  for (int32_t id : ids) {
    const double begin = CpuMicros();
    matcher.FillMask(words);
    const double filled = CpuMicros();
    CHECK(words[id / 32] >> id % 32 & 1) << "token " << id << " " << grammar->vocabulary().bytes(id);
    const double before = CpuMicros();
    CHECK(matcher.AcceptToken(id));
    tokens->push_back(CpuMicros() - before);
    masks->push_back(filled - begin);
  }
  CHECK(matcher.CanEnd());
}

Json Measure(const Case& one, const std::vector<int32_t>& ids, const std::shared_ptr<const TokenVocabulary>& vocabulary) {
  std::vector<double> grammars, compiles, first, later, tokens;
  for (int round = 0; round < kRounds; ++round) {
    const double begin = CpuMicros();
    auto grammar = JsonSchemaGrammar(one.schema);
    CHECK(grammar.ok()) << one.name << ": " << grammar.status().ToString();
    const double built = CpuMicros();
    auto compiled = CompiledGrammar::Compile(*grammar, vocabulary);
    CHECK(compiled.ok()) << one.name << ": " << compiled.status().ToString();
    const double end = CpuMicros();
    grammars.push_back((built - begin) / 1e3);
    compiles.push_back((end - built) / 1e3);
    Walk(*compiled, ids, &first, &tokens);
    for (int i = 0; i < kRounds; ++i) Walk(*compiled, ids, &later, &tokens);
  }
  return Json{{"schema", one.name}, {"tokens", ids.size()},
              {"grammar_ms", *std::min_element(grammars.begin(), grammars.end())},
              {"compile_ms", *std::min_element(compiles.begin(), compiles.end())},
              {"first_compile_ms", compiles[0]}, {"first", Summary(first)}, {"later", Summary(later)},
              {"accept", Summary(tokens)}};
}

void PrintRow(const Json& row) {
  const auto us = [&](const char* part, const char* field) { return row[part][field].get<double>(); };
  std::printf("| %-24s | %5.2f | %5.2f | %6.1f / %6.1f / %6.1f | %6.1f / %6.1f / %6.1f | %4.1f / %4.1f |\n",
              row["schema"].get<std::string>().c_str(), row["grammar_ms"].get<double>(),
              row["compile_ms"].get<double>(), us("first", "p50_us"), us("first", "p99_us"), us("first", "max_us"),
              us("later", "p50_us"), us("later", "p99_us"), us("later", "max_us"), us("accept", "p50_us"),
              us("accept", "p99_us"));
}

int Run(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s VOCAB.json.gz [--end ID] [--only NAME] [--json | --cases]\n", argv[0]);
    return 2;
  }
  std::string form = "--table", only;
  int32_t end = 2;
  for (int i = 2; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--end" && i + 1 < argc) end = std::atoi(argv[++i]);
    else if (flag == "--only" && i + 1 < argc) only = argv[++i];
    else form = flag;
  }
  const auto tokenizer = Tokenizer::FromJson(ReadAll(argv[1]));
  CHECK(tokenizer.ok()) << tokenizer.status().ToString();
  std::vector<std::string> bytes;
  std::vector<bool> special;
  for (int32_t id = 0; id < (*tokenizer)->vocab_size(); ++id) {
    bytes.emplace_back((*tokenizer)->TokenBytes(id));
    special.push_back((*tokenizer)->IsSpecial(id));
  }
  const double begin = CpuMicros();
  const auto vocabulary = TokenVocabulary::Make(std::move(bytes), std::move(special), {end});
  if (form == "--table") {
    std::printf("%d tokens, vocabulary sorted in %.0f ms\n\n| schema | grammar ms | compile ms | first mask p50 / p99 / "
                "max us | later mask p50 / p99 / max us | token p50 / p99 us |\n| --- | --- | --- | --- | --- | --- |\n",
                vocabulary->size(), (CpuMicros() - begin) / 1e3);
  }
  for (const Case& one : Cases()) {
    if (!only.empty() && one.name.find(only) == std::string::npos) continue;
    const std::vector<int32_t> ids = (*tokenizer)->Encode(one.text, {});
    if (form == "--cases") {
      std::printf("%s\n", WriteJson(Json{{"schema", one.name}, {"json_schema", one.schema}, {"ids", ids}}).c_str());
      continue;
    }
    const Json row = Measure(one, ids, vocabulary);
    if (form == "--json") std::printf("%s\n", WriteJson(row).c_str());
    else PrintRow(row);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace braid

int main(int argc, char** argv) { return braid::Run(argc, argv); }
