// Random numbers and names for what has none of its own. Not for tests that want to repeat.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace braid {

// 64 random bits, not secret, seeded by the system once a thread. Thread: any.
uint64_t FreshSeed();

// `digits` random lower-case hexadecimal digits, not secret.
std::string FreshHexId(size_t digits);

// The same that nobody can guess from others of them: each digit comes from the system's random source.
std::string SecretHexId(size_t digits);

}  // namespace braid
