#include "bench/options.h"

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace braid::bench {
namespace {

absl::StatusOr<BenchOptions> Parse(std::vector<const char*> words) {
  words.insert(words.begin(), "braid-bench");
  return ParseOptions(static_cast<int>(words.size()), words.data());
}

TEST(Options, HaveUsefulDefaults) {
  const auto o = Parse({});
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_EQ(o->load.endpoint.port, "8000");
  EXPECT_TRUE(o->load.call.chat);
  EXPECT_TRUE(o->load.call.stream);
  EXPECT_EQ(o->load.concurrency, 1);
  EXPECT_FALSE(o->load.open_loop);
}

TEST(Options, ARateOpensTheLoop) {
  const auto o = Parse({"--rate", "2.5", "--burstiness", "0.5", "--no-stream", "--slo-ttft-ms", "250"});
  ASSERT_TRUE(o.ok()) << o.status();
  EXPECT_TRUE(o->load.open_loop);
  EXPECT_EQ(o->load.concurrency, 1000);
  EXPECT_FALSE(o->load.call.stream);
  EXPECT_DOUBLE_EQ(o->targets.ttft_s, 0.25);
}

TEST(Options, IdsMeanCompletions) { EXPECT_FALSE(Parse({"--ids", "256"})->load.call.chat); }

TEST(Options, ErrorsNameTheFlag) {
  const struct { std::vector<const char*> words; const char* flag; } cases[] = {
      {{"--requests", "0"}, "--requests"},        {{"--prompt-tokens", "9:3"}, "--prompt-tokens"},
      {{"--output-tokens", "x"}, "--output-tokens"}, {{"--url", "ftp://a"}, "--url"},
      {{"--endpoint", "chats"}, "--endpoint"},    {{"--trace", "/no/such"}, "--trace"},
      {{"--nonsense"}, "--nonsense"},             {{"--shared-prefix", "500"}, "--shared-prefix"},
      {{"--burstiness", "2"}, "--burstiness"},
  };
  for (const auto& c : cases) {
    const auto o = Parse(c.words);
    ASSERT_FALSE(o.ok()) << c.flag;
    EXPECT_THAT(std::string(o.status().message()), testing::HasSubstr(c.flag));
  }
}

TEST(Options, HelpListsTheFlags) {
  const auto o = Parse({"--help"});
  ASSERT_TRUE(o.ok());
  EXPECT_THAT(o->help, testing::HasSubstr("--burstiness"));
}

}  // namespace
}  // namespace braid::bench
