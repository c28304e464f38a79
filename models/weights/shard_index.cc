#include "models/weights/shard_index.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "models/weights/checked_size.h"
#include "models/weights/json_cursor.h"

namespace braid {
namespace {

constexpr size_t kMaxShards = 1000;
constexpr size_t kMaxTensors = size_t{1} << 20;

class IndexReader {
 public:
  explicit IndexReader(std::string_view text) : cursor_(text) {}

  absl::StatusOr<ShardIndex> Read() {
    const bool read = cursor_.Object([&](const std::string& name) {
      return name == "weight_map" ? ReadWeightMap() : cursor_.Skip();
    }) && cursor_.End();
    if (!read) return absl::InvalidArgumentError(error_.empty() ? cursor_.error() : error_);
    if (!has_weight_map_) return absl::InvalidArgumentError("weight_map: is missing");
    return std::move(index_);
  }

 private:
  bool ReadWeightMap() {
    if (std::exchange(has_weight_map_, true)) return Refuse("weight_map", "is given twice");
    return cursor_.Object([&](const std::string& tensor) {
      std::string shard;
      return cursor_.Text(&shard) && Add(tensor, shard);
    });
  }

  bool Add(const std::string& tensor, const std::string& shard) {
    if (!IsPlainFileName(shard)) return Refuse(tensor, absl::StrCat("shard ", Quoted(shard), " is no plain file name"));
    const auto [number, is_new] = number_of_.try_emplace(shard, static_cast<int>(index_.shards.size()));
    if (is_new) index_.shards.push_back(shard);
    if (index_.shards.size() > kMaxShards || index_.shard_of.size() == kMaxTensors) {
      return Refuse(tensor, "is past the largest number of tensors or shards");
    }
    return index_.shard_of.try_emplace(tensor, number->second).second || Refuse(tensor, "is given twice");
  }

  bool Refuse(const std::string& name, const std::string& what) {
    if (error_.empty()) error_ = absl::StrCat(Printable(name), ": ", what);
    return false;
  }

  JsonCursor cursor_;
  ShardIndex index_;
  absl::btree_map<std::string, int> number_of_;
  bool has_weight_map_ = false;
  std::string error_;
};

}  // namespace

bool IsPlainFileName(std::string_view name) {
  const bool clean = std::all_of(name.begin(), name.end(), [](char c) {
    return c != '/' && c != '\\' && static_cast<unsigned char>(c) >= 0x20 && c != 0x7f;
  });
  return clean && !name.empty() && name.size() <= 255 && name != "." && name != "..";
}

absl::StatusOr<ShardIndex> ParseShardIndex(std::string_view text) { return IndexReader(text).Read(); }

}  // namespace braid
