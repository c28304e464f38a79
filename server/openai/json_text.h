// JSON written by appending: replies are made once a token, and building a tree for each would cost more than the rest.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace braid {

// Appends `text` in quotes, escaped; ill-formed UTF-8 becomes U+FFFD.
void AppendJsonString(std::string_view text, std::string* out);

void AppendJsonInt(int64_t value, std::string* out);

// A log-probability: at least -9999, and never a NaN, which JSON has no word for.
void AppendLogprob(float value, std::string* out);

}  // namespace braid
