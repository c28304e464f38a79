#include "server/openai/tool_prompt.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"

namespace braid {
namespace {

Json Parsed(const char* text) { return *ParseJson(text); }

TEST(ToolPrompt, TellsToolsInTheSystemMessage) {
  const Json tools = Parsed(R"([{"type":"function","function":{"name":"add"}}])");
  const Json alone = TellTools(Parsed(R"([{"role":"user","content":"hi"}])"), tools);
  ASSERT_EQ(alone.size(), 2u);
  EXPECT_EQ(alone[0]["role"], "system");
  EXPECT_TRUE(absl::StrContains(alone[0]["content"].get<std::string>(), R"("name":"add")"));
  const Json joined = TellTools(Parsed(R"([{"role":"system","content":"Be brief."},{"role":"user","content":"hi"}])"), tools);
  ASSERT_EQ(joined.size(), 2u);
  EXPECT_TRUE(absl::StartsWith(joined[0]["content"].get<std::string>(), "Be brief.\n\nYou can call functions."));
}

TEST(ToolPrompt, WritesPastCallsAndResultsAsText) {
  const Json out = TellTools(Parsed(R"([{"role":"user","content":"1+1?"},
      {"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function","function":{"name":"add","arguments":{"a":1}}}]},
      {"role":"tool","tool_call_id":"c","content":"2"}])"), Json::array());
  EXPECT_EQ(out[2]["content"], "<tool_call>\n{\"name\":\"add\",\"arguments\":{\"a\":1}}\n</tool_call>");
  EXPECT_FALSE(out[2].contains("tool_calls"));
  EXPECT_EQ(out[3], (Json{{"role", "user"}, {"content", "<tool_response>\n2\n</tool_response>"}}));
}

}  // namespace
}  // namespace braid
