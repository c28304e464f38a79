// The braid_handover_* families.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "engine/handover/importer.h"
#include "engine/handover/offer_table.h"

namespace braid {

struct HandoverStats {
  ExporterStats exports;
  ImporterStats imports;
};

std::vector<prometheus::MetricFamily> HandoverFamilies(const HandoverStats& stats);

}  // namespace braid
