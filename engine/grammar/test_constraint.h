// For tests: constraints over a vocabulary of eleven tokens.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/grammar/grammar_sources.h"
#include "engine/grammar/token_constraint.h"
#include "kernels/base/errors.h"
#include "kernels/base/json.h"

namespace braid::testing {

// Ids: 0..9 the tokens below, 10 the end.
inline const std::vector<std::string> kTokens = {"a", "b", "ab", "\n", "x", "</think>", "<think>", "</", "think>", " a", "<end>"};
inline constexpr int kVocab = 11, kEnd = 10, kClose = 5, kOpen = 6;

inline std::unique_ptr<Tokenizer> MakeTokenizer() {
  Json vocab = Json::object(), added = Json::array();
  for (int id = 0; id < kVocab; ++id) {
    std::string spelled = kTokens[id] == "\n" ? "\xc4\x8a" : kTokens[id];
    if (spelled[0] == ' ') spelled = "\xc4\xa0" + spelled.substr(1);
    vocab[spelled] = id;
    if (id != kClose && id != kOpen && id != kEnd) continue;
    added.push_back(Json{{"id", id}, {"content", kTokens[id]}, {"special", true}, {"single_word", false},
                         {"lstrip", false}, {"rstrip", false}, {"normalized", false}});
  }
  Json json;
  const Json level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  json["version"] = "1.0";
  json["added_tokens"] = added;
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = level;
  json["post_processor"] = nullptr;
  json["decoder"] = level;
  json["model"] = Json{{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}};
  auto tokenizer = Tokenizer::FromJson(WriteJson(json));
  CHECK(tokenizer.ok()) << tokenizer.status().ToString();
  return *std::move(tokenizer);
}

class ConstraintTest : public ::testing::Test {
 protected:
  ConstraintTest() : tokenizer_(MakeTokenizer()) {
    spec_.tokenizer = tokenizer_.get();
    spec_.end_ids = {kEnd};
  }
  void SetRegex(const char* pattern) {
    std::vector<bool> special(kVocab);
    special[kClose] = special[kOpen] = special[kEnd] = true;
    auto vocabulary = TokenVocabulary::Make(kTokens, special, {kEnd});
    auto grammar = RegexGrammar(pattern);
    CHECK(grammar.ok()) << grammar.status().ToString();
    auto compiled = CompiledGrammar::Compile(*std::move(grammar), vocabulary);
    CHECK(compiled.ok()) << compiled.status().ToString();
    spec_.grammar = *compiled;
  }
  void SetReasoning(bool inside, int budget, int grace = 0) {
    spec_.starts_in_reasoning = inside;
    spec_.reasoning_begin = inside ? -1 : kOpen;
    spec_.reasoning_end = "</think>";
    spec_.closing_ids = {kClose};
    spec_.thinking_budget = budget;
    spec_.thinking_grace = grace;
  }
  TokenConstraint Make() { return TokenConstraint(std::make_shared<ConstraintSpec>(spec_)); }

  // The ids of its mask; {-1} for none.
  static std::set<int> Ids(const TokenConstraint& constraint) {
    std::vector<uint32_t> mask((kVocab + 31) / 32);
    if (!constraint.FillMask(mask)) return {-1};
    std::set<int> out;
    for (int id = 0; id < kVocab; ++id) {
      if (mask[id / 32] >> (id % 32) & 1) out.insert(id);
    }
    return out;
  }

  const std::unique_ptr<Tokenizer> tokenizer_;
  ConstraintSpec spec_;
};

}  // namespace braid::testing
