#include "models/tokenizer/vocabulary.h"

#include <algorithm>

#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr int64_t kFreeIds = int64_t{1} << 18, kIdsPerToken = 4;  // an id is below their sum

}  // namespace

void Vocabulary::Expect(size_t count) {
  const auto tokens = static_cast<int64_t>(std::min<size_t>(count, kMaxTokens));
  id_limit_ = std::min(kMaxTokens, kFreeIds + kIdsPerToken * tokens);
}

absl::Status Vocabulary::CheckNew(const std::string& spelling, int64_t id) const {
  if (id < 0 || id >= id_limit_) {
    return absl::InvalidArgumentError(
        absl::StrCat("token \"", spelling, "\" has id ", id, "; ids are 0 to ", id_limit_ - 1));
  }
  if (spelling.size() > kMaxTokenBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("token ", id, " has ", spelling.size(), " bytes; at most ", kMaxTokenBytes, " are allowed"));
  }
  if (id < size() && entries_[id].present && entries_[id].spelling != spelling) {
    return absl::InvalidArgumentError(
        absl::StrCat("id ", id, " is given to \"", entries_[id].spelling, "\" and to \"", spelling, "\""));
  }
  return absl::OkStatus();
}

absl::Status Vocabulary::Add(const std::string& spelling, int64_t id) {
  if (const auto known = IdOf(spelling); known && *known != id) {
    return absl::InvalidArgumentError(absl::StrCat("token \"", spelling, "\" is given the ids ", *known, " and ", id));
  }
  return AddRepeatable(spelling, id);
}

absl::Status Vocabulary::AddRepeatable(const std::string& spelling, int64_t id) {
  RETURN_IF_ERROR(CheckNew(spelling, id));
  if (id >= size()) entries_.resize(id + 1);
  entries_[id].spelling = spelling;
  entries_[id].present = true;
  ids_.emplace(spelling, static_cast<int32_t>(id));
  return absl::OkStatus();
}

std::optional<int32_t> Vocabulary::IdOf(std::string_view spelling) const {
  const auto it = ids_.find(spelling);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

}  // namespace braid
