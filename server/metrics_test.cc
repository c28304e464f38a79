#include "server/metrics.h"

#include <cmath>
#include <map>
#include <regex>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace braid {
namespace {

using testing::HasSubstr;

double Number(const std::string& text) {
  double value = 0;
  EXPECT_TRUE(absl::SimpleAtod(text, &value)) << text;
  return value;
}

// What the text format 0.0.4 allows: HELP and TYPE once a family before its samples, each sample once, names and labels
// well formed, histograms cumulative with +Inf, _sum and _count.
class Exposition {
 public:
  explicit Exposition(const std::string& text) {
    EXPECT_EQ(text.back(), '\n');
    for (const auto& line : absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) TakeLine(std::string(line));
    for (const auto& [name, type] : types_) {
      if (type == "histogram") CheckHistogram(name);
    }
  }

  double Value(const std::string& series) const {
    const auto it = samples_.find(series);
    EXPECT_TRUE(it != samples_.end()) << series;
    return it == samples_.end() ? NAN : it->second;
  }
  const std::map<std::string, std::string>& types() const { return types_; }
  const std::map<std::string, double>& samples() const { return samples_; }

 private:
  void TakeLine(const std::string& line) {
    static const std::regex help(R"(# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+))");
    static const std::regex type(R"(# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram))");
    static const std::regex sample(
        R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\["\\n])*",?)+\})? (\S+))re");
    std::smatch m;
    if (std::regex_match(line, m, help)) {
      EXPECT_TRUE(helps_.insert(m[1]).second) << line;
    } else if (std::regex_match(line, m, type)) {
      EXPECT_TRUE(types_.emplace(m[1], m[2]).second) << line;
      family_ = m[1];
    } else if (std::regex_match(line, m, sample)) {
      EXPECT_TRUE(absl::StartsWith(m[1].str(), family_)) << line << " stands under " << family_;
      if (types_[family_] == "counter") {
        EXPECT_GE(Number(m[5]), 0) << line;
      }
      EXPECT_TRUE(samples_.emplace(m[1].str() + m[2].str(), Number(m[5])).second) << "twice: " << line;
    } else {
      ADD_FAILURE() << "not in the format: " << line;
    }
  }

  void CheckHistogram(const std::string& name) {
    static const std::regex le("le=\"([^\"]+)\",?|,?le=\"([^\"]+)\"");
    std::map<std::string, std::map<double, double>> series;  // labels without le -> bound -> count
    for (const auto& [key, value] : samples_) {
      if (!absl::StartsWith(key, name + "_bucket{")) continue;
      std::smatch m;
      ASSERT_TRUE(std::regex_search(key, m, le)) << key;
      const std::string bound = m[1].matched ? m[1] : m[2];
      std::string labels = std::regex_replace(key.substr(name.size() + 7), le, "");
      if (labels == "{}") labels = "";
      series[labels][bound == "+Inf" ? INFINITY : Number(bound)] = value;
    }
    EXPECT_FALSE(series.empty()) << name;
    for (const auto& [labels, buckets] : series) {
      double last = 0;
      for (const auto& [bound, count] : buckets) {
        EXPECT_GE(count, last) << name << labels << " le " << bound;
        last = count;
      }
      ASSERT_TRUE(std::isinf(buckets.rbegin()->first)) << name << labels;
      EXPECT_EQ(Value(name + "_count" + labels), last) << name << labels;
      Value(name + "_sum" + labels);
    }
  }

  std::set<std::string> helps_;
  std::map<std::string, std::string> types_;
  std::map<std::string, double> samples_;
  std::string family_;
};

const std::string kCore = "{engine=\"0\",model_name=\"m\"}";
const EngineInfo kInfo{.max_model_len = 1024, .block_size = 32, .num_blocks = 100, .kv_dtype = "f16"};

