// Sizes and names that a file claims: overflow-checked, and fit to be printed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/tensor.h"

namespace braid {

// Bytes of `shape` elements, or nullopt when they overflow or the last dimension is not of whole blocks.
std::optional<uint64_t> ByteSize(DType dtype, const Shape& shape);

// `name` with everything but printable ASCII escaped, cut to 128 bytes.
std::string Printable(std::string_view name);
std::string Quoted(std::string_view name);  // the same between double quotes

// Of non-negative sizes, b above 0.
inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace braid
