#include "server/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <map>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/process_metrics.h"

namespace braid {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::Registry;
using Bounds = Histogram::BucketBoundaries;

const Bounds kTtft = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                      1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
const Bounds kItl = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80};
const Bounds kLatency = {0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
const Bounds kPhase = {0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1200};

constexpr const char* kRejections[] = {"max_num_queued_reqs", "max_num_queued_tokens", "projected_wait", "draining",
                                       "loading"};
constexpr const char* kFinishes[] = {"stop", "length", "abort", "error", "repetition"};
constexpr const char* kPhases[] = {"queue", "prefill", "decode", "finish"};

const char* FinishName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kError: return "error";
    case FinishReason::kNone:
    case FinishReason::kAbort: break;
  }
  return "abort";
}

const Bounds& Either(const Bounds& own, const Bounds& standard) { return own.empty() ? standard : own; }

double Seconds(int64_t ns) { return static_cast<double>(ns) * 1e-9; }

// Adds series to a registry; every one is there with 0 from the start.
class Maker {
 public:
  Maker(Registry& registry, Labels core) : registry_(registry), core_(std::move(core)) {}

  Gauge& MakeGauge(const char* name, const char* help, Labels more = {}) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry_).Add(With(more));
  }
  Counter& MakeCounter(const char* name, const char* help, Labels more = {}) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add(With(more));
  }
  Histogram& MakeHistogram(const char* name, const char* help, const Bounds& bounds, Labels more = {}) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_).Add(With(more), bounds);
  }

 private:
  Labels With(Labels more) const {
    more.insert(core_.begin(), core_.end());
    return more;
  }

  Registry& registry_;
  const Labels core_;
};

// `vllm:iteration_tokens_total` out of the engine's cumulative counts.
prometheus::MetricFamily StepTokens(const EngineStats& stats, const std::string& model_name) {
  prometheus::MetricFamily family{"vllm:iteration_tokens_total", "Tokens in one engine step, prompt and output",
                                  prometheus::MetricType::Histogram, {}};
  prometheus::ClientMetric metric;
  metric.label = {{"engine", "0"}, {"model_name", model_name}};
  metric.histogram.sample_count = stats.steps;
  metric.histogram.sample_sum = static_cast<double>(stats.step_tokens_sum);
  for (size_t i = 0; i < std::size(EngineStats::kStepTokenBounds); ++i) {
    metric.histogram.bucket.push_back({stats.step_tokens_at_most[i], static_cast<double>(EngineStats::kStepTokenBounds[i])});
  }
  metric.histogram.bucket.push_back({stats.steps, std::numeric_limits<double>::infinity()});
  family.metric.push_back(std::move(metric));
  return family;
}

}  // namespace

std::vector<double> TokenBuckets(int max) {
  std::vector<double> bounds;
  for (int64_t decade = 1; decade <= max; decade *= 10) {
    for (const int64_t bound : {decade, 2 * decade, 5 * decade}) {
      if (bound <= max) bounds.push_back(static_cast<double>(bound));
    }
  }
  return bounds;
}

struct Metrics::Live {
  Live(Registry& registry, const MetricsConfig& config);
  Histogram* Http(std::string_view handler, std::string_view method);

  Maker make;
  Gauge &running, &waiting, &waiting_capacity, &waiting_deferred, &kv_usage;
  Gauge &slots_used, &slots_free, &snapshots;
  Counter &prefix_queries, &prefix_hits, &preemptions;
  Counter &prompt_tokens, &prompt_computed, &prompt_cached, &cached_tokens, &cached_on_device, &generated_tokens;
  Counter &evicted_blocks, &evicted_snapshots, &tokens_without_snapshot;
  Gauge &stored, &stored_bytes;
  Counter &stored_evicted_space, &stored_evicted_age;
  Counter* misses[kNumPrefixMisses];
  Counter &drafted_steps, &draft_tokens, &accepted_tokens;
  Counter* accepted_at[kMaxDrafts];
  std::map<std::string, Counter*, std::less<>> finished, rejected;
  Histogram &step_gap, &ttft, &time_per_token, &e2e, &queue, &prefill, &decode, &inference;
  Histogram &n, &request_preemptions;
  std::map<std::string, Histogram*, std::less<>> phases;
  prometheus::Family<Gauge>& startup;
  prometheus::Family<Counter>& http_requests;
  prometheus::Family<Histogram>& http_seconds;
};

