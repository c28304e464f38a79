#include "bench/client.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace braid::bench {
namespace {

using std::chrono::milliseconds;

const Instant kDue{};

Instant At(int ms) { return kDue + milliseconds(ms); }

TEST(ReplyReader, TimesTheTokensOfAChatStream) {
  ReplyReader reader(true, kDue);
  reader.TakeEvent(R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]})", At(100));
  reader.TakeEvent(R"({"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]})", At(101));
  reader.TakeEvent(R"({"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":null}]})", At(121));
  reader.TakeEvent(R"({"choices":[{"index":0,"delta":{"content":"c"},"finish_reason":"stop"}]})", At(151));
  reader.TakeEvent(R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}})", At(152));
  reader.TakeEvent("[DONE]", At(152));
  const CallResult r = reader.Finish(200, At(153));
  EXPECT_TRUE(r.ok()) << r.error;
  EXPECT_DOUBLE_EQ(r.ttft_s, 0.101);
  ASSERT_EQ(r.gaps_s.size(), 2u);
  EXPECT_DOUBLE_EQ(r.gaps_s[0], 0.020);
  EXPECT_DOUBLE_EQ(r.gaps_s[1], 0.030);
  EXPECT_DOUBLE_EQ(r.e2e_s, 0.153);
  EXPECT_EQ(r.prompt_tokens, 7);
  EXPECT_EQ(r.output_tokens, 3);
  EXPECT_DOUBLE_EQ(r.TimePerToken(), 0.026);
}

TEST(ReplyReader, CountsBareIdsAsTokens) {
  ReplyReader reader(true, kDue);
  reader.TakeEvent(R"({"choices":[{"index":0,"text":"","token_ids":[5]}]})", At(10));
  reader.TakeEvent(R"({"choices":[{"index":0,"text":"","token_ids":[6],"finish_reason":"length"}]})", At(30));
  reader.TakeEvent("[DONE]", At(30));
  const CallResult r = reader.Finish(200, At(30));
  EXPECT_TRUE(r.ok());
  EXPECT_EQ(r.output_tokens, 2);
  EXPECT_EQ(r.gaps_s.size(), 1u);
}

TEST(ReplyReader, ReadsAWholeReply) {
  ReplyReader reader(false, kDue);
  reader.TakeBody(R"({"choices":[{"text":"x","finish_reason":"length"}],"usage":{"prompt_tokens":2,"completion_tokens":9}})",
                  At(50));
  const CallResult r = reader.Finish(200, At(50));
  EXPECT_TRUE(r.ok());
  EXPECT_EQ(r.output_tokens, 9);
  EXPECT_DOUBLE_EQ(r.ttft_s, r.e2e_s);
}

TEST(ReplyReader, NamesEachKindOfError) {
  const std::string chunk = R"({"choices":[{"index":0,"text":"a"}]})";
  const struct {
    std::vector<std::string> events;
    absl::StatusOr<int> status;
    std::string kind;
  } cases[] = {
      {{chunk, "[DONE]"}, 200, "cut short"},
      {{chunk}, 200, "cut short"},
      {{}, 200, "no choice"},
      {{"{"}, 200, "bad event"},
      {{chunk, R"({"error":{"message":"m"}})", "[DONE]"}, 200, "error event"},
      {{}, 503, "http 503"},
      {{chunk}, absl::DeadlineExceededError("timeout"), "timeout"},
      {{}, absl::UnavailableError("connect: Connection refused"), "connect"},
  };
  for (const auto& c : cases) {
    ReplyReader reader(true, kDue);
    for (const auto& event : c.events) reader.TakeEvent(event, At(1));
    EXPECT_EQ(reader.Finish(c.status, At(2)).error, c.kind);
  }
}

TEST(CallBody, HoldsWhatTheRouteWants) {
  PlannedRequest request;
  request.output_tokens = 5;
  request.prompt = " time";
  EXPECT_EQ(CallBody(request, {.model = "m", .chat = true, .stream = true, .ignore_eos = true}),
            R"({"model":"m","messages":[{"role":"user","content":" time"}],"max_tokens":5,"temperature":0.0,)"
            R"("ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}})");
  request.ids = {1, 2};
  EXPECT_EQ(CallBody(request, {.model = "m", .chat = false, .stream = false}),
            R"({"model":"m","prompt":[1,2],"return_token_ids":true,"max_tokens":5,"temperature":0.0})");
}

TEST(Url, ReadsHostAndPort) {
  EXPECT_EQ(ParseUrl("http://127.0.0.1:8000")->port, "8000");
  EXPECT_EQ(ParseUrl("http://localhost/")->port, "80");
  EXPECT_EQ(ParseUrl("http://[::1]:8000")->host, "::1");
  for (const char* wrong : {"https://a", "a:80", "http://a/v1", "http://:80", "http://a:"}) {
    EXPECT_FALSE(ParseUrl(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace braid::bench
