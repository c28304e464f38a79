#include "models/chat/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

namespace braid {
namespace {

constexpr int64_t kClock = 1795420800;  // 2026-11-23 08:00:00 UTC

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Json Parsed(const std::string& text) {
  const absl::StatusOr<Json> json = ParseJson(text);
  EXPECT_TRUE(json.ok()) << json.status();
  return json.ok() ? *json : Json();
}

std::unique_ptr<ChatTemplate> Template(std::string_view source) {
  auto parsed = ChatTemplate::Parse(source, "<s>", "</s>");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return *std::move(parsed);
}

void ExpectCase(const Json& row, const std::string& source, const Json& conversation) {
  const std::string name = row["template"].get<std::string>() + " over " + row["conversation"].get<std::string>();
  const auto chat_template = ChatTemplate::Parse(source, row["bos_token"], row["eos_token"]);
  ASSERT_TRUE(chat_template.ok()) << name << ": " << chat_template.status();
  ChatTemplate::Input input{.messages = &conversation["messages"], .unix_time = kClock};
  if (conversation.contains("tools")) input.tools = &conversation["tools"];
  if (conversation.contains("kwargs")) input.kwargs = &conversation["kwargs"];
  input.add_generation_prompt = conversation.value("add_generation_prompt", true);
  const absl::StatusOr<std::string> prompt = (*chat_template)->Render(input);
  if (row.contains("expected")) {
    ASSERT_TRUE(prompt.ok()) << name << ": " << prompt.status();
    EXPECT_EQ(*prompt, row["expected"].get<std::string>()) << name;
    return;
  }
  ASSERT_FALSE(prompt.ok()) << name;
  if (row["error"] == "TemplateError") {
    EXPECT_EQ(std::string(prompt.status().message()), row["message"].get<std::string>()) << name;
  }
}

// Runs every case in `folder`; returns how many there are.
int ExpectCases(const std::string& folder) {
  std::map<std::string, Json> conversations;
  std::map<std::string, std::string> sources;
  std::ifstream talks(folder + "/conversations.jsonl"), cases(folder + "/cases.jsonl");
  for (std::string line; std::getline(talks, line);) {
    Json talk = Parsed(line);
    conversations[talk["id"]] = talk;
  }
  int count = 0;
  for (std::string line; std::getline(cases, line); ++count) {
    const Json row = Parsed(line);
    const std::string name = row["template"];
    if (!sources.contains(name)) sources[name] = ReadFile(folder + "/templates/" + name + ".jinja");
    ExpectCase(row, sources[name], conversations[row["conversation"]]);
  }
  return count;
}

TEST(ChatTemplate, RendersPublishedTemplatesLikeTheReference) {
  EXPECT_GE(ExpectCases(BRAID_SOURCE_DIR "/tests/data/templates"), 500);
}

TEST(ChatTemplate, RendersTheLargerSetLikeTheReference) {
  const char* oracles = std::getenv("BRAID_ORACLES");
  if (oracles == nullptr) GTEST_SKIP() << "BRAID_ORACLES is not set";
  EXPECT_GE(ExpectCases(std::string(oracles) + "/templates"), 896);
}

TEST(ChatTemplate, MentionsNamesAttributesAndStringsButNotComments) {
  const auto chat = Template("{# hidden #}{% if enable_thinking and m.role == 'developer' %}plain{% endif %}");
  EXPECT_TRUE(chat->Mentions("enable_thinking"));
  EXPECT_TRUE(chat->Mentions("role"));
  EXPECT_TRUE(chat->Mentions("developer"));
  EXPECT_FALSE(chat->Mentions("hidden"));
  EXPECT_FALSE(chat->Mentions("plain"));
}

TEST(ChatTemplate, KwargsWinOverOtherVariables) {
  const Json messages = Json::array(), kwargs = {{"bos_token", "B"}, {"x", 1}};
  const auto chat = Template("{{ bos_token }}{{ eos_token }}{{ x }}{{ tools }}");
  EXPECT_EQ(*chat->Render({.messages = &messages, .kwargs = &kwargs}), "B</s>1None");
}

Json Normalized(const std::string& messages, std::string_view source = "{{ messages }}") {
  const absl::StatusOr<Json> normalized = NormalizeMessages(Parsed(messages), *Template(source));
  EXPECT_TRUE(normalized.ok()) << normalized.status();
  return normalized.ok() ? *normalized : Json();
}

TEST(NormalizeMessages, ParsesArgumentsOfToolCalls) {
  const Json messages =
      Normalized(R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{\"b\":1,\"a\":2}"}},
                                                               {"function":{"name":"g","arguments":""}}]}])");
  EXPECT_EQ(messages[0]["tool_calls"][0]["function"]["arguments"].dump(), R"({"b":1,"a":2})");
  EXPECT_EQ(messages[0]["tool_calls"][1]["function"]["arguments"].dump(), "{}");
}