Metrics::Live::Live(Registry& registry, const MetricsConfig& config)
    : make(registry, {{"model_name", config.model_name}, {"engine", "0"}}),
      running(make.MakeGauge("vllm:num_requests_running", "Requests in the running batch")),
      waiting(make.MakeGauge("vllm:num_requests_waiting", "Requests waiting to run")),
      waiting_capacity(make.MakeGauge("vllm:num_requests_waiting_by_reason", "Requests waiting to run, by reason",
                                      {{"reason", "capacity"}})),
      waiting_deferred(make.MakeGauge("vllm:num_requests_waiting_by_reason", "Requests waiting to run, by reason",
                                      {{"reason", "deferred"}})),
      kv_usage(make.MakeGauge("vllm:kv_cache_usage_perc", "Used share of KV blocks, 0 to 1")),
      slots_used(make.MakeGauge("braid:state_slots", "Recurrent state slots", {{"state", "used"}})),
      slots_free(make.MakeGauge("braid:state_slots", "Recurrent state slots", {{"state", "free"}})),
      snapshots(make.MakeGauge("braid:snapshots", "Recurrent states that the prefix cache holds")),
      prefix_queries(make.MakeCounter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache")),
      prefix_hits(make.MakeCounter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache")),
      preemptions(make.MakeCounter("vllm:num_preemptions_total", "Preemptions")),
      prompt_tokens(make.MakeCounter("vllm:prompt_tokens_total", "Prompt tokens of requests whose prefill finished")),
      prompt_computed(make.MakeCounter("vllm:prompt_tokens_by_source_total", "Prompt tokens by where they came from",
                                       {{"source", "local_compute"}})),
      prompt_cached(make.MakeCounter("vllm:prompt_tokens_by_source_total", "Prompt tokens by where they came from",
                                     {{"source", "local_cache_hit"}})),
      cached_tokens(make.MakeCounter("vllm:prompt_tokens_cached_total", "Prompt tokens that were cached")),
      cached_on_device(make.MakeCounter("vllm:prompt_tokens_cached_by_source_total", "Prompt tokens that were cached, by tier",
                                        {{"source", "device"}})),
      generated_tokens(make.MakeCounter("vllm:generation_tokens_total", "Tokens generated")),
      evicted_blocks(make.MakeCounter("braid:prefix_evictions_total", "What the prefix cache gave up for others", {{"kind", "block"}})),
      evicted_snapshots(make.MakeCounter("braid:prefix_evictions_total", "What the prefix cache gave up for others", {{"kind", "snapshot"}})),
      tokens_without_snapshot(make.MakeCounter("braid:prefix_tokens_without_snapshot_total",
                                               "Prompt tokens found in cached blocks but behind the last state, so computed again")),
      stored(make.MakeGauge("braid:stored_responses", "Responses that are kept")),
      stored_bytes(make.MakeGauge("braid:stored_response_bytes", "Memory of the responses that are kept")),
      stored_evicted_space(make.MakeCounter("braid:stored_response_evictions_total", "Responses kept no longer, by why", {{"reason", "space"}})),
      stored_evicted_age(make.MakeCounter("braid:stored_response_evictions_total", "Responses kept no longer, by why", {{"reason", "age"}})),
      drafted_steps(make.MakeCounter("vllm:spec_decode_num_drafts_total", "Steps of a sequence that carried draft tokens")),
      draft_tokens(make.MakeCounter("vllm:spec_decode_num_draft_tokens_total", "Draft tokens")),
      accepted_tokens(make.MakeCounter("vllm:spec_decode_num_accepted_tokens_total", "Draft tokens that were accepted")),
      step_gap(make.MakeHistogram("vllm:inter_token_latency_seconds", "Time between two output steps of a request",
                                  Either(config.itl_buckets, kItl))),
      ttft(make.MakeHistogram("vllm:time_to_first_token_seconds", "Arrival to first token",
                              Either(config.ttft_buckets, kTtft))),
      time_per_token(make.MakeHistogram("vllm:request_time_per_output_token_seconds",
                                        "Mean time per output token of a request, after the first",
                                        Either(config.itl_buckets, kItl))),
      e2e(make.MakeHistogram("vllm:e2e_request_latency_seconds", "Arrival to finish",
                             Either(config.latency_buckets, kLatency))),
      queue(make.MakeHistogram("vllm:request_queue_time_seconds", "Queued to first scheduled",
                               Either(config.latency_buckets, kLatency))),
      prefill(make.MakeHistogram("vllm:request_prefill_time_seconds", "First scheduled to first token",
                                 Either(config.latency_buckets, kLatency))),
      decode(make.MakeHistogram("vllm:request_decode_time_seconds", "First token to last token",
                                Either(config.latency_buckets, kLatency))),
      inference(make.MakeHistogram("vllm:request_inference_time_seconds", "First scheduled to last token",
                                   Either(config.latency_buckets, kLatency))),
      n(make.MakeHistogram("vllm:request_params_n", "Samples asked for", Bounds{1, 2, 5, 10, 20})),
      request_preemptions(make.MakeHistogram("vllm:request_num_preemptions", "Preemptions of a request",
                                             Bounds{1, 2, 3, 4, 5, 10, 20})),
      startup(prometheus::BuildGauge().Name("braid:startup_seconds").Help("Time of each phase of the start").Register(registry)),
      http_requests(prometheus::BuildCounter().Name("http_requests_total").Help("HTTP requests answered").Register(registry)),
      http_seconds(prometheus::BuildHistogram().Name("http_request_duration_seconds").Help("Time to answer HTTP requests").Register(registry)) {
  for (const char* reason : kFinishes) {
    finished[reason] = &make.MakeCounter("vllm:request_success_total", "Finished requests", {{"finished_reason", reason}});
  }
  for (const char* reason : kRejections) {
    rejected[reason] = &prometheus::BuildCounter().Name("vllm:admission_rejections_total").Help("Requests refused at the door")
                            .Register(registry).Add({{"model_name", config.model_name}, {"reason", reason}});
  }
  for (int i = 0; i < kNumPrefixMisses; ++i) {
    misses[i] = &make.MakeCounter("braid:prefix_misses_total", "Sequences that found nothing in the prefix cache", {{"reason", kPrefixMissNames[i]}});
  }
  for (int i = 0; i < kMaxDrafts; ++i) {
    accepted_at[i] = &make.MakeCounter("vllm:spec_decode_num_accepted_tokens_per_pos_total", "Draft tokens that were accepted, by position",
                                       {{"position", absl::StrCat(i)}});
  }
  for (const char* phase : kPhases) {
    phases[phase] = &make.MakeHistogram("braid:request_phase_seconds", "Time a request spent in each phase", kPhase,
                                        {{"phase", phase}});
  }
  for (const char* state : {"awake", "weights_offloaded", "discard_all"}) {
    make.MakeGauge("vllm:engine_sleep_state", "1 for the state that the engine is in", {{"sleep_state", state}})
        .Set(state == std::string_view("awake") ? 1 : 0);
  }
  for (const char* handler : {"chat_completions", "completions", "responses", "messages"}) {
    Http(handler, "POST");
    for (const char* status : {"2xx", "4xx", "5xx"}) {
      http_requests.Add({{"handler", handler}, {"method", "POST"}, {"status", status}});
    }
  }
}

Histogram* Metrics::Live::Http(std::string_view handler, std::string_view method) {
  return &http_seconds.Add({{"handler", std::string(handler)}, {"method", std::string(method)}}, Bounds{0.1, 0.5, 1});
}

struct Metrics::Model {
  Model(Maker& make, Registry& registry, const EngineInfo& info)
      : bounds(TokenBuckets(info.max_model_len)),
        prompt(make.MakeHistogram("vllm:request_prompt_tokens", "Prompt length", bounds)),
        generation(make.MakeHistogram("vllm:request_generation_tokens", "Output length", bounds)),
        longest(make.MakeHistogram("vllm:request_max_num_generation_tokens", "Longest output among a request's samples", bounds)),
        max_tokens(make.MakeHistogram("vllm:request_params_max_tokens", "max_tokens asked for", bounds)),
        computed(make.MakeHistogram("vllm:request_prefill_kv_computed_tokens", "Prompt tokens really computed", bounds)) {
    prometheus::BuildGauge().Name("vllm:cache_config_info").Help("Settings of the KV cache").Register(registry)
        .Add({{"engine", "0"},
              {"block_size", absl::StrCat(info.block_size)},
              {"num_gpu_blocks", absl::StrCat(info.num_blocks)},
              {"cache_dtype", info.kv_dtype},
              {"enable_prefix_caching", info.prefix_cache ? "True" : "False"},
              {"gpu_memory_utilization", "0"}})
        .Set(1);
  }
  const Bounds bounds;
  Histogram &prompt, &generation, &longest, &max_tokens, &computed;
};

Metrics::Metrics(MetricsConfig config)
    : config_(std::move(config)),
      registry_(std::make_shared<Registry>(Registry::InsertBehavior::Merge)),
      live_(std::make_unique<Live>(*registry_, config_)) {}

Metrics::~Metrics() = default;

void Metrics::SetModel(const EngineInfo& info, std::function<EngineStats()> stats) {
  std::lock_guard lock(mutex_);
  CHECK(model_ == nullptr) << "a model is set already";
  model_ = std::make_unique<Model>(live_->make, *registry_, info);
  stats_ = std::move(stats);
}

void Metrics::SetHandover(std::function<HandoverStats()> stats) {
  std::lock_guard lock(mutex_);
  handover_ = std::move(stats);
}

void Metrics::SetResponses(std::function<ResponseStoreStats()> stats) {
  std::lock_guard lock(mutex_);
  responses_ = std::move(stats);
}

void Metrics::ForgetModel() {
  std::lock_guard lock(mutex_);
  stats_ = nullptr;
  handover_ = nullptr;
}

void Metrics::OnStartupPhase(std::string_view phase, double seconds) {
  live_->startup.Add({{"model_name", config_.model_name}, {"engine", "0"}, {"phase", std::string(phase)}}).Set(seconds);
}

void Metrics::OnHttpRequest(std::string_view handler, std::string_view method, int status, double seconds) {
  live_->http_requests
      .Add({{"handler", std::string(handler)}, {"method", std::string(method)}, {"status", absl::StrCat(status / 100, "xx")}})
      .Increment();
  live_->Http(handler, method)->Observe(seconds);
}

void Metrics::OnFirstToken(int64_t since_arrival_ns) { live_->ttft.Observe(Seconds(since_arrival_ns)); }

void Metrics::OnTokenGap(int64_t gap_ns) { live_->step_gap.Observe(Seconds(gap_ns)); }

void Metrics::OnRejected(std::string_view reason) {
  const auto it = live_->rejected.find(reason);
  CHECK(it != live_->rejected.end()) << "rejection " << reason;
  it->second->Increment();
}

void Metrics::OnFinished(const FinishedRequest& r) {
  Live& live = *live_;
  live.finished.find(FinishName(r.finish))->second->Increment();
  live.n.Observe(r.n);
  live.request_preemptions.Observe(r.num_preemptions);
  live.e2e.Observe(Seconds(r.finish_ns - r.arrival_ns));
  if (r.scheduled_ns != 0) {
    live.queue.Observe(Seconds(r.scheduled_ns - r.arrival_ns));
    live.phases["queue"]->Observe(Seconds(r.scheduled_ns - r.arrival_ns));
  }
  if (r.scheduled_ns != 0 && r.first_token_ns != 0) {
    live.prefill.Observe(Seconds(r.first_token_ns - r.scheduled_ns));
    live.phases["prefill"]->Observe(Seconds(r.first_token_ns - r.scheduled_ns));
    live.inference.Observe(Seconds(r.last_token_ns - r.scheduled_ns));
  }
  if (r.first_token_ns != 0) {
    live.decode.Observe(Seconds(r.last_token_ns - r.first_token_ns));
    live.phases["decode"]->Observe(Seconds(r.last_token_ns - r.first_token_ns));
    live.phases["finish"]->Observe(Seconds(r.finish_ns - r.last_token_ns));
    live.prompt_tokens.Increment(r.prompt_tokens);
    live.prompt_computed.Increment(r.prompt_tokens - r.cached_tokens);
    live.prompt_cached.Increment(r.cached_tokens);
    live.cached_tokens.Increment(r.cached_tokens);
    live.cached_on_device.Increment(r.cached_tokens);
  }
  if (r.longest_output_tokens > 1) {
    live.time_per_token.Observe(Seconds(r.last_token_ns - r.first_token_ns) / (r.longest_output_tokens - 1));
  }
  if (model_ == nullptr) return;  // only in tests: requests run on a model
  model_->prompt.Observe(r.prompt_tokens);
  model_->generation.Observe(r.output_tokens);
  model_->longest.Observe(r.longest_output_tokens);
  model_->max_tokens.Observe(r.max_tokens);
  model_->computed.Observe(r.prompt_tokens - r.cached_tokens);
}

void Metrics::CountPrefix(const PrefixCounters& now, const PrefixCounters& before) {
  const auto add = [](Counter& counter, uint64_t value, uint64_t last) { counter.Increment(static_cast<double>(value - last)); };
  add(live_->prefix_queries, now.queried_tokens, before.queried_tokens);
  add(live_->prefix_hits, now.hit_tokens, before.hit_tokens);
  add(live_->tokens_without_snapshot, now.tokens_without_snapshot, before.tokens_without_snapshot);
  add(live_->evicted_blocks, now.evicted_blocks, before.evicted_blocks);
  add(live_->evicted_snapshots, now.evicted_snapshots, before.evicted_snapshots);
  for (int i = 0; i < kNumPrefixMisses; ++i) add(*live_->misses[i], now.misses[i], before.misses[i]);
}

void Metrics::CountSpeculation(const SpeculationCounters& now, const SpeculationCounters& before) {
  const auto add = [](Counter& counter, uint64_t value, uint64_t last) { counter.Increment(static_cast<double>(value - last)); };
  add(live_->drafted_steps, now.steps, before.steps);
  add(live_->draft_tokens, now.draft_tokens, before.draft_tokens);
  add(live_->accepted_tokens, now.accepted_tokens, before.accepted_tokens);
  for (int i = 0; i < kMaxDrafts; ++i) add(*live_->accepted_at[i], now.accepted_at[i], before.accepted_at[i]);
}

void Metrics::PullStats() {
  if (!stats_) return;
  const EngineStats now = stats_();
  live_->running.Set(now.running);
  live_->waiting.Set(now.waiting);
  live_->waiting_capacity.Set(now.waiting);
  live_->kv_usage.Set(now.blocks_total > 0 ? static_cast<double>(now.blocks_used) / now.blocks_total : 0);
  live_->slots_used.Set(now.state_slots_used);
  live_->slots_free.Set(now.state_slots_total - now.state_slots_used);
  live_->snapshots.Set(now.snapshots);
  CountPrefix(now.prefix, last_.prefix);
  CountSpeculation(now.speculation, last_.speculation);
  live_->preemptions.Increment(static_cast<double>(now.preemptions - last_.preemptions));
  live_->generated_tokens.Increment(static_cast<double>(now.generated_tokens - last_.generated_tokens));
  last_ = now;
}

void Metrics::PullResponses() {
  if (!responses_) return;
  const ResponseStoreStats now = responses_();
  live_->stored.Set(now.responses);
  live_->stored_bytes.Set(static_cast<double>(now.bytes));
  live_->stored_evicted_space.Increment(static_cast<double>(now.evicted_for_space - last_responses_.evicted_for_space));
  live_->stored_evicted_age.Increment(static_cast<double>(now.evicted_by_age - last_responses_.evicted_by_age));
  last_responses_ = now;
}

std::string Metrics::Text() {
  std::lock_guard lock(mutex_);
  PullStats();
  PullResponses();
  std::vector<prometheus::MetricFamily> families = registry_->Collect();
  families.push_back(StepTokens(last_, config_.model_name));
  if (handover_) {
    for (prometheus::MetricFamily& family : HandoverFamilies(handover_())) families.push_back(std::move(family));
  }
  for (prometheus::MetricFamily& family : CollectProcessMetrics()) families.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace braid
