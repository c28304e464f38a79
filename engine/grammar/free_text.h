// Free text up to given words: what stands around the tags of a structural tag.
#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "engine/grammar/text_dfa.h"

namespace braid {

// The texts in which none of `words` occurs; none of those is empty.
absl::StatusOr<TextDfa> TextWithout(std::span<const std::string> words);

// Those texts of `free` (of TextWithout) that one of `next` may follow: it is the first of the words to occur then. Of
// texts without "aa" all but those that end in 'a' may stand before "aab": "a" and "aab" are 'aa' and 'ab' to a reader.
TextDfa TextBefore(const TextDfa& free, std::span<const std::string> next);

}  // namespace braid
