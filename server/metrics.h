// Every metric of the daemon: names, help, labels, buckets. Names follow vLLM's, so that its dashboards work here.
#pragma once

#include <prometheus/registry.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "server/handover_metrics.h"
#include "server/serving.h"

namespace braid {

struct MetricsConfig {
  std::string model_name;  // the first served name
  // Upper bounds in seconds; empty: the standard ones.
  std::vector<double> ttft_buckets, itl_buckets, latency_buckets;
};

// 1 2 5 10 20 50 ... up to the largest not above `max`.
std::vector<double> TokenBuckets(int max);

// Fed by calls as they go, and by the engine's statistics when asked for the text. Thread: any.
class Metrics : public RequestObserver {
 public:
  explicit Metrics(MetricsConfig config);
  ~Metrics() override;

  // Adds the families that depend on the model. Once, before the first request. `stats` is called at each Text.
  void SetModel(const EngineInfo& info, std::function<EngineStats()> stats);
  // Adds the families of hand-overs; `stats` is called at each Text.
  void SetHandover(std::function<HandoverStats()> stats);
  // Where the statistics of responses that are kept come from, asked at each Text.
  void SetResponses(std::function<ResponseStoreStats()> stats);
  // Stops asking for statistics: the engine is about to go.
  void ForgetModel();

  // A phase of the start ("checkpoint", "tokenizer", "engine") took so long.
  void OnStartupPhase(std::string_view phase, double seconds);

  // An HTTP request was answered. `handler` is the route's name, of which there are few.
  void OnHttpRequest(std::string_view handler, std::string_view method, int status, double seconds);

  void OnFirstToken(int64_t since_arrival_ns) override;
  void OnTokenGap(int64_t gap_ns) override;
  void OnFinished(const FinishedRequest& request) override;
  void OnRejected(std::string_view reason) override;

  // The exposition in Prometheus' text format 0.0.4.
  std::string Text();
  static constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  struct Live;   // series that exist from the start
  struct Model;  // series that exist once the model is known
  void PullStats();
  void PullResponses();
  void CountSpeculation(const SpeculationCounters& now, const SpeculationCounters& before);
  void CountPrefix(const PrefixCounters& now, const PrefixCounters& before);

  const MetricsConfig config_;
  const std::shared_ptr<prometheus::Registry> registry_;  // shared: the library's collectables are
  std::unique_ptr<Live> live_;
  std::mutex mutex_;  // guards stats_, last_ and Text
  std::unique_ptr<Model> model_;
  std::function<EngineStats()> stats_;
  EngineStats last_;
  std::function<HandoverStats()> handover_;
  std::function<ResponseStoreStats()> responses_;
  ResponseStoreStats last_responses_;
};

}  // namespace braid
