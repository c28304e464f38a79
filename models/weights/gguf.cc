#include "models/weights/gguf.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "models/weights/checked_size.h"

static_assert(std::endian::native == std::endian::little, "GGUF is little-endian, and so are we");

namespace braid {
namespace {

constexpr uint32_t kVersion = 3;
constexpr uint64_t kMaxMetadata = 65'536;
constexpr uint64_t kMaxTensors = uint64_t{1} << 20;
constexpr uint64_t kMaxNameBytes = 65'535;
constexpr uint64_t kMaxDims = 4;
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = uint64_t{1} << 20;

// A ggml tensor type by its number in the file; without a dtype we cannot compute with it.
struct GgmlType {
  uint32_t number;
  const char* name;
  std::optional<DType> dtype;
};
constexpr GgmlType kGgmlTypes[] = {
    {0, "F32", DType::kF32},        {1, "F16", DType::kF16},
    {2, "Q4_0", DType::kQ4_0},      {3, "Q4_1", DType::kQ4_1},
    {6, "Q5_0", DType::kQ5_0},      {7, "Q5_1", DType::kQ5_1},
    {8, "Q8_0", DType::kQ8_0},      {9, "Q8_1", std::nullopt},
    {10, "Q2_K", DType::kQ2_K},     {11, "Q3_K", DType::kQ3_K},
    {12, "Q4_K", DType::kQ4_K},     {13, "Q5_K", DType::kQ5_K},
    {14, "Q6_K", DType::kQ6_K},     {15, "Q8_K", std::nullopt},
    {16, "IQ2_XXS", std::nullopt},  {17, "IQ2_XS", std::nullopt},
    {18, "IQ3_XXS", std::nullopt},  {19, "IQ1_S", std::nullopt},
    {20, "IQ4_NL", DType::kIQ4_NL}, {21, "IQ3_S", std::nullopt},
    {22, "IQ2_S", std::nullopt},    {23, "IQ4_XS", std::nullopt},
    {24, "I8", std::nullopt},       {25, "I16", std::nullopt},
    {26, "I32", std::nullopt},      {27, "I64", std::nullopt},
    {28, "F64", std::nullopt},      {29, "IQ1_M", std::nullopt},
    {30, "BF16", DType::kBF16},     {34, "TQ1_0", std::nullopt},
    {35, "TQ2_0", std::nullopt},    {39, "MXFP4", DType::kMXFP4Blocks},
    {40, "NVFP4", std::nullopt},
};

absl::StatusOr<DType> DTypeOf(uint32_t number) {
  const auto* type = std::find_if(std::begin(kGgmlTypes), std::end(kGgmlTypes),
                                  [&](const GgmlType& known) { return known.number == number; });
  const char* name = type == std::end(kGgmlTypes) ? "unknown" : type->name;
  if (type != std::end(kGgmlTypes) && type->dtype.has_value()) return *type->dtype;
  return absl::UnimplementedError(
      absl::StrCat("type ", name, " (", number, "), want F32, F16, BF16, Q2_K to Q6_K, Q4_0 to Q8_0, IQ4_NL or MXFP4"));
}

// Bytes of one scalar; 0 for strings, arrays and unknown types.
uint64_t WidthOf(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    default:
      return 0;
  }
}

template <class T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// The scalar at `from`, widened.
GgufValue LoadScalar(GgufType type, const std::byte* from) {
  switch (type) {
    case GgufType::kU8:
      return uint64_t{Load<uint8_t>(from)};
    case GgufType::kI8:
      return int64_t{Load<int8_t>(from)};
    case GgufType::kU16:
      return uint64_t{Load<uint16_t>(from)};
    case GgufType::kI16:
      return int64_t{Load<int16_t>(from)};
    case GgufType::kU32:
      return uint64_t{Load<uint32_t>(from)};
    case GgufType::kI32:
      return int64_t{Load<int32_t>(from)};
    case GgufType::kU64:
      return Load<uint64_t>(from);
    case GgufType::kI64:
      return Load<int64_t>(from);
    case GgufType::kF32:
      return double{Load<float>(from)};
    case GgufType::kF64:
      return Load<double>(from);
    case GgufType::kBool:
      return Load<uint8_t>(from) != 0;
    default:
      break;
  }
  CHECK(false) << "no scalar: " << static_cast<uint32_t>(type);
  return false;
}

// Takes values off the front of the file's bytes; an error says that the file ended.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }

  absl::StatusOr<std::span<const std::byte>> Take(uint64_t count) {
    if (count > left()) {
      return absl::InvalidArgumentError(absl::StrCat("wants ", count, " bytes, the file has ", left(), " left"));
    }
    const auto taken = bytes_.subspan(position_, count);
    position_ += count;
    return taken;
  }
  template <class T>
  absl::StatusOr<T> Number() {
    ASSIGN_OR_RETURN(const auto taken, Take(sizeof(T)));
    return Load<T>(taken.data());
  }
  absl::StatusOr<std::string_view> Text() {
    ASSIGN_OR_RETURN(const uint64_t length, Number<uint64_t>());
    ASSIGN_OR_RETURN(const auto taken, Take(length));
    return std::string_view(reinterpret_cast<const char*>(taken.data()), taken.size());
  }
  absl::StatusOr<std::string> Name() {
    ASSIGN_OR_RETURN(const std::string_view name, Text());
    if (name.empty() || name.size() > kMaxNameBytes) {
      return absl::InvalidArgumentError(absl::StrCat("a name of ", name.size(), " bytes"));
    }
    return std::string(name);
  }
  // A count of things of at least `min_bytes` each.
  absl::StatusOr<uint64_t> Count(uint64_t min_bytes, uint64_t max) {
    ASSIGN_OR_RETURN(const uint64_t count, Number<uint64_t>());
    if (count > max || count > left() / min_bytes) {
      return absl::InvalidArgumentError(absl::StrCat(count, " is more than ", std::min(max, left() / min_bytes)));
    }
    return count;
  }

 private:
  std::span<const std::byte> bytes_;
  uint64_t position_ = 0;
};

absl::Status Named(const std::string& name, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(name, ": ", status.message()));
}

// A bool is 0 or 1 in the file.
absl::Status CheckBools(std::span<const std::byte> bytes) {
  const bool ok = std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b <= std::byte{1}; });
  return ok ? absl::OkStatus() : absl::InvalidArgumentError("a bool that is neither 0 nor 1");
}

absl::StatusOr<GgufArray> ReadArray(ByteReader& reader) {
  GgufArray array;
  ASSIGN_OR_RETURN(const uint32_t element, reader.Number<uint32_t>());
  array.element = static_cast<GgufType>(element);
  const uint64_t width = WidthOf(array.element);
  const bool text = array.element == GgufType::kString;
  if (width == 0 && !text) return absl::InvalidArgumentError(absl::StrCat("an array of type ", element));
  ASSIGN_OR_RETURN(array.count, reader.Count(text ? 8 : width, std::numeric_limits<uint64_t>::max()));
  if (!text) {
    ASSIGN_OR_RETURN(array.bytes, reader.Take(array.count * width));  // cannot overflow: Count
    if (array.element == GgufType::kBool) RETURN_IF_ERROR(CheckBools(array.bytes));
    return array;
  }
  ByteReader begin = reader;
  for (uint64_t i = 0; i < array.count; ++i) RETURN_IF_ERROR(reader.Text().status());
  ASSIGN_OR_RETURN(array.bytes, begin.Take(reader.position() - begin.position()));
  return array;
}

absl::StatusOr<GgufValue> ReadValue(ByteReader& reader) {
  ASSIGN_OR_RETURN(const uint32_t number, reader.Number<uint32_t>());
  const auto type = static_cast<GgufType>(number);
  if (type == GgufType::kString) {
    ASSIGN_OR_RETURN(const std::string_view text, reader.Text());
    return text;
  }
  if (type == GgufType::kArray) {
    ASSIGN_OR_RETURN(GgufArray array, ReadArray(reader));
    return array;
  }
  const uint64_t width = WidthOf(type);
  if (width == 0) return absl::InvalidArgumentError(absl::StrCat("type ", number, " is not known"));
  ASSIGN_OR_RETURN(const auto bytes, reader.Take(width));
  if (type == GgufType::kBool) RETURN_IF_ERROR(CheckBools(bytes));
  return LoadScalar(type, bytes.data());
}

