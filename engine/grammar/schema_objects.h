// The members of an object in the order in which they are declared, the others behind them.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/grammar/json_text.h"

namespace braid {

struct ObjectMember {
  int32_t node;  // "name": value
  bool required;
};

struct ObjectMembers {
  std::vector<ObjectMember> declared;
  int32_t other;              // one more member, any number of times; a node that matches nothing: none
  int64_t min = 0, max = -1;  // of members; max -1: any number
};

// The object, brackets and all. Grows with the number of members, times the bound that has to be counted to.
absl::StatusOr<int32_t> AddObject(ObjectMembers members, JsonText* text);

}  // namespace braid
