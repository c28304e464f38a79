#include "kernels/base/fresh_id.h"

#include <sys/random.h>

#include <cerrno>
#include <random>
#include <vector>

#include "kernels/base/errors.h"

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

std::string SecretHexId(size_t digits) {
  std::vector<unsigned char> bytes((digits + 1) / 2);
  for (size_t have = 0; have < bytes.size();) {
    const ssize_t got = getrandom(bytes.data() + have, bytes.size() - have, 0);
    CHECK(got > 0 || errno == EINTR) << "getrandom: " << errno;
    if (got > 0) have += static_cast<size_t>(got);
  }
  std::string id(digits, '0');
  for (size_t i = 0; i < digits; ++i) id[i] = "0123456789abcdef"[(bytes[i / 2] >> (i % 2 * 4)) & 15];
  return id;
}

}  // namespace braid
