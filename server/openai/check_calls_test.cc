#include "server/openai/check_calls.h"

#include <gtest/gtest.h>

#include "server/status_mapping.h"

namespace braid {
namespace {

Json Parsed(const std::string& text) {
  auto json = ParseJson(text);
  EXPECT_TRUE(json.ok()) << text;
  return json.ok() ? *std::move(json) : Json();
}

TEST(CheckGrammar, SaysWhichTextsAreSentences) {
  const char* bodies[] = {R"({"regex":"ab+","texts":["ab","abb","a","abx",""]})",
                          R"({"ebnf":"root ::= \"a\" \"b\"+","texts":["ab","abb","a","abx",""]})"};
  for (const char* body : bodies) {
    const auto answer = CheckGrammar(Parsed(body));
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(*answer, R"({"accepted":[true,true,false,false,false]})");
  }
  const auto schema = CheckGrammar(Parsed(R"({"json_schema":{"type":"integer"},"texts":["1","-20","1.5","true"]})"));
  EXPECT_EQ(*schema, R"({"accepted":[true,true,false,false]})");
  EXPECT_EQ(*CheckGrammar(Parsed(R"({"json_schema":false,"texts":["1"]})")), R"({"accepted":[false]})");
}

TEST(CheckGrammar, RefusesWhatItCannotEnforce) {
  for (const char* body : {R"({"texts":[]})", R"({"regex":"a"})", R"({"regex":"a","ebnf":"b","texts":[]})", R"({"regex":1,"texts":[]})",
                           R"({"regex":"(?=a)b","texts":["b"]})", R"({"json_schema":{"uniqueItems":true},"texts":[]})", R"({"regex":"a","texts":[1]})"}) {
    const auto answer = CheckGrammar(Parsed(body));
    ASSERT_FALSE(answer.ok()) << body;
    EXPECT_EQ(HttpStatusOf(answer.status()), 400);
  }
}

TEST(ParseOutputText, GivesTheSameForTextAndChunks) {
  const std::string whole = R"({"family":"hermes","tools":[],"text":"<think>a</think>b<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>"})";
  const std::string cut = R"({"family":"hermes","tools":[],"chunks":["<thi","nk>a</","think>b<tool_","call>\n{\"name\": \"f\", \"argu","ments\": {\"x\": 1}}\n</tool_call>"]})";
  const auto first = ParseOutputText(Parsed(whole)), second = ParseOutputText(Parsed(cut));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*first, *second);
  const Json answer = Parsed(*first);
  EXPECT_EQ(answer["content"], "b");
  EXPECT_EQ(answer["reasoning_content"], "a");
  EXPECT_EQ(answer["tool_calls"][0]["name"], "f");
  EXPECT_EQ(Parsed(answer["tool_calls"][0]["arguments"]), (Json{{"x", 1}}));
  EXPECT_FALSE(ParseOutputText(Parsed(R"({"family":"x","text":""})")).ok());
  EXPECT_FALSE(ParseOutputText(Parsed(R"({"family":"hermes"})")).ok());
}

TEST(RenderOwnTemplate, RendersMessagesOrAWholeContext) {
  const auto prompt = [](const std::string& body) {
    const auto answer = RenderOwnTemplate(Parsed(body));
    return answer.ok() ? Parsed(*answer)["prompt"].get<std::string>() : "error: " + std::string(answer.status().message());
  };
  EXPECT_EQ(prompt(R"({"chat_template":"{{ bos_token }}{{ messages[0].content }}","bos_token":"<s>","messages":[{"role":"user","content":"hi"}]})"), "<s>hi");
  EXPECT_EQ(prompt(R"({"chat_template":"{{ a + 1 }}","context":{"a":1}})"), "2");
  EXPECT_EQ(prompt(R"({"chat_template":"{{ strftime_now('%Y-%m-%d %H') }}","now":"2026-11-23T08:00:00","messages":[]})"), "2026-11-23 08");
  EXPECT_EQ(prompt(R"({"chat_template":"{{ raise_exception('no') }}","messages":[]})"), "error: no");
}

}  // namespace
}  // namespace braid
