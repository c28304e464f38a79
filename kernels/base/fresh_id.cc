#include "kernels/base/fresh_id.h"

#include <random>

namespace braid {

uint64_t FreshSeed() {
  thread_local std::mt19937_64 random{(static_cast<uint64_t>(std::random_device{}()) << 32) ^ std::random_device{}()};
  return random();
}

std::string FreshHexId(size_t digits) {
  std::string id(digits, '0');
  uint64_t bits = 0;
  for (size_t i = 0; i < digits; ++i, bits >>= 4) {
    if (i % 16 == 0) bits = FreshSeed();
    id[i] = "0123456789abcdef"[bits % 16];
  }
  return id;
}

}  // namespace braid
