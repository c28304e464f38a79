#include "models/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "models/tokenizer/unicode.h"

namespace braid {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A byte-level vocabulary of a, b, "ab" and a space, with two added tokens and <s> in front.
constexpr std::string_view kSmall = R"({
  "added_tokens": [
    {"id": 4, "content": "<s>", "special": true},
    {"id": 5, "content": "<tool>", "special": false, "normalized": false}
  ],
  "normalizer": null,
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "\\s?b+|a+"}, "behavior": "Isolated", "invert": false},
    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}}},
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "aa": 2, "Ġ": 3}, "merges": ["a a"]}
})";

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  CHECK(at != std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string ErrorOf(const std::string& json, const std::string& config = "") {
  const auto tokenizer = Tokenizer::FromJson(json, config);
  return tokenizer.ok() ? "OK" : tokenizer.status().ToString();
}

std::unique_ptr<Tokenizer> Load(std::string_view json, std::string_view config = {}) {
  auto tokenizer = Tokenizer::FromJson(json, config);
  CHECK(tokenizer.ok()) << tokenizer.status().ToString();
  return *std::move(tokenizer);
}

TEST(Tokenizer, EncodesAndDecodes) {
  const auto t = Load(kSmall);
  EXPECT_THAT(t->Encode("aaab b", {}), ElementsAre(2, 0, 1, 3, 1));
  EXPECT_THAT(t->Encode("a", {.add_special_tokens = true}), ElementsAre(4, 0));
  EXPECT_EQ(t->Decode(std::vector<int32_t>{4, 2, 3, 1, 99, -1}, false), "<s>aa b");
  EXPECT_EQ(t->Decode(std::vector<int32_t>{4, 2, 3, 1}, true), "aa b");
  EXPECT_TRUE(t->Encode("", {}).empty());
}

TEST(Tokenizer, FindsAddedTokensInTheTextAndSpecialOnesOnlyWhenAsked) {
  const auto t = Load(kSmall);
  EXPECT_THAT(t->Encode("a<tool>b<s>", {}), ElementsAre(0, 5, 1, 4));
  EXPECT_THAT(t->Encode("a<tool>b<s>", {.parse_special_tokens = false}), ElementsAre(0, 5, 1));
}

TEST(Tokenizer, AnswersForSingleTokens) {
  const auto t = Load(kSmall);
  EXPECT_EQ(t->vocab_size(), 6);
  EXPECT_EQ(t->TokenBytes(3), " ");
  EXPECT_EQ(t->TokenString(3), "Ġ");
  EXPECT_EQ(t->TokenBytes(4), "<s>");
  EXPECT_EQ(t->TokenBytes(-1), "");
  EXPECT_EQ(t->TokenBytes(6), "");
  EXPECT_TRUE(t->IsSpecial(4));
  EXPECT_FALSE(t->IsSpecial(5));
  EXPECT_FALSE(t->IsSpecial(1 << 30));
  EXPECT_EQ(t->IdOf("<tool>"), 5);
  EXPECT_EQ(t->IdOf("no such token"), std::nullopt);
}

TEST(Tokenizer, TakesBosAndEosFromTheConfiguration) {
  EXPECT_EQ(Load(kSmall)->bos_id(), 4);
  EXPECT_EQ(Load(kSmall)->eos_id(), std::nullopt);
  const auto t = Load(kSmall, R"({"bos_token": "<s>", "eos_token": {"content": "<tool>"}, "add_bos_token": false,
                                  "add_eos_token": true})");
  EXPECT_EQ(t->bos_token(), "<s>");
  EXPECT_EQ(t->eos_token(), "<tool>");
  EXPECT_THAT(t->Encode("a", {.add_special_tokens = true}), ElementsAre(0, 5));
}

