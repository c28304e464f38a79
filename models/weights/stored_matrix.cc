#include "models/weights/stored_matrix.h"

#include <cmath>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "kernels/float_types.h"
#include "models/weights/checked_size.h"
#include "models/weights/integer_matrix.h"

namespace braid {
namespace {

bool IsScaleFloat(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

// Reads one matrix; the first error goes to the scope.
class MatrixReader {
 public:
  MatrixReader(const WeightScope& scope, const Quantization& quantization, std::string_view name, int64_t rows,
               int64_t cols)
      : scope_(scope), quantization_(quantization), name_(name), rows_(rows), cols_(cols) {}

  StoredMatrix Read() {
    if (const StoredTensor* packed = Find("_packed"); packed != nullptr) {
      ReadPacked(*packed);
    } else if (const StoredTensor* tensor = Find(""); tensor != nullptr && tensor->dtype == DType::kF8E4M3) {
      ReadFp8();
    } else if (tensor != nullptr && tensor->dtype == DType::kU8) {
      ReadModelOptFp4();
    } else {
      const StoredTensor whole = Take("", {rows_, cols_});
      out_.part = {whole.dtype, rows_, cols_, whole.bytes};
    }
    MarkCompanions();
    return Finish();
  }

  StoredMatrix ReadExpert(int64_t expert, int64_t experts) {
    return Find("_blocks") != nullptr ? ReadMxFp4Expert(expert, experts) : ReadPlainExpert(expert, experts);
  }

 private:
  StoredMatrix ReadPlainExpert(int64_t expert, int64_t experts) {
    const StoredTensor all = Take("", {experts, rows_, cols_});
    if (!scope_.status().ok()) return {};
    const size_t bytes = all.bytes.size() / experts;
    out_.part = {all.dtype, rows_, cols_, all.bytes.subspan(expert * bytes, bytes)};
    out_.tensors[0].bytes = out_.part.bytes;
    return Finish();
  }

  StoredMatrix ReadMxFp4Expert(int64_t expert, int64_t experts) {
    if (!CheckColumns(32, "MXFP4")) return {};
    const StoredTensor blocks = Take("_blocks", {experts, rows_, cols_ / 32, 16}, DType::kU8);
    const StoredTensor scales = Take("_scales", {experts, rows_, cols_ / 32}, DType::kU8);
    if (!scope_.status().ok()) return {};
    CheckFormat(DType::kMXFP4);
    const size_t code_bytes = blocks.bytes.size() / experts, scale_bytes = scales.bytes.size() / experts;
    out_.part = {DType::kMXFP4, rows_, cols_, blocks.bytes.subspan(expert * code_bytes, code_bytes),
                 {DType::kF8E8M0, 1, 32, scales.bytes.subspan(expert * scale_bytes, scale_bytes)}};
    // The tensors are shared: of each, this expert's bytes count.
    out_.tensors[0].bytes = out_.part.bytes;
    out_.tensors[1].bytes = out_.part.scales.bytes;
    return Finish();
  }

  // Codes that no whole groups fill are refused before their tensors are measured.
  bool CheckColumns(int64_t multiple, const char* format) {
    if (cols_ % multiple == 0) return true;
    Fail("", absl::StrCat("has ", cols_, " columns; ", format, " wants a multiple of ", multiple));
    return false;
  }

  void ReadFp8() {
    const StoredTensor codes = Take("", {rows_, cols_});
    CheckFormat(DType::kF8E4M3);
    out_.part = {DType::kF8E4M3, rows_, cols_, codes.bytes};
    const char* const suffix = Find("_scale_inv") != nullptr ? "_scale_inv" : "_scale";
    const StoredTensor* const scale = Find(suffix);
    if (scale == nullptr) return Missing(suffix, "scale of F8_E4M3");
    if (!IsScaleFloat(scale->dtype)) return WrongType(suffix, scale->dtype, "F32, F16 or BF16");
    out_.tensors.push_back(*scale);
    const int64_t count = NumElements(scale->shape);
    if (count == 1) {
      out_.part.scales.global = Scalar(suffix, *scale);
    } else if (scale->shape == Shape{rows_} || scale->shape == Shape{rows_, 1}) {
      out_.part.scales = {scale->dtype, 1, cols_, scale->bytes};
    } else if (const Quantization::Block* block = BlockFor(scale->shape); block != nullptr) {
      out_.part.scales = {scale->dtype, block->rows, block->cols, scale->bytes};
    } else {
      const Quantization::Block& last = quantization_.blocks.back();
      Fail(suffix, absl::StrCat("has shape ", ShapeString(scale->shape), ", want [], [", rows_, ", 1] or [",
                                CeilDiv(rows_, last.rows), ", ", CeilDiv(cols_, last.cols), "]"));
    }
  }

  const Quantization::Block* BlockFor(const Shape& shape) const {
    for (auto block = quantization_.blocks.rbegin(); block != quantization_.blocks.rend(); ++block) {
      if (shape == Shape{CeilDiv(rows_, block->rows), CeilDiv(cols_, block->cols)}) return &*block;
    }
    return nullptr;
  }

  void ReadModelOptFp4() {
    const StoredTensor* const scales = Find("_scale");
    if (scales == nullptr) return Missing("_scale", "scales of 4-bit codes");
    if (scales->dtype == DType::kU8 || scales->dtype == DType::kF8E8M0) return ReadMxFp4("");
    ReadNvFp4("");
    out_.part.scales.global = TakeScalar("_scale_2");
  }

  void ReadPacked(const StoredTensor& packed) {
    if (packed.dtype != DType::kU8) return WrongType("_packed", packed.dtype, "U8");
    const StoredTensor* const scales = Find("_scale");
    if (scales == nullptr) return Missing("_scale", "scales of 4-bit codes");
    if (scales->dtype == DType::kU8 || scales->dtype == DType::kF8E8M0) return ReadMxFp4("_packed");
    ReadNvFp4("_packed");
    const float reciprocal = TakeScalar("_global_scale");
    if (scope_.status().ok() && !(reciprocal > 0)) {
      return Fail("_global_scale", absl::StrCat("is ", reciprocal, ", want a positive number"));
    }
    out_.part.scales.global = 1.0f / reciprocal;
  }

  void ReadNvFp4(const char* suffix) {
    if (!CheckColumns(16, "NVFP4")) return;
    CheckFormat(DType::kNVFP4);
    const StoredTensor codes = Take(suffix, {rows_, cols_ / 2}, DType::kU8);
    const StoredTensor scales = Take("_scale", {rows_, cols_ / 16}, DType::kF8E4M3);
    out_.part = {DType::kNVFP4, rows_, cols_, codes.bytes, {DType::kF8E4M3, 1, 16, scales.bytes}};
  }

  void ReadMxFp4(const char* suffix) {
    if (!CheckColumns(32, "MXFP4")) return;
    CheckFormat(DType::kMXFP4);
    const StoredTensor codes = Take(suffix, {rows_, cols_ / 2}, DType::kU8);
    const StoredTensor scales = Take("_scale", {rows_, cols_ / 32});
    out_.part = {DType::kMXFP4, rows_, cols_, codes.bytes, {DType::kF8E8M0, 1, 32, scales.bytes}};
  }


  std::string Named(const char* suffix) const { return absl::StrCat(name_, suffix); }
  const StoredTensor* Find(const char* suffix) const { return scope_.Find(Named(suffix)); }

  StoredTensor Take(const char* suffix, const Shape& shape) {
    StoredTensor tensor = scope_.Require(Named(suffix), shape);
    out_.tensors.push_back(tensor);
    return tensor;
  }
  StoredTensor Take(const char* suffix, const Shape& shape, DType wanted) {
    StoredTensor tensor = Take(suffix, shape);
    if (scope_.status().ok() && tensor.dtype != wanted) WrongType(suffix, tensor.dtype, DTypeName(wanted));
    return tensor;
  }

  float TakeScalar(const char* suffix) {
    const StoredTensor* const scale = Find(suffix);
    if (scale == nullptr) {
      Missing(suffix, "scale of the whole matrix");
      return 1.0f;
    }
    if (!IsScaleFloat(scale->dtype)) {
      WrongType(suffix, scale->dtype, "F32, F16 or BF16");
      return 1.0f;
    }
    out_.tensors.push_back(*scale);
    return Scalar(suffix, *scale);
  }

  // The one finite number in `tensor`.
  float Scalar(const char* suffix, const StoredTensor& tensor) {
    if (NumElements(tensor.shape) != 1) {
      Fail(suffix, absl::StrCat("has shape ", ShapeString(tensor.shape), ", want []"));
      return 1.0f;
    }
    uint32_t bits = 0;
    std::memcpy(&bits, tensor.bytes.data(), tensor.bytes.size());
    const auto half = static_cast<uint16_t>(bits);
    const float value = tensor.dtype == DType::kF32   ? std::bit_cast<float>(bits)
                        : tensor.dtype == DType::kF16 ? ToFloat(F16{half})
                                                      : ToFloat(Bf16{half});
    if (!std::isfinite(value)) Fail(suffix, absl::StrCat("is ", value, ", want a finite number"));
    return value;
  }

  void CheckFormat(DType format) {
    const std::string module(absl::StripSuffix(absl::StrCat(scope_.prefix(), name_), ".weight"));
    if (absl::Status agrees = quantization_.Check(module, format); !agrees.ok()) {
      scope_.Fail(absl::Status(agrees.code(), absl::StrCat(scope_.checkpoint().path(), ": ", agrees.message())));
    }
  }

  // Scales of activations and of K and V stand beside the weights; our activations and caches have types of their own.
  void MarkCompanions() {
    const std::string module(absl::StripSuffix(name_, ".weight"));
    for (const char* suffix : {".input_scale", ".input_global_scale", ".output_scale", ".k_scale", ".v_scale"}) {
      scope_.Find(module + suffix);
    }
    for (const char* kv : {"k", "v"}) {
      const std::string projection = absl::StrCat(kv, "_proj");
      if (!absl::EndsWith(module, projection)) continue;
      scope_.Find(absl::StrCat(module.substr(0, module.size() - projection.size()), kv, "_scale"));
    }
    if (scope_.Has(module + ".pre_quant_scale")) {
      scope_.Fail(
          absl::UnimplementedError(absl::StrCat(Shown(".pre_quant_scale"), "AWQ's input scales are not supported")));
    }
  }

  std::string Shown(const char* suffix) const {
    const std::string name = *suffix == '.' ? std::string(absl::StripSuffix(name_, ".weight")) : name_;
    return absl::StrCat(scope_.checkpoint().path(), ": ", Printable(absl::StrCat(scope_.prefix(), name, suffix)), ": ");
  }
  void Fail(const char* suffix, const std::string& what) {
    scope_.Fail(absl::InvalidArgumentError(absl::StrCat(Shown(suffix), what)));
  }
  void Missing(const char* suffix, const char* what) {
    scope_.Fail(absl::NotFoundError(absl::StrCat(Shown(suffix), "is missing, want the ", what)));
  }
  void WrongType(const char* suffix, DType has, const char* want) {
    Fail(suffix, absl::StrCat("has type ", DTypeName(has), ", want ", want));
  }

  StoredMatrix Finish() { return scope_.status().ok() ? std::move(out_) : StoredMatrix{}; }

  const WeightScope& scope_;
  const Quantization& quantization_;
  const std::string name_;
  const int64_t rows_, cols_;
  StoredMatrix out_;
};

}  // namespace

StoredMatrix FindMatrix(const WeightScope& scope, const Quantization& quantization, std::string_view name,
                        int64_t rows, int64_t cols) {
  const std::string module(absl::StripSuffix(absl::string_view(name.data(), name.size()), ".weight"));
  if (HasIntegers(scope, module)) return FindIntegers(scope, quantization, module, rows, cols);
  return MatrixReader(scope, quantization, name, rows, cols).Read();
}

StoredMatrix FindExpert(const WeightScope& scope, const Quantization& quantization, std::string_view name,
                        int64_t expert, int64_t experts, int64_t rows, int64_t cols) {
  CHECK(expert >= 0 && expert < experts) << expert << " of " << experts;
  return MatrixReader(scope, quantization, name, rows, cols).ReadExpert(expert, experts);
}

// Blocks whose activations are quantized too are kept in the 32s they are quantized in.
int64_t ColumnGrain(const WeightScope& scope, const Quantization& quantization, std::string_view name) {
  const std::string matrix(name);
  if (scope.Has(matrix + "_packed") || scope.Has(matrix + "_blocks")) return 32;
  if (matrix.ends_with(".weight") && scope.Has(matrix.substr(0, matrix.size() - 6) + "qweight")) return 32;
  if (!scope.Has(matrix)) return 1;
  const StoredTensor& codes = *scope.Find(matrix);
  if (codes.dtype == DType::kU8) return 32;
  if (codes.dtype != DType::kF8E4M3) return BlockOf(codes.dtype).elements;
  const std::string scales = matrix + (scope.Has(matrix + "_scale_inv") ? "_scale_inv" : "_scale");
  const Shape shape = scope.Has(scales) ? scope.Find(scales)->shape : Shape{};
  if (shape.size() != 2 || shape[1] == 1 || codes.shape.size() != 2) return 1;
  for (auto block = quantization.blocks.rbegin(); block != quantization.blocks.rend(); ++block) {
    if (shape == Shape{CeilDiv(codes.shape[0], block->rows), CeilDiv(codes.shape[1], block->cols)}) return block->cols;
  }
  return 1;
}

}  // namespace braid
