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
  absl::StatusOr<Quantization> quantization = ReadQuantization(checkpoint);
  if (quantization.ok()) tally_->quantization = *std::move(quantization);
  else scope_.Fail(quantization.status());
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
  std::vector<StoredMatrix> stored;
  std::string names;
  for (const RowsOf& matrix : matrices) {
    stored.push_back(FindMatrix(scope_, tally_->quantization, matrix.name, matrix.rows, cols));
    absl::StrAppend(&names, names.empty() ? "" : "+", scope_.prefix(), matrix.name);
  }
  return PackStored(stored, gate_up_pair, names);
}

Weight WeightLoader::PackStored(const std::vector<StoredMatrix>& stored, bool gate_up_pair,
                                const std::string& names) const {
  if (!scope_.status().ok()) return nullptr;
  WeightSource source{.parts = {}, .gate_up_pair = gate_up_pair};
  for (const StoredMatrix& matrix : stored) source.parts.push_back(matrix.part);
  source.input_order = stored[0].input_order;
  for (const StoredMatrix& matrix : stored) {
    if (matrix.input_order == source.input_order) continue;
    scope_.Fail(absl::UnimplementedError(absl::StrCat(scope_.checkpoint().path(), ": ", names,
                                                      ": their inputs are ordered differently, want one g_idx for all")));
    return nullptr;
  }
  absl::StatusOr<std::unique_ptr<PackedWeight>> packed = backend_->Pack(source);
  if (!packed.ok()) {
    scope_.Fail(absl::Status(packed.status().code(), absl::StrCat(scope_.checkpoint().path(), ": ", names, ": ",
                                                                  packed.status().message())));
    return nullptr;
  }
  tally_->packed += (*packed)->bytes();
  for (const StoredMatrix& matrix : stored) {
    for (const StoredTensor& tensor : matrix.tensors) Count(tensor);
  }
  return *std::move(packed);
}

Weight WeightLoader::Expert(std::string_view name, int64_t expert, int64_t experts, int64_t rows, int64_t cols) const {
  const StoredMatrix stored = FindExpert(scope_, tally_->quantization, name, expert, experts, rows, cols);
  return PackStored({stored}, false, absl::StrCat(scope_.prefix(), std::string(name), "[", expert, "]"));
}

Weight WeightLoader::ExpertGateUp(std::string_view gate, std::string_view up, int64_t expert, int64_t experts,
                                  int64_t rows, int64_t cols) const {
  const Quantization& quantization = tally_->quantization;
  return PackStored({FindExpert(scope_, quantization, gate, expert, experts, rows, cols),
                     FindExpert(scope_, quantization, up, expert, experts, rows, cols)},
                    true, absl::StrCat(scope_.prefix(), std::string(gate), "+", std::string(up), "[", expert, "]"));
}

OwnedMatrix WeightLoader::Made(absl::StatusOr<OwnedMatrix> made, std::string_view name) const {
  if (made.ok()) return *std::move(made);
  scope_.Fail(absl::Status(made.status().code(), absl::StrCat(scope_.checkpoint().path(), ": ", scope_.prefix(),
                                                              std::string(name), ": ", made.status().message())));
  return {};
}

Weight WeightLoader::MatrixRows(std::string_view name, int64_t rows, int64_t cols,
                                const std::vector<int64_t>& order) const {
  StoredMatrix stored = FindMatrix(scope_, tally_->quantization, name, rows, cols);
  if (!scope_.status().ok()) return nullptr;
  const OwnedMatrix ordered = Made(TakeRows(stored.part, order), name);
  stored.part = ordered.part;
  return PackStored({stored}, false, absl::StrCat(scope_.prefix(), std::string(name)));
}

StoredMatrix WeightLoader::FindTurned(std::string_view name, int64_t expert, int64_t experts, int64_t rows,
                                      int64_t cols, OwnedMatrix* owned) const {
  const bool packed = scope_.Has(absl::StrCat(std::string(name), "_blocks"));
  StoredMatrix stored =
      FindExpert(scope_, tally_->quantization, name, expert, experts, packed ? rows : cols, packed ? cols : rows);
  if (packed || !scope_.status().ok()) return stored;
  *owned = Made(Transposed(stored.part), name);
  stored.part = owned->part;
  return stored;
}

Weight WeightLoader::TurnedExpert(std::string_view name, int64_t expert, int64_t experts, int64_t rows,
                                  int64_t cols) const {
  OwnedMatrix owned;
  return PackStored({FindTurned(name, expert, experts, rows, cols, &owned)}, false,
                    absl::StrCat(scope_.prefix(), std::string(name), "[", expert, "]"));
}

Weight WeightLoader::TurnedExpertGateUp(std::string_view name, int64_t expert, int64_t experts, int64_t rows,
                                        int64_t cols) const {
  OwnedMatrix owned;
  return PackPair(FindTurned(name, expert, experts, 2 * rows, cols, &owned), {0, 1, 2, rows},
                  absl::StrCat(std::string(name), "[", expert, "]"));
}

Weight WeightLoader::PackPair(StoredMatrix both, const PairRows& pair, const std::string& name) const {
  if (!scope_.status().ok()) return nullptr;
  std::vector<int64_t> gates, ups;
  for (int64_t i = 0; i < pair.rows; ++i) {
    gates.push_back(pair.first + i * pair.step);
    ups.push_back(pair.second + i * pair.step);
  }
  const OwnedMatrix gate = Made(TakeRows(both.part, gates), name), up = Made(TakeRows(both.part, ups), name);
  both.part = gate.part;
  return PackStored({both, {.part = up.part, .tensors = {}, .input_order = both.input_order}}, true, absl::StrCat(scope_.prefix(), name));
}

Weight WeightLoader::GateUpStack(std::string_view name, int64_t rows, int64_t cols) const {
  return PackPair(FindMatrix(scope_, tally_->quantization, name, 2 * rows, cols), {0, rows, 1, rows}, std::string(name));
}

Weight WeightLoader::ExpertGateUpStack(std::string_view name, int64_t expert, int64_t experts, int64_t rows,
                                       int64_t cols) const {
  return PackPair(FindExpert(scope_, tally_->quantization, name, expert, experts, 2 * rows, cols), {0, rows, 1, rows},
                  absl::StrCat(std::string(name), "[", expert, "]"));
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

Parameter WeightLoader::Keep(const std::vector<float>& values) const {
  if (!scope_.status().ok()) return {};
  absl::StatusOr<Parameter> parameter = Parameter::Make(*backend_, values);
  if (parameter.ok()) return *std::move(parameter);
  scope_.Fail(absl::Status(parameter.status().code(),
                           absl::StrCat(scope_.checkpoint().path(), ": ", scope_.prefix(), "*: ", parameter.status().message())));
  return {};
}

Parameter WeightLoader::KeepFactors(std::initializer_list<Run> runs) const {
  std::vector<float> factors;
  bool all_one = true;
  for (const Run& run : runs) {
    factors.insert(factors.end(), static_cast<size_t>(run.columns), run.factor);
    all_one &= run.factor == 1.0f;
  }
  return all_one ? Parameter() : Keep(factors);
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
