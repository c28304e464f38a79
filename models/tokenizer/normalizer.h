// What a tokenizer does to text before it cuts it: Unicode forms, case, replacements.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/pattern.h"

namespace braid {

struct NormalizerStep {
  enum Kind {
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kLowercase,
    kStripAccents,  // drops marks
    kStrip,         // white space at the ends chosen by `left` and `right`
    kReplace,       // `pattern` by `content`
    kPrepend,       // `content` in front of a text that is not empty
    kAppend,        // `content` behind a text that is not empty
    kNmt,           // control characters out, odd spaces to plain ones
    kByteAlphabet,
  } kind;
  Pattern pattern{};
  std::string content{};
  bool left = false;
  bool right = false;
};

// Immutable. Thread: any.
class Normalizer {
 public:
  Normalizer() = default;
  explicit Normalizer(std::vector<NormalizerStep> steps) : steps_(std::move(steps)) {}

  bool empty() const { return steps_.empty(); }

  // Returns the normal form of `text`, which must be well-formed UTF-8.
  std::string Normalize(std::string_view text) const;

 private:
  std::vector<NormalizerStep> steps_;
};

}  // namespace braid
