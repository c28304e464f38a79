// What speculation gives to answers that a schema binds: the same requests with it and without, in turn, one at a time.
//
// constrained_speculation_bench MODEL [DRAFTS] [ROUNDS] [THREADS]      4 drafts, 5 rounds, all CPUs
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/grammar/grammar_sources.h"
#include "engine/testing/collector.h"
#include "kernels/base/json.h"
#include "models/text_model.h"
#include "models/weights/checkpoint.h"

namespace braid {
namespace {

const SteadyClock kClock;

struct Case {
  const char* name;
  const char* prompt;
  const char* schema;
};

constexpr Case kCases[] = {
    {"invented, long names", "Invent an employee and describe them as JSON.\n",
     R"({"type": "object", "additionalProperties": false, "properties": {"employee_first_name": {"type": "string", "maxLength": 20},
        "employee_last_name": {"type": "string", "maxLength": 20}, "department": {"enum": ["engineering", "marketing", "accounting"]},
        "years_of_experience": {"type": "integer", "minimum": 0, "maximum": 60}, "is_currently_employed": {"type": "boolean"},
        "office_location": {"type": "string", "maxLength": 20}, "preferred_programming_language": {"type": "string", "maxLength": 12}},
        "required": ["employee_first_name", "employee_last_name", "department", "years_of_experience", "is_currently_employed",
                     "office_location", "preferred_programming_language"]})"},
    {"a list from the prompt",
     "Paris is the capital of France. Rome is the capital of Italy. Madrid is the capital of Spain. Berlin is the capital of "
     "Germany.\nThe same as JSON:\n",
     R"({"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "object", "additionalProperties": false,
        "properties": {"capital": {"type": "string", "maxLength": 12}, "country": {"type": "string", "maxLength": 12}},
        "required": ["capital", "country"]}})"},
    {"any JSON object", "Describe the planet Mars as JSON.\n", R"({"type": "object"})"},
};

template <class T>
T Must(absl::StatusOr<T> value) {
  CHECK(value.ok()) << value.status();
  return *std::move(value);
}

std::shared_ptr<const TokenVocabulary> VocabularyOf(const Tokenizer& tokenizer, const std::vector<int32_t>& end_ids) {
  std::vector<std::string> bytes;
  std::vector<bool> special;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    bytes.emplace_back(tokenizer.TokenBytes(id));
    special.push_back(tokenizer.IsSpecial(id));
  }
  return TokenVocabulary::Make(std::move(bytes), std::move(special), end_ids);
}

GenerateRequest RequestOf(const Case& one, const Tokenizer& tokenizer, const std::vector<int32_t>& end_ids) {
  const Json schema = Must(ParseJson(one.schema));
  auto constraint = std::make_shared<ConstraintSpec>();
  constraint->tokenizer = &tokenizer;
  constraint->grammar = Must(CompiledGrammar::Compile(Must(JsonSchemaGrammar(schema)), VocabularyOf(tokenizer, end_ids)));
  constraint->end_ids = end_ids;
  return {.prompt = tokenizer.Encode(one.prompt, {.add_special_tokens = true}), .sampling = {.temperature = 0}, .max_tokens = 160,
          .constraint = constraint};
}

// Tokens a second from the first one on.
double SpeedOf(Engine& engine, GenerateRequest request, std::vector<int32_t>* tokens) {
  testing::Collector collector;
  request.on_event = collector.Sink();
  Must(engine.Submit(std::move(request)));
  CHECK(collector.WaitForEnd());
  const testing::Choice& choice = collector.choice();
  *tokens = choice.tokens;
  const double seconds = 1e-9 * static_cast<double>(choice.emitted_ns.back() - choice.emitted_ns.front());
  return static_cast<double>(tokens->size() - 1) / seconds;
}

struct Spread {
  double least, median, most;
  explicit Spread(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    least = values.front(), median = values[values.size() / 2], most = values.back();
  }
};

void Measure(const Case& one, Engine& plain, Engine& drafting, const Tokenizer& tokenizer, int rounds) {
  const GenerateRequest request = RequestOf(one, tokenizer, plain.info().eos_token_ids);
  const SpeculationCounters before = drafting.Stats().speculation;
  std::vector<double> without, with, ratios;
  std::vector<int32_t> expected, tokens;
  for (int round = 0; round <= rounds; ++round) {
    const double slow = SpeedOf(plain, request, &expected), fast = SpeedOf(drafting, request, &tokens);
    CHECK(tokens == expected) << one.name;
    if (round == 0) continue;  // masks are computed, pages touched
    without.push_back(slow), with.push_back(fast), ratios.push_back(fast / slow);
  }
  const SpeculationCounters after = drafting.Stats().speculation;
  const Spread a(without), b(with), ratio(ratios);
  const double drafts = static_cast<double>(after.draft_tokens - before.draft_tokens);
  std::printf("| %-24s | %3zu | %5.0f - %5.0f | %5.0f - %5.0f | %4.2f / %4.2f / %4.2f | %4.1f | %3.0f %% |\n", one.name, tokens.size(),
              a.least, a.most, b.least, b.most, ratio.least, ratio.median, ratio.most, drafts / (rounds + 1),
              100 * static_cast<double>(after.accepted_tokens - before.accepted_tokens) / std::max(drafts, 1.0));
  std::fflush(stdout);
}

int Run(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s MODEL [DRAFTS] [ROUNDS] [THREADS]\n", argv[0]);
    return 2;
  }
  const auto number = [&](int at, int otherwise) { return argc > at ? std::atoi(argv[at]) : otherwise; };
  const auto checkpoint = Must(Checkpoint::Open(argv[1]));
  const TextModel text = Must(LoadTextModel(*checkpoint));
  CHECK(text.tokenizer != nullptr) << "no tokenizer in " << argv[1];
  EngineConfig config{.model = argv[1], .threads = number(4, 0), .memory_bytes = int64_t{256} << 20, .max_model_len = 1024};
  config.scheduler.max_sequences = 8;
  config.scheduler.prefix_cache = false;
  const auto plain = Must(Engine::Start(config, *checkpoint, &kClock));
  config.scheduler.max_drafts = number(2, 4);
  const auto drafting = Must(Engine::Start(config, *Must(Checkpoint::Open(argv[1])), &kClock));
  std::printf("| schema | tokens | without, tok/s | with, tok/s | ratio min / median / max | drafts | held |\n|---|---|---|---|---|---|---|\n");
  for (const Case& one : kCases) Measure(one, *plain, *drafting, *text.tokenizer, number(3, 5));
  return 0;
}

}  // namespace
}  // namespace braid

int main(int argc, char** argv) { return braid::Run(argc, argv); }
