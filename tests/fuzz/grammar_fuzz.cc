// A JSON schema or, where it is no JSON, a grammar in EBNF; behind the line a text.
#include "engine/grammar/grammar_sources.h"
#include "kernels/base/json.h"
#include "tests/fuzz/walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace braid;
  const auto [source, text] = fuzz::Halves(fuzz::Text(data, size));
  const auto json = ParseJson(source);
  if (!json.ok()) {
    const auto grammar = EbnfGrammar(source);
    fuzz::CheckRefusal(grammar.status());
    if (grammar.ok()) fuzz::Walk(*grammar, text);
    return 0;
  }
  for (const JsonSpace space : {JsonSpace::kFlexible, JsonSpace::kCompact}) {
    const auto grammar = JsonSchemaGrammar(*json, {.space = space});
    fuzz::CheckRefusal(grammar.status());
    if (grammar.ok() && fuzz::Walk(*grammar, text)) CHECK(ParseJson(text).ok()) << "a sentence that is no JSON";
  }
  return 0;
}