TEST(NormalizeMessages, NamesTheArgumentsThatAreNoObject) {
  for (const char* arguments : {"{", "[1]", "3"}) {
    const Json messages = {{{"role", "assistant"}, {"tool_calls", {{{"function", {{"arguments", arguments}}}}}}}};
    const absl::StatusOr<Json> normalized = NormalizeMessages(messages, *Template(""));
    ASSERT_FALSE(normalized.ok()) << arguments;
    EXPECT_EQ(std::string(normalized.status().message()).find("messages[0].tool_calls[0].function.arguments"), 0u);
  }
}

TEST(NormalizeMessages, JoinsTextPartsUnlessTheTemplateWalksThem) {
  const std::string parts = R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])";
  EXPECT_EQ(Normalized(parts)[0]["content"], "ab");
  for (const char* source :
       {"{% for m in messages %}{% for p in m.content %}{% endfor %}{% endfor %}",
        "{% for m in messages %}{% for p in m['content'] %}{% endfor %}{% endfor %}",
        "{% macro f(m) %}{% set c = m.get('content') %}{% for p in c %}{% endfor %}{% endmacro %}"}) {
    EXPECT_TRUE(Normalized(parts, source)[0]["content"].is_array()) << source;
  }
  const std::string image = R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"image"}]}])";
  EXPECT_TRUE(Normalized(image)[0]["content"].is_array());
}

TEST(NormalizeMessages, FillsNullContentUnlessTheTemplateTestsForNone) {
  const std::string call = R"([{"role":"assistant","content":null,"tool_calls":[]}])";
  EXPECT_EQ(Normalized(call)[0]["content"], "");
  EXPECT_TRUE(Normalized(call, "{{ m.content is none }}")[0]["content"].is_null());
  EXPECT_TRUE(Normalized(call, "{{ m['content'] is not none }}")[0]["content"].is_null());
}

TEST(NormalizeMessages, FillsTheMissingNamesOfReasoning) {
  EXPECT_EQ(Normalized(R"([{"role":"assistant","content":"x","reasoning":"r"}])")[0]["reasoning_content"], "r");
  const Json other = Normalized(R"([{"role":"assistant","content":"x","reasoning_content":"r"}])");
  EXPECT_EQ(other[0]["reasoning"], "r");
  EXPECT_FALSE(other[0].contains("thinking"));
  EXPECT_EQ(Normalized(R"([{"role":"assistant","reasoning":"r"}])", "{{ m.thinking }}")[0]["thinking"], "r");
}

TEST(NormalizeMessages, DeveloperBecomesSystemUnlessTheTemplateKnowsIt) {
  const std::string messages = R"([{"role":"developer","content":"x"}])";
  EXPECT_EQ(Normalized(messages)[0]["role"], "system");
  EXPECT_EQ(Normalized(messages, "{{ m.role == 'developer' }}")[0]["role"], "developer");
}

}  // namespace
}  // namespace braid