TEST(Metrics, KeptResponsesAreCounted) {
  Metrics metrics({.model_name = "m"});
  ResponseStoreStats stats{.responses = 3, .bytes = 4096, .evicted_for_space = 5, .evicted_by_age = 2};
  metrics.SetResponses([&stats] { return stats; });
  metrics.Text();
  stats = {.responses = 1, .bytes = 100, .evicted_for_space = 7, .evicted_by_age = 2};
  const Exposition text(metrics.Text());
  EXPECT_EQ(text.Value("braid:stored_responses" + kCore), 1);
  EXPECT_EQ(text.Value("braid:stored_response_bytes" + kCore), 100);
  EXPECT_EQ(text.Value("braid:stored_response_evictions_total{engine=\"0\",model_name=\"m\",reason=\"space\"}"), 7);
  EXPECT_EQ(text.Value("braid:stored_response_evictions_total{engine=\"0\",model_name=\"m\",reason=\"age\"}"), 2);
}

TEST(Metrics, AllCoreFamiliesAreThereWithZeroFromTheStart) {
  Metrics metrics({.model_name = "m"});
  metrics.SetModel(kInfo, [] { return EngineStats(); });
  const Exposition text(metrics.Text());
  const std::map<std::string, std::string> expected = {
      {"vllm:num_requests_running", "gauge"}, {"vllm:num_requests_waiting", "gauge"},
      {"vllm:num_requests_waiting_by_reason", "gauge"}, {"vllm:kv_cache_usage_perc", "gauge"},
      {"vllm:engine_sleep_state", "gauge"}, {"vllm:cache_config_info", "gauge"},
      {"vllm:prefix_cache_queries_total", "counter"}, {"vllm:prefix_cache_hits_total", "counter"},
      {"vllm:num_preemptions_total", "counter"}, {"vllm:prompt_tokens_total", "counter"},
      {"vllm:prompt_tokens_by_source_total", "counter"}, {"vllm:prompt_tokens_cached_total", "counter"},
      {"vllm:prompt_tokens_cached_by_source_total", "counter"}, {"vllm:generation_tokens_total", "counter"},
      {"vllm:spec_decode_num_drafts_total", "counter"}, {"vllm:spec_decode_num_draft_tokens_total", "counter"},
      {"vllm:spec_decode_num_accepted_tokens_total", "counter"},
      {"vllm:spec_decode_num_accepted_tokens_per_pos_total", "counter"},
      {"vllm:request_success_total", "counter"}, {"vllm:admission_rejections_total", "counter"},
      {"vllm:request_prompt_tokens", "histogram"}, {"vllm:request_generation_tokens", "histogram"},
      {"vllm:request_max_num_generation_tokens", "histogram"}, {"vllm:request_params_n", "histogram"},
      {"vllm:request_params_max_tokens", "histogram"}, {"vllm:request_prefill_kv_computed_tokens", "histogram"},
      {"vllm:request_num_preemptions", "histogram"}, {"vllm:iteration_tokens_total", "histogram"},
      {"vllm:time_to_first_token_seconds", "histogram"}, {"vllm:inter_token_latency_seconds", "histogram"},
      {"vllm:request_time_per_output_token_seconds", "histogram"}, {"vllm:e2e_request_latency_seconds", "histogram"},
      {"vllm:request_queue_time_seconds", "histogram"}, {"vllm:request_prefill_time_seconds", "histogram"},
      {"vllm:request_decode_time_seconds", "histogram"}, {"vllm:request_inference_time_seconds", "histogram"},
      {"braid:stored_responses", "gauge"}, {"braid:stored_response_bytes", "gauge"}, {"braid:stored_response_evictions_total", "counter"},
      {"braid:state_slots", "gauge"}, {"braid:request_phase_seconds", "histogram"},
      {"http_requests_total", "counter"}, {"http_request_duration_seconds", "histogram"},
      {"process_cpu_seconds_total", "counter"}, {"process_resident_memory_bytes", "gauge"},
      {"process_virtual_memory_bytes", "gauge"}, {"process_start_time_seconds", "gauge"},
      {"process_open_fds", "gauge"}, {"process_max_fds", "gauge"}};
  for (const auto& [name, type] : expected) EXPECT_EQ(text.types().count(name) ? text.types().at(name) : "absent", type) << name;
  for (const auto& [series, value] : text.samples()) {
    if (absl::StartsWith(series, "vllm:") && !absl::StrContains(series, "_info") && !absl::StrContains(series, "awake")) {
      EXPECT_EQ(value, 0) << series;
    }
  }
  for (const char* reason : {"stop", "length", "abort", "error", "repetition"}) {
    text.Value(absl::StrCat("vllm:request_success_total{engine=\"0\",finished_reason=\"", reason, "\",model_name=\"m\"}"));
  }
  text.Value("vllm:admission_rejections_total{model_name=\"m\",reason=\"loading\"}");
  EXPECT_EQ(text.Value("vllm:cache_config_info{block_size=\"32\",cache_dtype=\"f16\",enable_prefix_caching=\"False\","
                       "engine=\"0\",gpu_memory_utilization=\"0\",num_gpu_blocks=\"100\"}"), 1);
}

