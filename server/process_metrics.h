// The process_* families: CPU time, memory, descriptors.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

namespace braid {

// Reads /proc/self; what cannot be read is left out.
std::vector<prometheus::MetricFamily> CollectProcessMetrics();

}  // namespace braid
