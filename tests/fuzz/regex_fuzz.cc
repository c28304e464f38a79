// A regular expression, and behind the line a text: as a grammar of its own and as a schema's pattern.
#include "engine/grammar/grammar_sources.h"
#include "kernels/base/json.h"
#include "tests/fuzz/walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace braid;
  const auto [pattern, text] = fuzz::Halves(fuzz::Text(data, size));
  const auto grammar = RegexGrammar(pattern);
  fuzz::CheckRefusal(grammar.status());
  if (!grammar.ok()) return 0;
  const bool matches = fuzz::Walk(*grammar, text);
  const std::string anchored = absl::StrCat("^(?:", std::string(pattern), ")$");
  const auto schema = JsonSchemaGrammar(Json{{"type", "string"}, {"pattern", anchored}}, {.space = JsonSpace::kCompact});
  fuzz::CheckRefusal(schema.status());
  if (!schema.ok()) return 0;
  const bool spelled = fuzz::Walk(*schema, WriteJson(Json(std::string(text))));
  if (matches) CHECK(spelled) << "as a pattern it does not match";
  return 0;
}