TEST(Tokenizer, ErrorsNameTheField) {
  const std::string json(kSmall);
  EXPECT_THAT(ErrorOf("{"), HasSubstr("tokenizer.json: JSON"));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("document is array; it must be an object"));
  EXPECT_THAT(ErrorOf(Replaced(json, "\"BPE\"", "\"WordPiece\"")),
              HasSubstr("UNIMPLEMENTED: tokenizer.json: model.type"));
  EXPECT_THAT(ErrorOf(Replaced(json, "[\"a a\"]", "[\"a c\"]")), HasSubstr("model.merges[0] is \"a c\"; it must be"));
  EXPECT_THAT(ErrorOf(Replaced(json, "[\"a a\"]", "[\"a a\", 3]")), HasSubstr("model.merges[1]"));
  EXPECT_THAT(ErrorOf(Replaced(json, "\"aa\": 2", "\"aa\": -2")), HasSubstr("\"aa\" has id -2"));
  EXPECT_THAT(ErrorOf(Replaced(json, "\"aa\": 2", "\"aa\": 99999999999")), HasSubstr("has id 99999999999"));
  EXPECT_THAT(ErrorOf(Replaced(json, "\"aa\": 2", "\"aa\": 4000000")), HasSubstr("has id 4000000; ids are 0 to 262167"));
  EXPECT_THAT(ErrorOf(Replaced(json, "\"id\": 5", "\"id\": 262168")), HasSubstr("has id 262168; ids are 0 to 262167"));
  EXPECT_THAT(ErrorOf(Replaced(json, "\"type\": \"ByteLevel\"}", "\"type\": \"Strip\", \"content\": \"ab\"}")),
              HasSubstr("decoder.content is \"ab\"; it must be one character"));
  EXPECT_THAT(ErrorOf(Replaced(json, "\"aa\": 2", "\"aa\": 2.5")), HasSubstr("model.vocab[\"aa\"]"));
  EXPECT_THAT(ErrorOf(Replaced(json, "\"aa\": 2", "\"aa\": 1")), HasSubstr("id 1 is given to"));
  EXPECT_THAT(ErrorOf(Replaced(json, "\\\\s?b+", "(b+")), HasSubstr("pre_tokenizer.pretokenizers[0].pattern"));
  EXPECT_THAT(ErrorOf(Replaced(json, "\"Isolated\"", "\"Sideways\"")), HasSubstr("behavior is \"Sideways\""));
  EXPECT_THAT(ErrorOf(Replaced(json, "\"normalizer\": null", "\"normalizer\": {\"type\": \"Odd\"}")),
              HasSubstr("normalizer.type \"Odd\" is not supported"));
  EXPECT_THAT(ErrorOf(Replaced(json, "\"ids\": [4]", "\"ids\": [6]")), HasSubstr("ids[0] is 6; it must be"));
  EXPECT_THAT(ErrorOf(Replaced(json, "\"special\": true", "\"special\": \"yes\"")),
              HasSubstr("added_tokens[0].special"));
  EXPECT_THAT(ErrorOf(json, "3"), HasSubstr("tokenizer_config is 3"));
}

TEST(Tokenizer, GgufErrorsNameTheKey) {
  const auto error = [](const GgufVocabulary& v) { return std::string(Tokenizer::FromGguf(v).status().message()); };
  GgufVocabulary v{.model = "gpt2", .pre = "gpt-2", .tokens = {"a", "b", "ab"}, .merges = {"a b"}};
  EXPECT_TRUE(Tokenizer::FromGguf(v).ok());
  GgufVocabulary wrong = v;
  wrong.merges = {"a c"};
  EXPECT_THAT(error(wrong), HasSubstr("tokenizer.ggml.merges[0]"));
  wrong = v;
  wrong.pre = "nobody";
  EXPECT_THAT(error(wrong), HasSubstr("tokenizer.ggml.pre is \"nobody\""));
  wrong = v;
  wrong.model = "rwkv";
  EXPECT_THAT(error(wrong), HasSubstr("tokenizer.ggml.model is \"rwkv\""));
  wrong = v;
  wrong.bos_id = 3;
  EXPECT_THAT(error(wrong), HasSubstr("tokenizer.ggml.bos_token_id is 3"));
  wrong = v;
  wrong.model = "llama";
  EXPECT_THAT(error(wrong), HasSubstr("tokenizer.ggml.scores has 0"));
  wrong = v;
  wrong.token_types = {1};
  EXPECT_THAT(error(wrong), HasSubstr("tokenizer.ggml.token_type has 1"));
}