absl::Status ReadMetadata(ByteReader& reader, uint64_t count, GgufFile::Metadata* metadata) {
  for (uint64_t i = 0; i < count; ++i) {
    absl::StatusOr<std::string> key = reader.Name();
    if (!key.ok()) return Named(absl::StrCat("key ", i), key.status());
    absl::StatusOr<GgufValue> value = ReadValue(reader);
    if (!value.ok()) return Named(Printable(*key), value.status());
    if (!metadata->try_emplace(*key, *std::move(value)).second) {
      return Named(Printable(*key), absl::InvalidArgumentError("is given twice"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Alignment(const GgufFile::Metadata& metadata) {
  const auto found = metadata.find("general.alignment");
  if (found == metadata.end()) return kDefaultAlignment;
  const uint64_t* alignment = std::get_if<uint64_t>(&found->second);
  if (alignment == nullptr || !std::has_single_bit(*alignment) || *alignment > kMaxAlignment) {
    return absl::InvalidArgumentError(absl::StrCat("general.alignment: want a power of two up to ", kMaxAlignment));
  }
  return *alignment;
}

// One tensor's entry: where it begins behind the data start.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

absl::Status ReadInfo(ByteReader& reader, TensorInfo* info) {
  ASSIGN_OR_RETURN(const uint32_t dims, reader.Number<uint32_t>());
  if (dims < 1 || dims > kMaxDims) return absl::InvalidArgumentError(absl::StrCat(dims, " dimensions, want 1..4"));
  info->shape.resize(dims);
  for (uint32_t i = 0; i < dims; ++i) {
    ASSIGN_OR_RETURN(const uint64_t ne, reader.Number<uint64_t>());
    if (ne < 1 || ne > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return absl::InvalidArgumentError(absl::StrCat("dimension ", i, " is ", ne));
    }
    info->shape[dims - 1 - i] = static_cast<int64_t>(ne);  // the file begins with the innermost
  }
  ASSIGN_OR_RETURN(const uint32_t type, reader.Number<uint32_t>());
  ASSIGN_OR_RETURN(info->dtype, DTypeOf(type));
  const std::optional<uint64_t> bytes = ByteSize(info->dtype, info->shape);
  if (!bytes.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat("shape ", ShapeString(info->shape),
                                                   " is too large or no whole blocks of ", DTypeName(info->dtype)));
  }
  info->bytes = *bytes;
  ASSIGN_OR_RETURN(info->offset, reader.Number<uint64_t>());
  return absl::OkStatus();
}

// Every range aligned, inside `data_bytes`, and clear of the others.
absl::Status CheckRanges(std::vector<TensorInfo>& infos, uint64_t alignment, uint64_t data_bytes) {
  std::sort(infos.begin(), infos.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  uint64_t end = 0;
  for (const TensorInfo& info : infos) {
    if (info.offset % alignment != 0 || info.offset > data_bytes || info.bytes > data_bytes - info.offset) {
      return Named(Printable(info.name), absl::InvalidArgumentError(absl::StrCat(
                                             "offset ", info.offset, " of ", info.bytes, " bytes is not aligned to ",
                                             alignment, " or not inside the ", data_bytes, " data bytes")));
    }
    if (info.offset < end) {
      return Named(Printable(info.name),
                   absl::InvalidArgumentError(absl::StrCat("offset ", info.offset, " lies in another tensor")));
    }
    end = info.offset + info.bytes;
  }
  return absl::OkStatus();
}

absl::Status ReadTensors(ByteReader& reader, uint64_t count, uint64_t alignment, std::span<const std::byte> bytes,
                         GgufFile::Tensors* tensors) {
  std::vector<TensorInfo> infos;
  for (uint64_t i = 0; i < count; ++i) {
    absl::StatusOr<std::string> name = reader.Name();
    if (!name.ok()) return Named(absl::StrCat("tensor ", i), name.status());
    TensorInfo& info = infos.emplace_back();
    info.name = *std::move(name);
    RETURN_IF_ERROR(Named(Printable(info.name), ReadInfo(reader, &info)));
  }
  const uint64_t data_start = (reader.position() + alignment - 1) / alignment * alignment;
  const uint64_t data_bytes = data_start < bytes.size() ? bytes.size() - data_start : 0;
  RETURN_IF_ERROR(CheckRanges(infos, alignment, data_bytes));
  for (TensorInfo& info : infos) {
    const StoredTensor tensor{info.dtype, info.shape, bytes.subspan(data_start + info.offset, info.bytes)};
    if (!tensors->try_emplace(info.name, tensor).second) {
      return Named(Printable(info.name), absl::InvalidArgumentError("is given twice"));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadFile(std::span<const std::byte> bytes, GgufFile::Metadata* metadata, GgufFile::Tensors* tensors) {
  ByteReader reader(bytes);
  const auto magic = reader.Take(4);
  if (!magic.ok() || std::memcmp(magic->data(), "GGUF", 4) != 0) {
    return absl::InvalidArgumentError("header: does not begin with GGUF");
  }
  const absl::StatusOr<uint32_t> version = reader.Number<uint32_t>();
  if (!version.ok()) return Named("version", version.status());
  if (*version != kVersion) return absl::UnimplementedError(absl::StrCat("version: ", *version, ", want ", kVersion));
  const absl::StatusOr<uint64_t> num_tensors = reader.Count(33, kMaxTensors);
  if (!num_tensors.ok()) return Named("tensor count", num_tensors.status());
  const absl::StatusOr<uint64_t> num_metadata = reader.Count(14, kMaxMetadata);
  if (!num_metadata.ok()) return Named("metadata count", num_metadata.status());
  RETURN_IF_ERROR(ReadMetadata(reader, *num_metadata, metadata));
  ASSIGN_OR_RETURN(const uint64_t alignment, Alignment(*metadata));
  return ReadTensors(reader, *num_tensors, alignment, bytes, tensors);
}

// The integer in `value` if it is one and lies in T.
template <class T>
std::optional<T> IntegerOf(const GgufValue& value) {
  if (const auto* number = std::get_if<uint64_t>(&value); number != nullptr && std::in_range<T>(*number)) {
    return static_cast<T>(*number);
  }
  if (const auto* number = std::get_if<int64_t>(&value); number != nullptr && std::in_range<T>(*number)) {
    return static_cast<T>(*number);
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(auto file, MappedFile::Open(path));
  Metadata metadata;
  Tensors tensors;
  RETURN_IF_ERROR(Named(path, ReadFile(file->bytes(), &metadata, &tensors)));
  return std::unique_ptr<GgufFile>(new GgufFile(std::move(file), std::move(metadata), std::move(tensors)));
}

absl::Status GgufFile::Wrong(std::string_view key, std::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(path(), ": ", std::string(key), ": ", std::string(what)));
}

absl::StatusOr<GgufValue> GgufFile::Find(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end())
    return absl::NotFoundError(absl::StrCat(path(), ": ", std::string(key), ": is missing"));
  return found->second;
}

absl::StatusOr<uint32_t> GgufFile::GetU32(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue value, Find(key));
  const std::optional<uint32_t> number = IntegerOf<uint32_t>(value);
  if (!number.has_value()) return Wrong(key, "want an integer from 0 to 2^32 - 1");
  return *number;
}

absl::StatusOr<float> GgufFile::GetF32(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue value, Find(key));
  const double* number = std::get_if<double>(&value);
  if (number == nullptr || !std::isfinite(*number) || std::abs(*number) > std::numeric_limits<float>::max()) {
    return Wrong(key, "want a finite number");
  }
  return static_cast<float>(*number);
}

absl::StatusOr<bool> GgufFile::GetBool(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue value, Find(key));
  const bool* truth = std::get_if<bool>(&value);
  if (truth == nullptr) return Wrong(key, "want a bool");
  return *truth;
}

absl::StatusOr<std::string> GgufFile::GetString(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue value, Find(key));
  const std::string_view* text = std::get_if<std::string_view>(&value);
  if (text == nullptr) return Wrong(key, "want a string");
  return std::string(*text);
}

absl::StatusOr<GgufArray> GgufFile::GetArray(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufValue value, Find(key));
  const GgufArray* array = std::get_if<GgufArray>(&value);
  if (array == nullptr) return Wrong(key, "want an array");
  return *array;
}

absl::StatusOr<std::vector<std::string>> GgufFile::GetStrings(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufArray array, GetArray(key));
  if (array.element != GgufType::kString) return Wrong(key, "want an array of strings");
  ByteReader reader(array.bytes);
  std::vector<std::string> strings;
  strings.reserve(array.count);
  for (uint64_t i = 0; i < array.count; ++i) {
    ASSIGN_OR_RETURN(const std::string_view text, reader.Text());
    strings.emplace_back(text);
  }
  return strings;
}

absl::StatusOr<std::vector<int32_t>> GgufFile::GetI32s(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufArray array, GetArray(key));
  if (array.element == GgufType::kString) return Wrong(key, "want an array of integers");
  std::vector<int32_t> numbers(array.count);
  for (uint64_t i = 0; i < array.count; ++i) {
    const GgufValue value = LoadScalar(array.element, array.bytes.data() + i * WidthOf(array.element));
    const std::optional<int32_t> number = IntegerOf<int32_t>(value);
    if (!number.has_value()) return Wrong(key, absl::StrCat("element ", i, " is no 32-bit integer"));
    numbers[i] = *number;
  }
  return numbers;
}

absl::StatusOr<std::vector<float>> GgufFile::GetF32s(std::string_view key) const {
  ASSIGN_OR_RETURN(const GgufArray array, GetArray(key));
  if (array.element != GgufType::kF32) return Wrong(key, "want an array of f32");
  std::vector<float> numbers(array.count);
  if (array.count > 0) std::memcpy(numbers.data(), array.bytes.data(), array.bytes.size());
  return numbers;
}

}  // namespace braid
