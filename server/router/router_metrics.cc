#include "server/router/router_metrics.h"

#include "absl/strings/str_cat.h"

namespace braid {
namespace {

void AddHead(std::string* out, const char* name, const char* type, const char* help) {
  absl::StrAppend(out, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
}

void Add(std::string* out, const char* name, const char* type, const char* help, uint64_t value) {
  AddHead(out, name, type, help);
  absl::StrAppend(out, name, " ", value, "\n");
}

void AddPools(std::string* out, const char* name, const char* help, int PoolCount::* count, const WorkerTable& workers) {
  AddHead(out, name, "gauge", help);
  absl::StrAppend(out, name, "{pool=\"decode\"} ", workers.Count(Pool::kDecode).*count, "\n");
  absl::StrAppend(out, name, "{pool=\"prefill\"} ", workers.Count(Pool::kPrefill).*count, "\n");
}

}  // namespace

std::string RouterMetrics(const RouterCounters& counters, const WorkerTable& workers) {
  std::string out;
  constexpr const char* kRequests = "braid_router_requests_total";
  AddHead(&out, kRequests, "counter", "Requests by how they ended");
  absl::StrAppend(&out, kRequests, "{outcome=\"answered\"} ", counters.answered.load(), "\n");
  absl::StrAppend(&out, kRequests, "{outcome=\"failed\"} ", counters.failed.load(), "\n");
  absl::StrAppend(&out, kRequests, "{outcome=\"client_left\"} ", counters.left.load(), "\n");
  Add(&out, "braid_router_requests_in_flight", "gauge", "Requests under way", counters.in_flight);
  Add(&out, "braid_router_retries_total", "counter", "Requests sent again before anything was told", counters.retried);
  Add(&out, "braid_router_resumed_total", "counter", "Streams that went on at another worker", counters.resumed);
  Add(&out, "braid_router_prefilled_total", "counter", "Requests sent with a process to compute the prompt", counters.prefilled);
  AddPools(&out, "braid_router_workers", "Workers known", &PoolCount::known, workers);
  AddPools(&out, "braid_router_workers_healthy", "Workers that can be sent requests", &PoolCount::healthy, workers);
  AddPools(&out, "braid_router_worker_requests", "Claims on workers", &PoolCount::in_flight, workers);
  return out;
}

}  // namespace braid
