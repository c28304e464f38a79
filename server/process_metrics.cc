#include "server/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace braid {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Single(const char* name, const char* help, MetricType type, double value) {
  MetricFamily family{name, help, type, {}};
  family.metric.emplace_back();
  if (type == MetricType::Counter) {
    family.metric[0].counter.value = value;
  } else {
    family.metric[0].gauge.value = value;
  }
  return family;
}

// The fields of /proc/self/stat from the third on: the second, the name, may hold spaces.
std::vector<double> StatFields() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const size_t name_end = line.rfind(')');
  std::vector<double> fields;
  if (name_end == std::string::npos || line.size() < name_end + 4) return fields;
  std::istringstream rest(line.substr(name_end + 4));
  for (double field; rest >> field;) fields.push_back(field);
  return fields;
}

double BootTime() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("btime ", 0) == 0) return std::stod(line.substr(6));
  }
  return 0;
}

int OpenDescriptors() {
  std::error_code error;
  int count = 0;
  for (std::filesystem::directory_iterator it("/proc/self/fd", error), end; !error && it != end; it.increment(error)) ++count;
  return count - 1;  // the iterator's own
}

}  // namespace

std::vector<MetricFamily> CollectProcessMetrics() {
  std::vector<MetricFamily> families;
  const std::vector<double> stat = StatFields();  // field n of proc(5) is stat[n - 4]
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK)), page = static_cast<double>(sysconf(_SC_PAGESIZE));
  if (stat.size() > 20) {
    families.push_back(Single("process_cpu_seconds_total", "User and system CPU time", MetricType::Counter,
                              (stat[10] + stat[11]) / ticks));
    families.push_back(Single("process_start_time_seconds", "Start of the process, unix time", MetricType::Gauge,
                              BootTime() + stat[18] / ticks));
    families.push_back(Single("process_virtual_memory_bytes", "Virtual memory", MetricType::Gauge, stat[19]));
    families.push_back(Single("process_resident_memory_bytes", "Resident memory", MetricType::Gauge, stat[20] * page));
  }
  families.push_back(Single("process_open_fds", "Open file descriptors", MetricType::Gauge, OpenDescriptors()));
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(Single("process_max_fds", "File descriptors allowed", MetricType::Gauge,
                              static_cast<double>(limit.rlim_cur)));
  }
  return families;
}

}  // namespace braid
