#include "server/inspect.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/base/json.h"

namespace braid {
namespace {

using testing::HasSubstr;

ModelSummary Hybrid() {
  return {.family = "nemotron_h", .layers_by_kind = {{"mamba2", 5}, {"attention", 2}}, .parameters = 1'500'000'000,
          .bytes_by_format = {{"bf16", int64_t{3} << 30}}, .kv_bytes_per_token = 1024, .state_bytes_per_sequence = 4096,
          .max_model_len = 1000, .vocab_size = 32000};
}

TEST(Inspect, SaysWhatFits) {
  const Fit fit = FitOf(Hybrid(), 10 * (1024 * 1000 + 4096) + 5);
  EXPECT_EQ(fit.full_length_sequences, 10);
  EXPECT_EQ(fit.one_sequence_tokens, 1000);
  EXPECT_EQ(FitOf(Hybrid(), 4096 + 1024 * 7 + 1).one_sequence_tokens, 7);
  EXPECT_EQ(FitOf(Hybrid(), 4095).one_sequence_tokens, 0);
}

TEST(Inspect, AModelWithoutKvHoldsItsContextInItsState) {
  ModelSummary summary = Hybrid();
  summary.kv_bytes_per_token = 0;
  EXPECT_EQ(FitOf(summary, 3 * 4096).full_length_sequences, 3);
  EXPECT_EQ(FitOf(summary, 4096).one_sequence_tokens, 1000);
}

TEST(Inspect, TheTableNamesLayersFormatsAndSizes) {
  const std::string table = TableOf(Hybrid(), {.memory_bytes = 1 << 20});
  for (const char* words : {"nemotron_h", "5 mamba2, 2 attention", "1.50 B", "bf16", "3.0 GiB", "1.0 KiB a token",
                            "4.0 KiB a sequence", "In 1.0 MiB"}) {
    EXPECT_THAT(table, HasSubstr(words));
  }
  EXPECT_THAT(TableOf(Hybrid(), {}), testing::Not(HasSubstr("In ")));
}

TEST(Inspect, JsonHoldsTheSame) {
  const auto json = ParseJson(JsonOf(Hybrid(), {.memory_bytes = 1 << 20}));
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ((*json)["layers"]["mamba2"], 5);
  EXPECT_EQ((*json)["weight_bytes"], int64_t{3} << 30);
  EXPECT_EQ((*json)["fits"]["full_length_sequences"], 1);
}

TEST(Inspect, APathThatIsNoneIsAnError) { EXPECT_FALSE(Inspect({.model = "/no/such/model"}).ok()); }

}  // namespace
}  // namespace braid
