#include "engine/memory_budget.h"

#include <algorithm>
#include <fstream>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace braid {
namespace {

int64_t MeminfoAvailable() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  int64_t kib = 0;
  while (file >> word) {
    if (word == "MemAvailable:" && file >> kib) return kib * 1024;
  }
  return int64_t{1} << 30;
}

// A number in `path`; the largest one when the file is not there or says "max".
int64_t NumberIn(const char* path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : std::numeric_limits<int64_t>::max();
}

int64_t CgroupAvailable() {
  const int64_t limit = NumberIn("/sys/fs/cgroup/memory.max");
  const int64_t used = NumberIn("/sys/fs/cgroup/memory.current");
  if (limit == std::numeric_limits<int64_t>::max() || used > limit) return limit;
  return limit - used;
}

// How many of the slots that fit in `spare` bytes go to snapshots.
int SnapshotSlots(int64_t spare, const MemoryDemand& demand) {
  if (!demand.prefix_cache || demand.slot_bytes == 0 || spare <= 0) return 0;
  return static_cast<int>(std::min(spare / 4 / demand.slot_bytes, int64_t{4} * demand.max_sequences));
}

}  // namespace

absl::StatusOr<MemorySplit> SplitMemory(int64_t budget, const MemoryDemand& demand) {
  const int64_t smallest = demand.block_bytes + demand.slot_bytes;
  if (budget < smallest) {
    return absl::ResourceExhaustedError(absl::StrCat("--memory: ", BytesString(budget),
                                                     " holds not even one block and one state slot; at least ",
                                                     BytesString(smallest), " is needed"));
  }
  const int64_t blocks_of_context = (int64_t{demand.max_model_len} + demand.block_size - 1) / demand.block_size;
  MemorySplit split;
  if (demand.slot_bytes > 0) {
    const int64_t for_context = std::min(budget / 2, blocks_of_context * demand.block_bytes);
    const int64_t for_slots = std::max(budget - for_context - demand.block_bytes, demand.slot_bytes);
    split.num_state_slots = static_cast<int>(
        std::clamp<int64_t>(for_slots / demand.slot_bytes, 1, demand.max_sequences));
  }
  split.num_snapshot_slots = SnapshotSlots(
      budget - split.num_state_slots * demand.slot_bytes - blocks_of_context * demand.block_bytes, demand);
  split.num_state_slots += split.num_snapshot_slots;
  split.bytes = split.num_state_slots * demand.slot_bytes;
  const int64_t useful = demand.max_sequences * blocks_of_context * (demand.prefix_cache ? 2 : 1);
  if (demand.block_bytes > 0) {
    split.num_blocks = static_cast<int>(
        std::min({(budget - split.bytes) / demand.block_bytes, useful, int64_t{std::numeric_limits<int32_t>::max()}}));
    split.bytes += split.num_blocks * demand.block_bytes;
  } else {
    // No attention: blocks cost nothing and only count tokens.
    split.num_blocks = static_cast<int>(std::min<int64_t>(useful, std::numeric_limits<int32_t>::max()));
  }
  return split;
}

int64_t AvailableMemory() { return std::min(MeminfoAvailable(), CgroupAvailable()); }

std::string BytesString(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat(unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
}

}  // namespace braid
