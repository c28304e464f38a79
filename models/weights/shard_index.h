// model.safetensors.index.json: which shard holds which tensor.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"

namespace braid {

struct ShardIndex {
  std::vector<std::string> shards;             // plain file names, in the order of their first mention
  absl::btree_map<std::string, int> shard_of;  // tensor name to index into shards
};

// Parses the index; a shard's name with a path in it, or a tensor given twice, is an error.
absl::StatusOr<ShardIndex> ParseShardIndex(std::string_view text);

// Whether `name` names a file of its own folder: no slash, no "..", no control bytes.
bool IsPlainFileName(std::string_view name);

}  // namespace braid
