#include "models/blocks/weight_loader.h"

#include <algorithm>
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

// Appends what `axes` keep of the dense tensor at `from`.
void Gather(const float* from, std::span<const Axis> axes, std::vector<float>* to) {
  int64_t stride = 1;
  for (const Axis& inner : axes.subspan(1)) stride *= inner.stored();
  for (const Axis::Run& run : axes[0].runs()) {
    if (axes.size() == 1) {
      to->insert(to->end(), from + run.begin, from + run.end);
      continue;
    }
    for (int64_t i = run.begin; i < run.end; ++i) Gather(from + i * stride, axes.subspan(1), to);
  }
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

void WeightLoader::Fail(const std::string& what) const {
  scope_.Fail(absl::InvalidArgumentError(absl::StrCat(scope_.checkpoint().path(), ": ", what)));
}

void WeightLoader::FailAt(std::string_view name, const absl::Status& why) const {
  scope_.Fail(absl::Status(why.code(), absl::StrCat(scope_.checkpoint().path(), ": ", scope_.prefix(), std::string(name),
                                                    ": ", why.message())));
}

void WeightLoader::Count(const StoredTensor& tensor) const {
  tally_->read += static_cast<int64_t>(tensor.bytes.size());
  scope_.checkpoint().ReleasePages(tensor);
  if (tally_->progress) tally_->progress(tally_->read, tally_->total);
}

OwnedMatrix WeightLoader::Made(absl::StatusOr<OwnedMatrix> made, std::string_view name) const {
  if (made.ok()) return *std::move(made);
  FailAt(name, made.status());
  return {};
}

WeightLoader::Piece WeightLoader::CutPiece(StoredMatrix stored, const Axis& rows, const Axis& cols,
                                           std::string_view name) const {
  if (!scope_.status().ok()) return {};
  if (!stored.input_order.empty() && !cols.is_whole()) {
    FailAt(name, absl::InvalidArgumentError("its inputs have an order of their own (g_idx), which ranks cannot share"));
    return {};
  }
  OwnedMatrix cut = Made(Cut(stored.part, rows, cols), name);
  return {.matrix = std::move(cut), .stored = std::move(stored)};
}

WeightLoader::Piece WeightLoader::MatrixPiece(std::string_view name, const Axis& rows, const Axis& cols) const {
  return CutPiece(FindMatrix(scope_, tally_->quantization, name, rows.stored(), cols.stored()), rows, cols, name);
}

WeightLoader::Piece WeightLoader::ExpertPiece(std::string_view name, int64_t expert, int64_t experts, const Axis& rows,
                                              const Axis& cols) const {
  return CutPiece(FindExpert(scope_, tally_->quantization, name, expert, experts, rows.stored(), cols.stored()), rows,
                  cols, name);
}

WeightLoader::Piece WeightLoader::TurnedPiece(std::string_view name, int64_t expert, int64_t experts, const Axis& rows,
                                              const Axis& cols) const {
  if (scope_.Has(absl::StrCat(std::string(name), "_blocks"))) return ExpertPiece(name, expert, experts, rows, cols);
  const StoredMatrix stored = FindExpert(scope_, tally_->quantization, name, expert, experts, cols.stored(), rows.stored());
  if (!scope_.status().ok()) return {};
  OwnedMatrix turned = Made(Transposed(stored.part), name);
  if (!scope_.status().ok()) return {};
  OwnedMatrix cut = Made(Cut(turned.part, rows, cols), name);
  if (cut.codes.empty()) cut.codes = std::move(turned.codes);  // which its part then lies in
  return {.matrix = std::move(cut), .stored = stored};
}

Weight WeightLoader::PackPieces(const std::vector<Piece>& pieces, bool gate_up_pair, const std::string& names) const {
  if (!scope_.status().ok()) return nullptr;
  WeightSource source{.parts = {}, .gate_up_pair = gate_up_pair};
  for (const Piece& piece : pieces) source.parts.push_back(piece.matrix.part);
  source.input_order = pieces[0].stored.input_order;
  for (const Piece& piece : pieces) {
    if (piece.stored.input_order == source.input_order) continue;
    FailAt(names, absl::UnimplementedError("their inputs are ordered differently, want one g_idx for all"));
    return nullptr;
  }
  absl::StatusOr<std::unique_ptr<PackedWeight>> packed = backend_->Pack(source);
  if (!packed.ok()) {
    FailAt(names, packed.status());
    return nullptr;
  }
  tally_->packed += (*packed)->bytes();
  for (const Piece& piece : pieces) {
    for (const StoredTensor& tensor : piece.stored.tensors) Count(tensor);
  }
  return *std::move(packed);
}

Weight WeightLoader::PackOne(Piece piece, const std::string& name) const {
  std::vector<Piece> pieces;
  pieces.push_back(std::move(piece));
  return PackPieces(pieces, false, name);
}

// Where both lie in one matrix its tensors count once.
Weight WeightLoader::PackPair(Piece gate, Piece up, const std::string& names, bool in_one) const {
  if (in_one) up.stored.tensors.clear();
  std::vector<Piece> pieces;
  pieces.push_back(std::move(gate));
  pieces.push_back(std::move(up));
  return PackPieces(pieces, true, names);
}

Weight WeightLoader::Stack(const std::vector<RowsOf>& matrices, const Axis& cols) const {
  std::vector<Piece> pieces;
  std::string names;
  for (const RowsOf& matrix : matrices) {
    pieces.push_back(MatrixPiece(matrix.name, matrix.rows, cols));
    absl::StrAppend(&names, names.empty() ? "" : "+", matrix.name);
  }
  return PackPieces(pieces, false, names);
}

Weight WeightLoader::Matrix(std::string_view name, const Axis& rows, const Axis& cols) const {
  return PackOne(MatrixPiece(name, rows, cols), std::string(name));
}

Weight WeightLoader::GateUp(std::string_view gate, std::string_view up, const Axis& rows, const Axis& cols) const {
  return PackPair(MatrixPiece(gate, rows, cols), MatrixPiece(up, rows, cols),
                  absl::StrCat(std::string(gate), "+", std::string(up)), false);
}

Weight WeightLoader::Expert(std::string_view name, int64_t expert, int64_t experts, const Axis& rows,
                            const Axis& cols) const {
  return PackOne(ExpertPiece(name, expert, experts, rows, cols), absl::StrCat(std::string(name), "[", expert, "]"));
}

Weight WeightLoader::ExpertGateUp(std::string_view gate, std::string_view up, int64_t expert, int64_t experts,
                                  const Axis& rows, const Axis& cols) const {
  return PackPair(ExpertPiece(gate, expert, experts, rows, cols), ExpertPiece(up, expert, experts, rows, cols),
                  absl::StrCat(std::string(gate), "+", std::string(up), "[", expert, "]"), false);
}

Weight WeightLoader::GateUpStack(std::string_view name, const Axis& rows, const Axis& cols) const {
  const int64_t both = 2 * rows.stored();
  return PackPair(MatrixPiece(name, rows.Within(both, 0), cols), MatrixPiece(name, rows.Within(both, rows.stored()), cols),
                  std::string(name), true);
}

Weight WeightLoader::ExpertGateUpStack(std::string_view name, int64_t expert, int64_t experts, const Axis& rows,
                                       const Axis& cols) const {
  const int64_t both = 2 * rows.stored();
  return PackPair(ExpertPiece(name, expert, experts, rows.Within(both, 0), cols),
                  ExpertPiece(name, expert, experts, rows.Within(both, rows.stored()), cols),
                  absl::StrCat(std::string(name), "[", expert, "]"), true);
}

Weight WeightLoader::TurnedExpert(std::string_view name, int64_t expert, int64_t experts, const Axis& rows,
                                  const Axis& cols) const {
  return PackOne(TurnedPiece(name, expert, experts, rows, cols), absl::StrCat(std::string(name), "[", expert, "]"));
}

Weight WeightLoader::TurnedExpertGateUp(std::string_view name, int64_t expert, int64_t experts, const Axis& rows,
                                        const Axis& cols) const {
  const Piece both = TurnedPiece(name, expert, experts, Whole(2 * rows.stored()), Whole(cols.stored()));
  if (!scope_.status().ok()) return nullptr;
  const auto half = [&](int64_t at) {
    return Piece{.matrix = Made(Cut(both.matrix.part, rows.Spread(2, at), cols), name), .stored = both.stored};
  };
  return PackPair(half(0), half(1), absl::StrCat(std::string(name), "[", expert, "]"), true);
}

std::vector<float> WeightLoader::Floats(std::string_view name, const std::vector<Axis>& axes) const {
  Shape shape;
  for (const Axis& axis : axes) shape.push_back(axis.stored());
  const StoredTensor tensor = scope_.Require(name, shape);
  std::vector<float> values;
  if (!scope_.status().ok()) return values;
  if (absl::Status read = ToFloats(tensor, &values); !read.ok()) {
    FailAt(name, read);
    return {};
  }
  if (!std::all_of(axes.begin(), axes.end(), [](const Axis& axis) { return axis.is_whole(); })) {
    std::vector<float> kept;
    Gather(values.data(), axes, &kept);
    values = std::move(kept);
  }
  tally_->packed += static_cast<int64_t>(values.size() * sizeof(float));
  Count(tensor);
  return values;
}

Parameter WeightLoader::KeepOnFirst(std::string_view name, const std::vector<Axis>& axes) const {
  const std::vector<float> values = Floats(name, axes);
  return place().rank == 0 ? Keep(values) : Parameter();
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
