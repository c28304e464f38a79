#include "models/weights/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "models/weights/checked_size.h"
#include "models/weights/json_cursor.h"

namespace braid {
namespace {

constexpr uint64_t kPrefixBytes = 8;
constexpr uint64_t kMinHeaderBytes = 2;
constexpr uint64_t kMaxHeaderBytes = uint64_t{100} << 20;
constexpr size_t kMaxTensors = size_t{1} << 20;
constexpr size_t kMaxDims = 8;

std::optional<DType> DTypeNamed(std::string_view name) {
  for (int i = 0; i < kNumDTypes; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (BlockOf(dtype).elements == 1 && name == DTypeName(dtype)) return dtype;
  }
  return std::nullopt;
}

// One tensor's header entry, before it is checked.
struct HeaderEntry {
  std::string dtype;
  Shape shape;
  std::vector<uint64_t> offsets;  // begin, end; from the first byte behind the header
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

// Walks the JSON header and keeps the tensors that pass.
class HeaderReader {
 public:
  HeaderReader(std::string_view header, std::span<const std::byte> data) : cursor_(header), data_(data) {}

  bool Read() {
    return cursor_.Object(
               [&](const std::string& name) { return name == "__metadata__" ? ReadMetadata() : ReadTensor(name); }) &&
           cursor_.End() && CheckCover();
  }
  std::string error() const { return error_.empty() ? absl::StrCat("header: ", cursor_.error()) : error_; }
  SafetensorsFile::Tensors Take() { return std::move(tensors_); }

 private:
  bool ReadMetadata() {
    if (std::exchange(has_metadata_, true)) return Refuse("__metadata__", "is given twice");
    return cursor_.Object([&](const std::string&) { return cursor_.Skip(); });
  }

  bool ReadTensor(const std::string& name) {
    HeaderEntry entry;
    const bool read = cursor_.Object([&](const std::string& field) {
      if (field == "dtype" && !std::exchange(entry.has_dtype, true)) return cursor_.Text(&entry.dtype);
      if (field == "shape" && !std::exchange(entry.has_shape, true)) return ReadShape(name, &entry.shape);
      if (field == "data_offsets" && !std::exchange(entry.has_offsets, true)) return ReadOffsets(name, &entry.offsets);
      return Refuse(name, absl::StrCat("field ", Quoted(field), " is unknown or given twice"));
    });
    return read && Keep(name, entry);
  }

  bool ReadShape(const std::string& name, Shape* shape) {
    return cursor_.Array([&] {
      uint64_t dim = 0;
      if (!cursor_.Unsigned(&dim)) return false;
      if (dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) || shape->size() == kMaxDims) {
        return Refuse(name, absl::StrCat("shape: dimension ", dim, " is too large, or one of more than ", kMaxDims));
      }
      shape->push_back(static_cast<int64_t>(dim));
      return true;
    });
  }

  bool ReadOffsets(const std::string& name, std::vector<uint64_t>* offsets) {
    return cursor_.Array([&] {
      uint64_t offset = 0;
      if (!cursor_.Unsigned(&offset)) return false;
      if (offsets->size() == 2) return Refuse(name, "data_offsets: want [begin, end]");
      offsets->push_back(offset);
      return true;
    });
  }

  bool Keep(const std::string& name, const HeaderEntry& entry) {
    if (!entry.has_dtype || !entry.has_shape || entry.offsets.size() != 2) {
      return Refuse(name, "want dtype, shape and data_offsets [begin, end]");
    }
    const std::optional<DType> dtype = DTypeNamed(entry.dtype);
    if (!dtype.has_value()) return Refuse(name, absl::StrCat("dtype: ", Quoted(entry.dtype), " is not known"));
    const uint64_t begin = entry.offsets[0], end = entry.offsets[1];
    if (begin > end || end > data_.size()) {
      return Refuse(name, absl::StrCat("data_offsets: [", begin, ", ", end, "] is not a range of the ", data_.size(),
                                       " data bytes"));
    }
    const std::optional<uint64_t> bytes = ByteSize(*dtype, entry.shape);
    if (!bytes.has_value() || *bytes != end - begin) {
      return Refuse(name, absl::StrCat("shape: ", ShapeString(entry.shape), " of ", entry.dtype, " does not fill ",
                                       end - begin, " bytes"));
    }
    if (tensors_.size() == kMaxTensors) return Refuse(name, absl::StrCat("is one of more than ", kMaxTensors));
    StoredTensor tensor{*dtype, entry.shape, data_.subspan(begin, end - begin)};
    return tensors_.try_emplace(name, std::move(tensor)).second || Refuse(name, "is given twice");
  }

  // The ranges in order must meet end to begin, from the first data byte to the last.
  bool CheckCover() {
    std::vector<std::pair<std::span<const std::byte>, const std::string*>> ranges;
    ranges.reserve(tensors_.size());
    for (const auto& [name, tensor] : tensors_) ranges.emplace_back(tensor.bytes, &name);
    std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) {
      return std::pair(a.first.data(), a.first.size()) < std::pair(b.first.data(), b.first.size());
    });
    const std::byte* covered = data_.data();
    for (const auto& [bytes, name] : ranges) {
      if (bytes.data() != covered) {
        return Refuse(*name, absl::StrCat("data_offsets: begins at ", bytes.data() - data_.data(),
                                          ", the tensor before ends at ", covered - data_.data()));
      }
      covered += bytes.size();
    }
    const size_t left = data_.size() - static_cast<size_t>(covered - data_.data());
    return left == 0 || Refuse("data", absl::StrCat("the last ", left, " bytes belong to no tensor"));
  }

  bool Refuse(const std::string& name, const std::string& what) {
    if (error_.empty()) error_ = absl::StrCat(Printable(name), ": ", what);
    return false;
  }

  JsonCursor cursor_;
  std::span<const std::byte> data_;
  SafetensorsFile::Tensors tensors_;
  bool has_metadata_ = false;
  std::string error_;
};

// Returns the header's length after checking it against the file's.
absl::StatusOr<uint64_t> HeaderBytes(std::span<const std::byte> bytes) {
  if (bytes.size() < kPrefixBytes + kMinHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat("header: the file has only ", bytes.size(), " bytes"));
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length < kMinHeaderBytes || length > kMaxHeaderBytes || length > bytes.size() - kPrefixBytes) {
    return absl::InvalidArgumentError(absl::StrCat("header: length ", length, " is not in ", kMinHeaderBytes, "..",
                                                   std::min<uint64_t>(kMaxHeaderBytes, bytes.size() - kPrefixBytes)));
  }
  return length;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(auto file, MappedFile::Open(path));
  const std::span<const std::byte> bytes = file->bytes();
  const absl::StatusOr<uint64_t> length = HeaderBytes(bytes);
  if (!length.ok()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", length.status().message()));
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + kPrefixBytes, *length);
  HeaderReader reader(header, bytes.subspan(kPrefixBytes + *length));
  if (!reader.Read()) return absl::InvalidArgumentError(absl::StrCat(path, ": ", reader.error()));
  return std::unique_ptr<SafetensorsFile>(new SafetensorsFile(std::move(file), reader.Take()));
}

}  // namespace braid
