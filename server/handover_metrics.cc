#include "server/handover_metrics.h"

namespace braid {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Gauge(const char* name, const char* help, double value) {
  MetricFamily family{name, help, MetricType::Gauge, {}};
  family.metric.emplace_back();
  family.metric[0].gauge.value = value;
  return family;
}

MetricFamily Counter(const char* name, const char* help, uint64_t value) {
  MetricFamily family{name, help, MetricType::Counter, {}};
  family.metric.emplace_back();
  family.metric[0].counter.value = static_cast<double>(value);
  return family;
}

void AddOutcome(const char* outcome, uint64_t value, MetricFamily* family) {
  prometheus::ClientMetric& metric = family->metric.emplace_back();
  metric.label = {{"outcome", outcome}};
  metric.counter.value = static_cast<double>(value);
}

}  // namespace

std::vector<MetricFamily> HandoverFamilies(const HandoverStats& stats) {
  const ExporterStats& exports = stats.exports;
  const ImporterStats& imports = stats.imports;
  MetricFamily requests{"braid_handover_requests_total", "Requests that were to be prefilled by another process", MetricType::Counter, {}};
  AddOutcome("taken", imports.taken, &requests);
  AddOutcome("ended_there", imports.ended_there, &requests);
  AddOutcome("recomputed", imports.recomputed, &requests);
  AddOutcome("not_tried", imports.not_tried, &requests);
  return {Gauge("braid_handover_offers", "Computed prompts kept for other processes", exports.kept),
          Counter("braid_handover_prompts_total", "Prompts computed for other processes", exports.prompts),
          Counter("braid_handover_released_total", "Of them, released by the other process", exports.released),
          Counter("braid_handover_expired_total", "Of them, given up at the end of their lease", exports.expired),
          Counter("braid_handover_sent_bytes_total", "Bytes of blocks and states sent", exports.bytes_read),
          std::move(requests),
          Counter("braid_handover_other_fingerprint_total", "Offers of processes with another fingerprint", imports.other_bits),
          Counter("braid_handover_received_bytes_total", "Bytes of blocks and states received", imports.bytes_received),
          Gauge("braid_handover_staged_bytes", "Bytes that arrive or wait for a place in the batch", static_cast<double>(imports.staged_bytes))};
}

}  // namespace braid
