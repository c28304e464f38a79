#include "models/blocks/weight_loader.h"

#include <cmath>
#include <cstring>

#include "kernels/float_types.h"

namespace braid {
namespace {

template <class T>
void Widen(std::span<const std::byte> bytes, std::vector<float>* out) {
  for (size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof(T));
    out->push_back(ToFloat(value));
  }
}

absl::Status ToFloats(const StoredTensor& tensor, std::vector<float>* out) {
  switch (tensor.dtype) {
    case DType::kF32: Widen<float>(tensor.bytes, out); break;
    case DType::kF16: Widen<F16>(tensor.bytes, out); break;
    case DType::kBF16: Widen<Bf16>(tensor.bytes, out); break;
    default:
      return absl::InvalidArgumentError(absl::StrCat("has type ", DTypeName(tensor.dtype), ", want F32, F16 or BF16"));
  }
  for (float value : *out) {
    if (!std::isfinite(value)) return absl::InvalidArgumentError("holds a value that is not finite");
  }
  return absl::OkStatus();
}

}  // namespace

WeightLoader::WeightLoader(const Checkpoint& checkpoint, Backend& backend, const LoadProgress& progress)
    : scope_(checkpoint), backend_(&backend), tally_(std::make_shared<Tally>()) {
  tally_->total = checkpoint.TotalBytes();
  tally_->progress = progress;
}

WeightLoader WeightLoader::Child(std::string_view name) const {
  return WeightLoader(scope_.Child(name), backend_, tally_);
}

void WeightLoader::Count(const StoredTensor& tensor) const {
  tally_->read += static_cast<int64_t>(tensor.bytes.size());
  scope_.checkpoint().ReleasePages(tensor);
  if (tally_->progress) tally_->progress(tally_->read, tally_->total);
}

Weight WeightLoader::Pack(const std::vector<RowsOf>& matrices, int64_t cols, bool gate_up_pair) const {
  WeightSource source{.parts = {}, .gate_up_pair = gate_up_pair};
  std::vector<StoredTensor> tensors;
  std::string names;
  for (const RowsOf& matrix : matrices) {
    tensors.push_back(scope_.Require(matrix.name, {matrix.rows, cols}));
    source.parts.push_back({tensors.back().dtype, matrix.rows, cols, tensors.back().bytes});
    absl::StrAppend(&names, names.empty() ? "" : "+", scope_.prefix(), matrix.name);
  }
  if (!scope_.status().ok()) return nullptr;
  absl::StatusOr<std::unique_ptr<PackedWeight>> packed = backend_->Pack(source);
  if (!packed.ok()) {
    scope_.Fail(absl::Status(packed.status().code(), absl::StrCat(scope_.checkpoint().path(), ": ", names, ": ",
                                                                  packed.status().message())));
    return nullptr;
  }
  tally_->packed += (*packed)->bytes();
  for (const StoredTensor& tensor : tensors) Count(tensor);
  return *std::move(packed);
}

Weight WeightLoader::Stack(const std::vector<RowsOf>& matrices, int64_t cols) const {
  return Pack(matrices, cols, false);
}

Weight WeightLoader::Matrix(std::string_view name, int64_t rows, int64_t cols) const {
  return Pack({{std::string(name), rows}}, cols, false);
}

Weight WeightLoader::GateUp(std::string_view gate, std::string_view up, int64_t rows, int64_t cols) const {
  return Pack({{std::string(gate), rows}, {std::string(up), rows}}, cols, true);
}

std::vector<float> WeightLoader::Floats(std::string_view name, const Shape& shape) const {
  const StoredTensor tensor = scope_.Require(name, shape);
  std::vector<float> values;
  if (!scope_.status().ok()) return values;
  if (absl::Status read = ToFloats(tensor, &values); !read.ok()) {
    scope_.Fail(absl::Status(
        read.code(), absl::StrCat(scope_.checkpoint().path(), ": ", scope_.prefix(), std::string(name), ": ",
                                  read.message())));
    return {};
  }
  tally_->packed += static_cast<int64_t>(values.size() * sizeof(float));
  Count(tensor);
  return values;
}

std::vector<float> WeightLoader::FloatStack(const std::vector<RowsOf>& vectors) const {
  std::vector<float> all;
  for (const RowsOf& vector : vectors) {
    const std::vector<float> one = Floats(vector.name, {vector.rows});
    all.insert(all.end(), one.begin(), one.end());
  }
  return all;
}

}  // namespace braid