TEST(Metrics, AnswerWhileTheModelLoads) {
  Metrics metrics({.model_name = "odd \"name\"\\"});
  metrics.OnRejected("loading");
  metrics.OnStartupPhase("checkpoint", 0.5);
  const std::string text = metrics.Text();
  const Exposition checked(text);
  EXPECT_THAT(text, HasSubstr("model_name=\"odd \\\"name\\\"\\\\\""));
  EXPECT_FALSE(checked.types().contains("vllm:request_prompt_tokens"));
}

TEST(Metrics, AFinishedRequestReachesEveryFamily) {
  Metrics metrics({.model_name = "m"});
  metrics.SetModel(kInfo, [] { return EngineStats(); });
  metrics.OnFirstToken(30'000'000);
  metrics.OnTokenGap(20'000'000);
  constexpr int64_t kMs = 1'000'000;
  metrics.OnFinished({.arrival_ns = 1000 * kMs, .scheduled_ns = 1010 * kMs, .first_token_ns = 1030 * kMs,
                      .last_token_ns = 1070 * kMs, .finish_ns = 1080 * kMs, .prompt_tokens = 40, .cached_tokens = 32,
                      .output_tokens = 8, .longest_output_tokens = 5, .n = 2, .max_tokens = 100, .num_preemptions = 1,
                      .finish = FinishReason::kLength});
  const Exposition text(metrics.Text());
  const auto sum = [&](const std::string& name) { return text.Value(name + "_sum" + kCore); };
  EXPECT_DOUBLE_EQ(sum("vllm:time_to_first_token_seconds"), 0.03);
  EXPECT_DOUBLE_EQ(sum("vllm:inter_token_latency_seconds"), 0.02);
  EXPECT_DOUBLE_EQ(sum("vllm:e2e_request_latency_seconds"), 0.08);
  EXPECT_DOUBLE_EQ(sum("vllm:request_queue_time_seconds"), 0.01);
  EXPECT_DOUBLE_EQ(sum("vllm:request_prefill_time_seconds"), 0.02);
  EXPECT_DOUBLE_EQ(sum("vllm:request_decode_time_seconds"), 0.04);
  EXPECT_DOUBLE_EQ(sum("vllm:request_inference_time_seconds"), 0.06);
  EXPECT_DOUBLE_EQ(sum("vllm:request_time_per_output_token_seconds"), 0.01);
  EXPECT_EQ(sum("vllm:request_prompt_tokens"), 40);
  EXPECT_EQ(sum("vllm:request_generation_tokens"), 8);
  EXPECT_EQ(sum("vllm:request_max_num_generation_tokens"), 5);
  EXPECT_EQ(sum("vllm:request_prefill_kv_computed_tokens"), 8);
  EXPECT_EQ(sum("vllm:request_params_n"), 2);
  EXPECT_EQ(text.Value("vllm:prompt_tokens_total" + kCore), 40);
  EXPECT_EQ(text.Value("vllm:prompt_tokens_cached_total" + kCore), 32);
  EXPECT_EQ(text.Value("vllm:request_success_total{engine=\"0\",finished_reason=\"length\",model_name=\"m\"}"), 1);
}

