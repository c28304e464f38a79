// The rows of tests/data/structured and, where BRAID_ORACLES is set, of its larger sets: schemas, regular expressions
// and EBNF with texts that they have to accept and reject.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>

#include "engine/grammar/grammar_sources.h"
#include "engine/grammar/matcher.h"
#include "engine/grammar/test_recogniser.h"

namespace braid {
namespace {

std::vector<Json> Rows(const std::string& folder, const std::string& name) {
  std::ifstream file(folder + "/" + name);
  std::vector<Json> rows;
  for (std::string line; std::getline(file, line);) {
    auto row = ParseJson(line);
    EXPECT_TRUE(row.ok()) << row.status() << line.substr(0, 80);
    if (row.ok()) rows.push_back(*std::move(row));
  }
  EXPECT_FALSE(rows.empty()) << folder << "/" << name;
  return rows;
}

std::string ShippedFolder() { return BRAID_SOURCE_DIR "/tests/data/structured"; }

// Empty where BRAID_ORACLES is not set.
std::string LargerFolder() {
  const char* oracles = std::getenv("BRAID_ORACLES");
  return oracles == nullptr ? "" : std::string(oracles) + "/structured";
}

// One token a byte, and one that ends.
std::shared_ptr<const TokenVocabulary> Bytes() {
  static const auto vocabulary = [] {
    std::vector<std::string> bytes(257);
    for (int byte = 0; byte < 256; ++byte) bytes[byte] = std::string(1, static_cast<char>(byte));
    return TokenVocabulary::Make(std::move(bytes), std::vector<bool>(257), {256});
  }();
  return vocabulary;
}

// What the matcher makes of a text, byte by byte and by its masks. A grammar that it refuses has no texts.
bool Matches(const Grammar& grammar, const std::string& text) {
  auto compiled = CompiledGrammar::Compile(grammar, Bytes());
  if (!compiled.ok()) return false;
  GrammarMatcher matcher(*compiled);
  std::vector<uint32_t> mask(9);
  for (const char c : text) {
    const uint8_t byte = static_cast<uint8_t>(c);
    matcher.FillMask(mask);
    const bool allowed = (mask[byte / 32] >> (byte % 32) & 1) != 0;
    EXPECT_EQ(allowed, matcher.AcceptBytes(std::string_view(&c, 1))) << text;
    if (!allowed) return false;
  }
  return matcher.CanEnd();
}

// The texts of the row that the grammar gets wrong.
std::vector<std::string> Wrong(const Grammar& grammar, const Json& row, const char* valid, const char* invalid) {
  std::vector<std::string> wrong;
  for (const Json& text : row[valid]) {
    if (!Recognises(grammar, text.get<std::string>())) wrong.push_back("rejects " + text.get<std::string>());
    if (!Matches(grammar, text.get<std::string>())) wrong.push_back("the matcher rejects " + text.get<std::string>());
  }
  for (const Json& text : row[invalid]) {
    if (Recognises(grammar, text.get<std::string>())) wrong.push_back("accepts " + text.get<std::string>());
    if (Matches(grammar, text.get<std::string>())) wrong.push_back("the matcher accepts " + text.get<std::string>());
  }
  return wrong;
}

struct Counts {
  int right = 0, refused = 0, wrong = 0;
};

void CheckSchemas(const std::string& folder) {
  std::map<std::string, Counts> counts;
  for (const Json& row : Rows(folder, "schemas.jsonl")) {
    const std::string tier = row["tier"], id = row["id"];
    const auto grammar = JsonSchemaGrammar(row["schema"]);
    if (!grammar.ok()) {
      ++counts[tier].refused;
      EXPECT_TRUE(absl::IsInvalidArgument(grammar.status()));
      EXPECT_NE(tier, "core") << id << ": " << grammar.status();
      if (std::getenv("BRAID_SHOW_REFUSED")) std::cout << id << ": " << grammar.status().message() << "\n";
      continue;
    }
    const auto wrong = Wrong(*grammar, row, "valid", "invalid");
    ++(wrong.empty() ? counts[tier].right : counts[tier].wrong);
    EXPECT_THAT(wrong, testing::IsEmpty()) << id << " (" << tier << ")";
  }
  for (const auto& [tier, count] : counts) {
    std::cout << "schemas, " << tier << ": " << count.right << " right, " << count.refused << " refused, "
              << count.wrong << " wrong\n";
  }
}

template <class Compile>
void CheckTexts(const std::string& folder, const char* name, const char* field, const Compile& compile) {
  Counts counts;
  for (const Json& row : Rows(folder, name)) {
    const auto grammar = compile(row[field].template get<std::string>());
    if (row.contains("refuse")) {
      EXPECT_FALSE(grammar.ok()) << row[field] << ": " << row["refuse"];
      ++(grammar.ok() ? counts.wrong : counts.refused);
      continue;
    }
    EXPECT_TRUE(grammar.ok()) << row[field] << ": " << grammar.status();
    if (!grammar.ok()) {
      ++counts.wrong;
      continue;
    }
    const auto wrong = Wrong(*grammar, row, "accept", "reject");
    EXPECT_THAT(wrong, testing::IsEmpty()) << row[field];
    ++(wrong.empty() ? counts.right : counts.wrong);
  }
  std::cout << name << ": " << counts.right << " right, " << counts.refused << " refused, " << counts.wrong
            << " wrong\n";
}

TEST(StructuredRows, SchemasAreEnforcedOrRefused) { CheckSchemas(ShippedFolder()); }

TEST(StructuredRows, AllSchemasAreEnforcedOrRefused) {
  if (LargerFolder().empty()) GTEST_SKIP() << "BRAID_ORACLES is not set";
  CheckSchemas(LargerFolder());
}

TEST(StructuredRows, RegularExpressionsMatchAsPythonDoes) {
  CheckTexts(ShippedFolder(), "regex.jsonl", "regex", RegexGrammar);
}

TEST(StructuredRows, EbnfMatchesAsLlamaCppDoes) { CheckTexts(ShippedFolder(), "ebnf.jsonl", "grammar", EbnfGrammar); }

// The same texts without any white space, and spread over lines.
TEST(StructuredRows, WhiteSpaceIsTheOptions) {
  for (const Json& row : Rows(ShippedFolder(), "schemas.jsonl")) {
    const auto compact = JsonSchemaGrammar(row["schema"], {JsonSpace::kCompact});
    const auto spaced = JsonSchemaGrammar(row["schema"], {JsonSpace::kOneSpace});
    const auto flexible = JsonSchemaGrammar(row["schema"]);
    ASSERT_EQ(compact.ok(), flexible.ok());
    if (!compact.ok() || row["tier"] != "core") continue;
    for (const Json& text : row["valid"]) {
      const auto value = ParseJson(text.get<std::string>());
      ASSERT_TRUE(value.ok());
      if (value->is_number()) continue;  // 300.0 is written as 300 here
      EXPECT_TRUE(Recognises(*compact, value->dump())) << row["id"] << value->dump();
      EXPECT_TRUE(Recognises(*spaced, text.get<std::string>())) << row["id"] << text;
      const std::string lines = value->dump(1);
      if (lines.find("\n            ") != std::string::npos) continue;
      EXPECT_TRUE(Recognises(*flexible, lines)) << row["id"] << lines;
      EXPECT_EQ(Recognises(*compact, lines), lines == value->dump()) << row["id"] << lines;
    }
  }
}

}  // namespace
}  // namespace braid
