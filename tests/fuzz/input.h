// What the fuzz targets share: an input in parts, an input as a file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "kernels/base/errors.h"
#include "models/weights/test_files.h"

namespace braid::fuzz {

inline std::string_view Text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// What stands before the first line "====" and what behind it; all and nothing without such a line.
inline std::pair<std::string_view, std::string_view> Halves(std::string_view input) {
  constexpr std::string_view kLine = "\n====\n";
  const size_t at = input.find(kLine);
  if (at == std::string_view::npos) return {input, {}};
  return {input.substr(0, at), input.substr(at + kLine.size())};
}

// Calls `use` for pieces of `bytes`, of 1..`most` bytes each: the same ones for the same bytes.
template <class Use>
void InPieces(std::string_view bytes, size_t most, const Use& use) {
  uint64_t state = bytes.size() + 1;
  while (!bytes.empty()) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const size_t size = std::min<size_t>(1 + (state >> 33) % most, bytes.size());
    use(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
}

// An error must say what is wrong, and must not be called a fault of ours.
inline void CheckRefusal(const absl::Status& status) {
  if (status.ok()) return;
  CHECK(!status.message().empty());
  CHECK(!absl::IsInternal(status) && !absl::IsUnknown(status)) << status.ToString();
}

// Leaves `bytes` behind as file `name` and returns its path; the next input takes its place.
inline std::string AsFile(const std::string& name, std::string_view bytes) {
  static const auto* const folder = new TestFolder;  // the caller of a run clears its scratch folder
  return folder->Write(name, bytes);
}

}  // namespace braid::fuzz
