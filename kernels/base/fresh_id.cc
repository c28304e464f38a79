#include "kernels/base/fresh_id.h"

#include <random>

namespace braid {

uint64_t FreshSeed() {
  thread_local std::mt19937_64 random{(static_cast<uint64_t>(std::random_device{}()) << 32) ^ std::random_device{}()};
  return random();
}

std::string FreshHexId(size_t digits) {
  std::string id(digits, '0');
  for (char& digit : id) digit = "0123456789abcdef"[FreshSeed() % 16];
  return id;
}

}  // namespace braid