TEST(Tokenizer, LongPiecesMergeAsShortOnes) {
  const auto t = Load(kSmall);
  const auto ids = t->Encode(std::string(100'001, 'a'), {});
  ASSERT_EQ(ids.size(), 50'001u);
  EXPECT_EQ(ids[0], 2);
  EXPECT_EQ(ids.back(), 0);
}

TEST(Tokenizer, AHostileExpressionEndsAtItsStepLimit) {
  const auto t = Load(Replaced(std::string(kSmall), "\\\\s?b+|a+", "(a|aa)+$"));
  EXPECT_FALSE(t->Encode(absl::StrCat(std::string(2'000, 'a'), "b"), {}).empty());
}

// A Sequence of `count` steps.
std::string Repeated(const std::string& list, const std::string& step, int count) {
  std::string steps = step;
  for (int i = 1; i < count; ++i) steps += ", " + step;
  return "{\"type\": \"Sequence\", \"" + list + "\": [" + steps + "]}";
}

TEST(Tokenizer, StepsDoNotMultiplyATextWithoutBound) {
  const auto normalized = [](const std::string& step, int count) {
    return Replaced(std::string(kSmall), "\"normalizer\": null", "\"normalizer\": " + Repeated("normalizers", step, count));
  };
  const std::string doubles = R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})";
  EXPECT_EQ(Load(normalized(doubles, 7))->Encode("a", {}).size(), 64u);  // pairs
  EXPECT_THAT(ErrorOf(normalized(doubles, 8)), HasSubstr("normalizer is object; it must be steps that make a text at most 4096"));
  EXPECT_THAT(ErrorOf(normalized(R"({"type": "Replace", "pattern": {"Regex": "x*"}, "content": "abc"})", 7)), HasSubstr("at most 4096"));
  EXPECT_THAT(ErrorOf(normalized(R"({"type": "ByteLevel"})", 13)), HasSubstr("at most 4096"));
  const auto split = [](const std::string& step, int count) {
    const std::string json(kSmall);
    const size_t at = json.find("{\"type\": \"Sequence\""), end = json.find("\"post_processor\"");
    return json.substr(0, at) + Repeated("pretokenizers", step, count) + "," + json.substr(end);
  };
  const std::string level = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})";
  EXPECT_EQ(ErrorOf(split(level, 12)), "OK");
  EXPECT_THAT(ErrorOf(split(level, 13)), HasSubstr("pre_tokenizer is object; it must be steps that make"));
  EXPECT_THAT(ErrorOf(split(R"({"type": "Metaspace"})", 6)), HasSubstr("at most 4096"));
  const std::string replace = R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aaa"})";
  EXPECT_THAT(ErrorOf(Replaced(std::string(kSmall), "{\"type\": \"ByteLevel\"}", Repeated("decoders", replace, 7))),
              HasSubstr("decoder is object; it must be steps that make"));
}

// In time that grows with the length: these would take hours by its square.
TEST(Tokenizer, LongRunsOfSpacesThatAreTokensAreReadOnce) {
  const auto t = Load(Replaced(std::string(kSmall), "\"<tool>\", \"special\": false",
                               "\" \", \"special\": false, \"lstrip\": true, \"rstrip\": true"));
  const auto ids = t->Encode("a" + std::string(1'000'000, ' ') + "b", {});
  ASSERT_EQ(ids.size(), 1'000'002u);
  EXPECT_EQ(ids[1], 5);
  EXPECT_EQ(ids[1'000'000], 5);
}

TEST(Tokenizer, LongRunsOfWhatTheDecoderStripsAreReadOnce) {
  const auto t = Load(Replaced(std::string(kSmall), "{\"type\": \"ByteLevel\"}",
                               Repeated("decoders", R"({"type": "Fuse"}, {"type": "Strip", "content": "a", "stop": 400000})", 1)));
  std::vector<int32_t> ids(500'000, 0);
  EXPECT_EQ(t->Decode(ids, false), std::string(100'000, 'a'));
  ids.insert(ids.end(), {1, 2, 0, 0});
  EXPECT_EQ(t->Decode(ids, false), std::string(500'000, 'a') + "b");
  ids.insert(ids.end(), {2, 1});
  EXPECT_EQ(t->Decode(ids, false), std::string(500'000, 'a') + "b" + std::string(6, 'a') + "b");
}

// Edits of a file that keep it near JSON, so that many get past the parser.
void Mutate(std::string* json, std::mt19937* random) {
  static const std::string kWords[] = {"null",         "-1",        "{}",      "[]",
                                       "\"\"",         "1e99",      "true",    "4194304",
                                       "\"Sequence\"", "\"Regex\"", "\\u0000", "{\"type\": \"NFC\"}",
                                       "\xC3",         "]",         ","};
  const size_t at = (*random)() % json->size();
  const std::string& word = kWords[(*random)() % std::size(kWords)];
  switch ((*random)() % 5) {
    case 0:
      (*json)[at] = static_cast<char>((*random)() % 128);
      break;
    case 1:
      json->erase(at, (*random)() % 20);
      break;
    case 2:
      json->insert(at, json->substr((*random)() % json->size(), (*random)() % 40));
      break;
    case 3:
      json->insert(at, word);
      break;
    default:  // a whole value
      if (const size_t colon = json->find(':', at); colon != std::string::npos) {
        const size_t end = json->find_first_of(",}", colon);
        json->replace(colon + 1, end - colon - 1, word);
      }
  }
  if (json->empty()) *json = " ";
}

TEST(Tokenizer, SurvivesMutatedFiles) {
  std::mt19937 random(1);
  int loaded = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string json(kSmall);
    for (size_t n = random() % 3 + 1; n > 0; --n) Mutate(&json, &random);
    const auto t = Tokenizer::FromJson(json, round % 2 ? json : "");
    if (!t.ok()) continue;
    ++loaded;
    const auto ids = (*t)->Encode("<s> ab\xFF aaa\u00E9b <tool>", {.add_special_tokens = true});
    ASSERT_TRUE(IsWellFormed((*t)->Decode(ids, false)));
    for (int32_t id = -1; id <= std::min((*t)->vocab_size(), 20); ++id) (*t)->TokenBytes(id);
  }
  EXPECT_GT(loaded, 500);
}

}  // namespace
}  // namespace braid
