// A GGUF version 3 file: typed metadata, then tensors. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "models/weights/mapped_file.h"
#include "models/weights/stored_tensor.h"

namespace braid {

// Numbers as the file writes them.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12
};

// An array of scalars or strings as it lies in the file: checked, not decoded (a vocabulary has 10^5 strings).
struct GgufArray {
  GgufType element = GgufType::kU8;
  uint64_t count = 0;
  std::span<const std::byte> bytes;
};

// u8..u64, i8..i64, f32 and f64, bool, string (borrowed from the file), array.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray>;

// A checked file. Accessors answer NotFound for a missing key and InvalidArgument for a value of another type, naming
// the key; an integer of any width and sign is accepted where it fits. Thread: any, once open.
class GgufFile {
 public:
  using Metadata = absl::btree_map<std::string, GgufValue, std::less<>>;
  using Tensors = absl::btree_map<std::string, StoredTensor>;

  // Maps and checks `path`; touches only the metadata's pages. A tensor type that we cannot compute with is an error.
  static absl::StatusOr<std::unique_ptr<GgufFile>> Open(const std::string& path);

  const std::string& path() const { return file_->path(); }
  const MappedFile& file() const { return *file_; }
  const Metadata& metadata() const { return metadata_; }
  const Tensors& tensors() const { return tensors_; }

  bool Has(std::string_view key) const { return metadata_.contains(key); }
  absl::StatusOr<uint32_t> GetU32(std::string_view key) const;
  absl::StatusOr<float> GetF32(std::string_view key) const;
  absl::StatusOr<bool> GetBool(std::string_view key) const;
  absl::StatusOr<std::string> GetString(std::string_view key) const;
  absl::StatusOr<GgufArray> GetArray(std::string_view key) const;
  absl::StatusOr<std::vector<std::string>> GetStrings(std::string_view key) const;
  absl::StatusOr<std::vector<int32_t>> GetI32s(std::string_view key) const;
  absl::StatusOr<std::vector<float>> GetF32s(std::string_view key) const;

 private:
  GgufFile(std::unique_ptr<MappedFile> file, Metadata metadata, Tensors tensors)
      : file_(std::move(file)), metadata_(std::move(metadata)), tensors_(std::move(tensors)) {}

  absl::StatusOr<GgufValue> Find(std::string_view key) const;
  absl::Status Wrong(std::string_view key, std::string_view what) const;

  std::unique_ptr<MappedFile> file_;
  Metadata metadata_;
  Tensors tensors_;
};

}  // namespace braid