TEST(Metrics, CountersFollowTheEnginesStatisticsByDifference) {
  Metrics metrics({.model_name = "m"});
  EngineStats stats{.running = 3, .waiting = 2, .blocks_used = 25, .blocks_total = 100, .state_slots_used = 3,
                    .state_slots_total = 8, .steps = 4, .preemptions = 5, .generated_tokens = 70};
  for (uint64_t& count : stats.step_tokens_at_most) count = 4;
  stats.step_tokens_at_most[0] = 1;
  stats.step_tokens_sum = 19;
  metrics.SetModel(kInfo, [&] { return stats; });
  metrics.Text();
  stats.preemptions = 6;
  stats.generated_tokens = 100;
  stats.speculation = {.steps = 4, .draft_tokens = 12, .accepted_tokens = 5, .accepted_at = {3, 2}};
  const Exposition text(metrics.Text());
  EXPECT_EQ(text.Value("vllm:num_requests_running" + kCore), 3);
  EXPECT_EQ(text.Value("vllm:num_requests_waiting" + kCore), 2);
  EXPECT_EQ(text.Value("vllm:kv_cache_usage_perc" + kCore), 0.25);
  EXPECT_EQ(text.Value("vllm:num_preemptions_total" + kCore), 6);
  EXPECT_EQ(text.Value("vllm:generation_tokens_total" + kCore), 100);
  EXPECT_EQ(text.Value("vllm:spec_decode_num_drafts_total" + kCore), 4);
  EXPECT_EQ(text.Value("vllm:spec_decode_num_draft_tokens_total" + kCore), 12);
  EXPECT_EQ(text.Value("vllm:spec_decode_num_accepted_tokens_total" + kCore), 5);
  const std::string accepted_at = "vllm:spec_decode_num_accepted_tokens_per_pos_total{engine=\"0\",model_name=\"m\",position=";
  EXPECT_EQ(text.Value(accepted_at + "\"0\"}"), 3);
  EXPECT_EQ(text.Value(accepted_at + "\"1\"}"), 2);
  EXPECT_EQ(text.Value(accepted_at + "\"7\"}"), 0);
  EXPECT_EQ(text.Value("vllm:iteration_tokens_total_count" + kCore), 4);
  EXPECT_EQ(text.Value("vllm:iteration_tokens_total_sum" + kCore), 19);
  EXPECT_EQ(text.Value("vllm:iteration_tokens_total_bucket{engine=\"0\",model_name=\"m\",le=\"1\"}"), 1);
  EXPECT_EQ(text.Value("braid:state_slots{engine=\"0\",model_name=\"m\",state=\"free\"}"), 5);
}

TEST(Metrics, AfterTheModelIsForgottenTheLastNumbersStay) {
  Metrics metrics({.model_name = "m"});
  metrics.SetModel(kInfo, [] { return EngineStats{.generated_tokens = 7}; });
  metrics.Text();
  metrics.ForgetModel();
  EXPECT_EQ(Exposition(metrics.Text()).Value("vllm:generation_tokens_total" + kCore), 7);
}

TEST(Metrics, HttpRequestsAreCountedByRouteMethodAndClass) {
  Metrics metrics({.model_name = "m"});
  metrics.OnHttpRequest("completions", "POST", 404, 0.2);
  metrics.OnHttpRequest("models", "GET", 200, 0.01);
  const Exposition text(metrics.Text());
  EXPECT_EQ(text.Value("http_requests_total{handler=\"completions\",method=\"POST\",status=\"4xx\"}"), 1);
  EXPECT_EQ(text.Value("http_requests_total{handler=\"completions\",method=\"POST\",status=\"2xx\"}"), 0);
  EXPECT_EQ(text.Value("http_request_duration_seconds_bucket{handler=\"models\",method=\"GET\",le=\"0.1\"}"), 1);
}

TEST(Metrics, BucketsCanBeReplaced) {
  Metrics metrics({.model_name = "m", .itl_buckets = {0.0005, 0.002}});
  metrics.OnTokenGap(1'000'000);
  const Exposition text(metrics.Text());
  EXPECT_EQ(text.Value("vllm:inter_token_latency_seconds_bucket{engine=\"0\",model_name=\"m\",le=\"0.002\"}"), 1);
  EXPECT_EQ(text.Value("vllm:inter_token_latency_seconds_bucket{engine=\"0\",model_name=\"m\",le=\"0.0005\"}"), 0);
}

TEST(Metrics, TokenBucketsStopAtTheContext) {
  EXPECT_EQ(TokenBuckets(20), (std::vector<double>{1, 2, 5, 10, 20}));
  EXPECT_EQ(TokenBuckets(19), (std::vector<double>{1, 2, 5, 10}));
  EXPECT_EQ(TokenBuckets(2'000'000'000).back(), 2e9);
  EXPECT_TRUE(TokenBuckets(0).empty());
}

}  // namespace
}  // namespace braid
