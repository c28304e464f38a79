#include "server/generation_defaults.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

TEST(GenerationDefaults, TakesWhatTheCheckpointSays) {
  const auto given = ReadGenerationDefaults(*ParseJson(R"({"temperature":0.6,"top_p":0.95,"top_k":20,"eos_token_id":2,"min_p":null})"));
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_FLOAT_EQ(given->temperature, 0.6f);
  EXPECT_FLOAT_EQ(given->top_p, 0.95f);
  EXPECT_EQ(given->top_k, 20);
  EXPECT_EQ(given->min_p, 0.0f);
  EXPECT_EQ(ReadGenerationDefaults(Json::object())->temperature, 1.0f);
}

TEST(GenerationDefaults, RefusesWhatNoRequestCouldAsk) {
  for (const char* text : {R"({"temperature":-1})", R"({"top_p":"x"})", R"({"top_k":-2})", R"({"repetition_penalty":0})"}) {
    const auto given = ReadGenerationDefaults(*ParseJson(text));
    ASSERT_FALSE(given.ok()) << text;
    EXPECT_NE(given.status().message().find("generation_config.json"), std::string::npos);
  }
}

}  // namespace
}  // namespace braid
