// The steps that cut normalised text into the pieces that the model encodes one by one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "models/tokenizer/pattern.h"

namespace braid {

// What becomes of the matches of a splitting pattern.
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

// When Metaspace puts a mark in front of a text that has none.
enum class PrependScheme { kAlways, kFirst, kNever };

struct SplitStep {
  enum Kind {
    kPattern,       // cut by `pattern`; `invert` swaps matches and what lies between
    kPrefixSpace,   // a space in front of a text that does not begin with one
    kMetaspace,     // spaces to `mark`, a mark in front by `prepend`, cut before each mark if `cut_at_marks`
    kByteAlphabet,  // the bytes of the text as letters: only where later steps look at them
  } kind = kPattern;
  Pattern pattern{};
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;
  std::string mark{};
  PrependScheme prepend = PrependScheme::kAlways;
  bool cut_at_marks = true;
};

// Immutable. Thread: any.
class PreSplit {
 public:
  PreSplit() = default;
  explicit PreSplit(std::vector<SplitStep> steps) : steps_(std::move(steps)) {}

  using Sink = absl::FunctionRef<void(std::string_view piece)>;

  // Hands each piece of `text` to `sink`, in order; a piece is valid during the call only.
  // `first`: nothing of the whole text lies before `text`.
  void Cut(std::string_view text, bool first, Sink sink) const { Walk(0, text, first, sink); }

 private:
  void Walk(size_t step, std::string_view text, bool first, Sink sink) const;
  void CutIsolated(size_t step, std::string_view text, bool first, Sink sink) const;
  void CutByBehavior(size_t step, std::string_view text, bool first, Sink sink) const;
  void CutMetaspace(size_t step, std::string_view text, bool first, Sink sink) const;

  std::vector<SplitStep> steps_;
};

}  // namespace braid
