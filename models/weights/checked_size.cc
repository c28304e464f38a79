#include "models/weights/checked_size.h"

#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace braid {

std::optional<uint64_t> ByteSize(DType dtype, const Shape& shape) {
  const DTypeBlock block = BlockOf(dtype);
  int64_t elements = 1;
  for (int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(elements, dim, &elements)) return std::nullopt;
  }
  const int64_t row = shape.empty() ? 1 : shape.back();
  int64_t bytes = 0;
  if (row % block.elements != 0) return std::nullopt;
  if (__builtin_mul_overflow(elements / block.elements, int64_t{block.bytes}, &bytes)) return std::nullopt;
  return static_cast<uint64_t>(bytes);
}

std::string Printable(std::string_view name) {
  constexpr size_t kMaxBytes = 128;
  std::string out = absl::CHexEscape(std::string(name.substr(0, kMaxBytes)));
  if (name.size() > kMaxBytes) out += "...";
  return out;
}

std::string Quoted(std::string_view name) { return absl::StrCat("\"", Printable(name), "\""); }

}  // namespace braid
