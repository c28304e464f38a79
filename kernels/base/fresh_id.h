// Random numbers and names for what has none of its own. Not secret, and not for tests that want to repeat.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace braid {

// 64 random bits, seeded by the system once a thread. Thread: any.
uint64_t FreshSeed();

// `digits` random lower-case hexadecimal digits.
std::string FreshHexId(size_t digits);

}  // namespace braid
