// For tests: constraints over the tiny checkpoints' ids, whose first 256 are taken for bytes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/grammar/grammar_sources.h"
#include "engine/grammar/token_constraint.h"
#include "kernels/base/errors.h"
#include "kernels/base/json.h"

namespace braid::testing {

// Ids: bytes, but for the end; then words, the last of which are no text of a grammar.
inline constexpr int kEndId = 2;
inline const std::vector<std::string> kWords = {"\"name\"", "name", "\": ", "\", \"", "ab", "abc", "alpha", "true", "false",
                                                "[1", "xyz", "th", "</th", "ink>"};
inline constexpr int kFirstWord = 256, kOpenClosing = kFirstWord + 12, kEndClosing = kFirstWord + 13;

inline std::string SpellingOf(int id) {
  if (id == kEndId) return "<end>";
  if (id < kFirstWord) return std::string(1, static_cast<char>(id));
  const size_t word = static_cast<size_t>(id - kFirstWord);
  return word < kWords.size() ? kWords[word] : "";
}

inline std::shared_ptr<const TokenVocabulary> WordVocabulary(int vocab_size) {
  std::vector<std::string> bytes;
  for (int id = 0; id < vocab_size; ++id) bytes.push_back(SpellingOf(id));
  std::vector<bool> special(bytes.size());
  special[kEndId] = special[kOpenClosing] = special[kEndClosing] = true;
  return TokenVocabulary::Make(std::move(bytes), std::move(special), {kEndId});
}

// The spellings, for what is read of the reasoning; bytes that are no ASCII letters have names.
inline const Tokenizer& WordTokenizer() {
  static const std::unique_ptr<Tokenizer> tokenizer = [] {
    Json vocab = Json::object();
    for (int id = 0; id < kFirstWord + static_cast<int>(kWords.size()); ++id) {
      const bool plain = id > 0x20 && id < 0x7f;
      const std::string name = "byte" + std::to_string(id);
      vocab[id == '\n' ? "\xc4\x8a" : plain || id >= kFirstWord ? SpellingOf(id) : name] = id;
    }
    Json json;
    const Json level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
    json["version"] = "1.0";
    json["added_tokens"] = Json::array();
    json["normalizer"] = json["post_processor"] = nullptr;
    json["pre_tokenizer"] = json["decoder"] = level;
    json["model"] = Json{{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}};
    auto made = Tokenizer::FromJson(WriteJson(json));
    CHECK(made.ok()) << made.status();
    return *std::move(made);
  }();
  return *tokenizer;
}

inline ConstraintSpec Bound(const absl::StatusOr<Grammar>& grammar, int vocab_size) {
  CHECK(grammar.ok()) << grammar.status();
  auto compiled = CompiledGrammar::Compile(*grammar, WordVocabulary(vocab_size));
  CHECK(compiled.ok()) << compiled.status();
  return {.tokenizer = &WordTokenizer(), .grammar = *compiled, .end_ids = {kEndId}};
}

inline ConstraintSpec BoundByRegex(const char* pattern, int vocab_size) { return Bound(RegexGrammar(pattern), vocab_size); }

inline ConstraintSpec BoundBySchema(int vocab_size) {
  const auto schema = ParseJson(R"({"type": "object", "additionalProperties": false, "properties": {
      "name": {"type": "string", "maxLength": 8, "pattern": "^[a-z]*$"}, "count": {"type": "integer", "minimum": 0, "maximum": 99999},
      "kind": {"enum": ["alphabet", "alphanumeric", "beta"]}, "list": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}},
      "required": ["name", "count", "kind", "list"]})");
  CHECK(schema.ok()) << schema.status();
  return Bound(JsonSchemaGrammar(*schema, {.space = JsonSpace::kOneSpace}), vocab_size);
}

inline ConstraintSpec BoundByChoices(int vocab_size) {
  const std::vector<std::string> choices = {"the first of all the ways to say it", "the second of the ways", "another", "no"};
  return Bound(ChoiceGrammar(choices), vocab_size);
}

// Lists in lists, without an end that must come.
inline ConstraintSpec BoundByEbnf(int vocab_size) {
  return Bound(EbnfGrammar("root ::= \"[\" item (\", \" item)* \"]\"\nitem ::= [a-z]{1,5} | root | \"true\""), vocab_size);
}

// Reasoning that is closed by two tokens after `budget` and, perhaps, the line it is in; then a bound answer or a free one.
inline ConstraintSpec AfterReasoning(ConstraintSpec answer, int budget, int grace) {
  answer.tokenizer = &WordTokenizer();
  answer.starts_in_reasoning = true;
  answer.reasoning_end = "</think>";
  answer.closing_ids = {kOpenClosing, kEndClosing};
  answer.thinking_budget = budget;
  answer.thinking_grace = grace;
  return answer;
}

}  // namespace braid::testing
