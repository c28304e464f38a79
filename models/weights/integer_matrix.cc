#include "models/weights/integer_matrix.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "absl/strings/str_join.h"
#include "kernels/float_types.h"
#include "models/weights/checked_size.h"
#include "models/weights/integer_blocks.h"

namespace braid {
namespace {

using Packing = Quantization::Packing;

constexpr int kBlock = 32;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <class T>
T Load(const StoredTensor& tensor, int64_t index) {
  T value;
  std::memcpy(&value, tensor.bytes.data() + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

uint16_t ScaleAt(const StoredTensor& scales, int64_t index) {
  if (scales.dtype == DType::kF16) return Load<uint16_t>(scales, index);
  return ToF16(ToFloat(Bf16{Load<uint16_t>(scales, index)})).bits;
}

// The names of a tool's tensors behind the module's.
struct Suffixes {
  const char *codes, *scales, *zeros, *groups;
};
constexpr Suffixes kTool = {".qweight", ".scales", ".qzeros", ".g_idx"};
constexpr Suffixes kCompressed = {".weight_packed", ".weight_scale", ".weight_zero_point", ".weight_g_idx"};

// Reads one matrix; a step returns false when it has failed.
class IntegerReader {
 public:
  IntegerReader(const WeightScope& scope, const Quantization& quantization, std::string_view module, int64_t rows,
                int64_t cols)
      : scope_(scope), quantization_(quantization), packing_(quantization.integers.packing), module_(module),
        names_(Find(kTool.codes) != nullptr ? kTool : kCompressed), rows_(rows), cols_(cols) {}

  StoredMatrix Read() {
    if (!ReadCodes() || !ReadScales() || !ReadZeros() || !ReadGroups()) return {};
    Find(".weight_shape");  // compressed-tensors repeats it
    const DType format = FormatOf();
    auto bytes = std::make_shared<const std::vector<std::byte>>(LayOut(codes_, groups_, format));
    out_.part = {format, rows_, cols_, {bytes->data(), bytes->size()}};
    out_.laid_out = std::move(bytes);
    out_.input_order = std::move(groups_.order);
    return std::move(out_);
  }

 private:
  bool ReadCodes() {
    const bool compressed = packing_ == Packing::kCompressed;
    if (packing_ == Packing::kNone || compressed != (names_.codes == kCompressed.codes)) {
      return Fail(names_.codes, absl::StrCat("holds packed integers; want quantization_config of config.json to have ",
                                             "quant_method gptq, awq or compressed-tensors, as fits it"));
    }
    const StoredTensor* const codes = Find(names_.codes);
    std::vector<std::string> wanted;
    for (int bits : {4, 8}) {
      if (packing_ == Packing::kAwq && bits == 8) continue;
      if (codes->shape == CodesShape(bits)) codes_.bits = bits;
      wanted.push_back(ShapeString(CodesShape(bits)));
    }
    if (codes_.bits == 0 || (packing_ == Packing::kAwq && rows_ % 8 != 0)) {
      return Fail(names_.codes, absl::StrCat("has shape ", ShapeString(codes->shape), ", want ",
                                             absl::StrJoin(wanted, " or ")));
    }
    if (cols_ % kBlock != 0) {
      return Fail(names_.codes, absl::StrCat("has ", cols_, " inputs, want a multiple of ", kBlock));
    }
    codes_.words = packing_ == Packing::kAwq ? IntegerCodes::kOfOutputs
                   : compressed              ? IntegerCodes::kOfARow
                                             : IntegerCodes::kOfInputs;
    codes_.rows = rows_;
    codes_.cols = cols_;
    codes_.bytes = codes->bytes;
    return TakeWords(names_.codes, *codes) && CheckFormat();
  }

  Shape CodesShape(int bits) const {
    if (packing_ == Packing::kAwq) return {cols_, rows_ / 8};
    if (packing_ == Packing::kCompressed) return {rows_, cols_ * bits / 32};
    return {cols_ * bits / 32, rows_};
  }

  bool CheckFormat() {
    const absl::Status agrees =
        quantization_.Check(absl::StrCat(scope_.prefix(), module_), codes_.bits == 4 ? DType::kInt4 : DType::kInt8);
    if (!agrees.ok()) {
      scope_.Fail(absl::Status(agrees.code(), absl::StrCat(scope_.checkpoint().path(), ": ", agrees.message())));
    }
    return agrees.ok();
  }

  bool ReadScales() {
    const bool by_row = packing_ == Packing::kCompressed;
    const StoredTensor* const scales = Find(names_.scales);
    if (scales == nullptr) return Missing(names_.scales, "scales of packed integers");
    if (scales->dtype != DType::kF16 && scales->dtype != DType::kBF16) {
      return Fail(names_.scales, absl::StrCat("has type ", DTypeName(scales->dtype), ", want F16 or BF16"));
    }
    const size_t row_axis = by_row ? 0 : 1;
    if (scales->shape.size() != 2 || scales->shape[row_axis] != rows_ || scales->shape[1 - row_axis] < 1 ||
        scales->shape[1 - row_axis] > cols_) {
      return Fail(names_.scales, absl::StrCat("has shape ", ShapeString(scales->shape), ", want ",
                                              by_row ? absl::StrCat("[", rows_, ", groups]")
                                                     : absl::StrCat("[groups, ", rows_, "]")));
    }
    num_groups_ = scales->shape[1 - row_axis];
    groups_.scales.resize(static_cast<size_t>(num_groups_ * rows_));
    for (int64_t g = 0; g < num_groups_; ++g) {
      for (int64_t n = 0; n < rows_; ++n) {
        groups_.scales[g * rows_ + n] = ScaleAt(*scales, by_row ? n * num_groups_ + g : g * rows_ + n);
      }
    }
    out_.tensors.push_back(*scales);
    return true;
  }

  bool ReadZeros() {
    groups_.zeros.assign(groups_.scales.size(), Middle());
    const StoredTensor* const zeros = Find(names_.zeros);
    if (packing_ == Packing::kCompressed && quantization_.integers.symmetric) return true;
    if (zeros == nullptr) return Missing(names_.zeros, "zeros of packed integers");
    const int64_t words = CeilDiv(rows_ * codes_.bits, 32);
    const Shape wanted = packing_ == Packing::kCompressed ? Shape{words, num_groups_} : Shape{num_groups_, words};
    if (zeros->shape != wanted) {
      return Fail(names_.zeros,
                  absl::StrCat("has shape ", ShapeString(zeros->shape), ", want ", ShapeString(wanted)));
    }
    if (!TakeWords(names_.zeros, *zeros)) return false;
    for (int64_t g = 0; g < num_groups_; ++g) {
      for (int64_t w = 0; w < words; ++w) PutZeros(*zeros, g, w, words);
    }
    return true;
  }

  // The zeros of the outputs of word `w` of group `g`.
  void PutZeros(const StoredTensor& zeros, int64_t g, int64_t w, int64_t words) {
    const int per_word = 32 / codes_.bits;
    const uint32_t ones = codes_.bits == 4 ? 0x11111111u : 0x01010101u;
    uint32_t word = Load<uint32_t>(zeros, packing_ == Packing::kCompressed ? w * num_groups_ + g : g * words + w);
    // Said to be symmetric, and stored as they are.
    const bool plain = quantization_.integers.symmetric && word == ones * Middle();
    if (packing_ == Packing::kGptq && !plain) word += ones;
    for (int i = 0; i < per_word && w * per_word + i < rows_; ++i) {
      const int place = packing_ == Packing::kAwq ? kOutputPlace[i] : i;
      groups_.zeros[g * rows_ + w * per_word + i] =
          static_cast<uint8_t>(word >> place * codes_.bits & ((1u << codes_.bits) - 1u));
    }
  }

  bool ReadGroups() {
    std::vector<int32_t> groups;
    if (!ReadGroupNumbers(&groups) || (groups.empty() && !DivideInputs(&groups))) return false;
    std::vector<int32_t>& order = groups_.order;
    order.resize(static_cast<size_t>(cols_));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return groups[a] < groups[b]; });
    for (int64_t k = 0; k < cols_; ++k) {
      const int32_t group = groups[order[k]];
      if (k % kBlock == 0) groups_.of_block.push_back(group);
      if (group == groups_.of_block.back()) continue;
      return Fail(names_.scales, absl::StrCat("group ", groups_.of_block.back(), " has ",
                                              std::count(groups.begin(), groups.end(), groups_.of_block.back()),
                                              " inputs, want a multiple of ", kBlock));
    }
    if (std::is_sorted(order.begin(), order.end())) order.clear();
    return true;
  }

  // What the tensor of groups says; nothing when there is none, or when it was left at zeros.
  bool ReadGroupNumbers(std::vector<int32_t>* groups) {
    const StoredTensor* const numbers = Find(names_.groups);
    if (numbers == nullptr) return true;
    if (numbers->shape != Shape{cols_}) {
      return Fail(names_.groups, absl::StrCat("has shape ", ShapeString(numbers->shape), ", want [", cols_, "]"));
    }
    if (!TakeWords(names_.groups, *numbers)) return false;
    bool zeros = true;
    for (int64_t k = 0; k < cols_; ++k) {
      const int32_t group = Load<int32_t>(*numbers, k);
      if (group < 0 || group >= num_groups_) {
        return Fail(names_.groups, absl::StrCat("is ", group, " at input ", k, ", want 0..", num_groups_ - 1));
      }
      zeros &= group == 0;
      groups->push_back(group);
    }
    if (zeros) groups->clear();
    return true;
  }

  // Groups of neighbours, of the configured size, or of equal size where a layer has its own.
  bool DivideInputs(std::vector<int32_t>* groups) {
    int64_t size = quantization_.integers.group > 0 ? quantization_.integers.group : cols_;
    if (CeilDiv(cols_, size) != num_groups_) {
      if (cols_ % num_groups_ != 0) {
        return Fail(names_.scales, absl::StrCat("has ", num_groups_, " groups, want ", CeilDiv(cols_, size)));
      }
      size = cols_ / num_groups_;
    }
    for (int64_t k = 0; k < cols_; ++k) groups->push_back(static_cast<int32_t>(k / size));
    return true;
  }

  DType FormatOf() const {
    const auto is_middle = [&](uint8_t zero) { return zero == Middle(); };
    const bool middle =
        quantization_.integers.symmetric && std::all_of(groups_.zeros.begin(), groups_.zeros.end(), is_middle);
    if (codes_.bits == 4) return middle ? DType::kQ4_0 : DType::kInt4;
    return middle ? DType::kQ8_0 : DType::kInt8;
  }
  uint8_t Middle() const { return static_cast<uint8_t>(1 << (codes_.bits - 1)); }

  // Keeps `tensor`, which must be of 32-bit integers.
  bool TakeWords(const char* suffix, const StoredTensor& tensor) {
    if (tensor.dtype != DType::kI32) {
      return Fail(suffix, absl::StrCat("has type ", DTypeName(tensor.dtype), ", want I32"));
    }
    out_.tensors.push_back(tensor);
    return true;
  }

  const StoredTensor* Find(const char* suffix) const { return scope_.Find(absl::StrCat(module_, suffix)); }
  std::string Shown(const char* suffix) const {
    return absl::StrCat(scope_.checkpoint().path(), ": ", Printable(absl::StrCat(scope_.prefix(), module_, suffix)),
                        ": ");
  }
  bool Fail(const char* suffix, const std::string& what) {
    scope_.Fail(absl::InvalidArgumentError(absl::StrCat(Shown(suffix), what)));
    return false;
  }
  bool Missing(const char* suffix, const char* what) {
    scope_.Fail(absl::NotFoundError(absl::StrCat(Shown(suffix), "is missing, want the ", what)));
    return false;
  }

  const WeightScope& scope_;
  const Quantization& quantization_;
  const Packing packing_;
  const std::string module_;
  const Suffixes& names_;
  const int64_t rows_, cols_;
  int64_t num_groups_ = 0;
  IntegerCodes codes_ = {};
  IntegerGroups groups_;
  StoredMatrix out_;
};

}  // namespace

bool HasIntegers(const WeightScope& scope, std::string_view module) {
  const std::string name = absl::StrCat(scope.prefix(), std::string(module));
  const std::optional<DType> packed = scope.checkpoint().TypeOf(name + kCompressed.codes);
  return packed == DType::kI32 || scope.checkpoint().Contains(name + kTool.codes);
}

StoredMatrix FindIntegers(const WeightScope& scope, const Quantization& quantization, std::string_view module,
                          int64_t rows, int64_t cols) {
  return IntegerReader(scope, quantization, module, rows, cols).Read();
}

}  // namespace braid
