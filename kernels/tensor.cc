#include "kernels/tensor.h"

#include <sys/mman.h>

#include <new>

namespace braid {
namespace {

struct DTypeFacts {
  const char* name;
  DTypeBlock block;
};
constexpr DTypeFacts kFacts[kNumDTypes] = {
    {"F32", {1, 4}}, {"F16", {1, 2}},  {"BF16", {1, 2}}, {"F64", {1, 8}},     {"I64", {1, 8}},
    {"I32", {1, 4}}, {"I16", {1, 2}},  {"I8", {1, 1}},   {"U8", {1, 1}},      {"BOOL", {1, 1}},
    {"F8_E4M3", {1, 1}}, {"F8_E5M2", {1, 1}}, {"F8_E8M0", {1, 1}}, {"Q8_0", {32, 34}}, {"Q4_0", {32, 18}},
    {"Q4_1", {32, 20}},  {"Q5_0", {32, 22}},  {"Q5_1", {32, 24}},  {"IQ4_NL", {32, 18}}, {"MXFP4", {32, 17}},
    {"INT4", {32, 19}},  {"INT8", {32, 35}},
    {"Q2_K", {256, 84}}, {"Q3_K", {256, 110}}, {"Q4_K", {256, 144}}, {"Q5_K", {256, 176}}, {"Q6_K", {256, 210}},
    {"NVFP4", {2, 1}},   {"MXFP4", {2, 1}},
};

constexpr size_t kHugePage = size_t{2} << 20;

size_t MappedSize(size_t size) { return (size + 4095) / 4096 * 4096; }

}  // namespace

const char* DTypeName(DType dtype) { return kFacts[static_cast<int>(dtype)].name; }

DTypeBlock BlockOf(DType dtype) { return kFacts[static_cast<int>(dtype)].block; }

int64_t DTypeBytes(DType dtype, int64_t elements) {
  const DTypeBlock block = BlockOf(dtype);
  CHECK(elements % block.elements == 0) << elements << " elements of " << DTypeName(dtype);
  return elements / block.elements * block.bytes;
}

int64_t NumElements(const Shape& shape) {
  int64_t product = 1;
  for (int64_t dim : shape) product *= dim;
  return product;
}

std::string ShapeString(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) absl::StrAppend(&out, i == 0 ? "" : ", ", shape[i]);
  return out + "]";
}

TensorView TensorView::Columns(int64_t begin, int64_t count) const {
  CHECK(dtype == DType::kF32 && begin >= 0 && begin + count <= cols) << begin << "+" << count << " of " << cols;
  return {static_cast<float*>(data) + begin, dtype, rows, count, stride};
}

Bytes::Bytes(size_t size) : size_(size) {
  if (size == 0) return;
  const size_t mapped = MappedSize(size);
  void* data = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  if (size >= kHugePage) madvise(data, mapped, MADV_HUGEPAGE);
  const auto unmap = [](std::byte* begin, size_t bytes) { munmap(begin, MappedSize(bytes)); };
  data_ = {static_cast<std::byte*>(data), FreeBytes{unmap, size}};
}

}  // namespace braid
