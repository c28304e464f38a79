// The alphabet of byte-level vocabularies: each byte is written as one printable character (GPT-2's encoder).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace braid {

// Returns `bytes` written in the alphabet, as UTF-8.
std::string ToByteAlphabet(std::string_view bytes);

// Returns the bytes that `letters` (well-formed UTF-8) stands for; nullopt when a character is not of the alphabet.
std::optional<std::string> FromByteAlphabet(std::string_view letters);

}  // namespace braid
