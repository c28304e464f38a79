// A regular expression as a set of places that a reader may be at: the step between its tree and a TextDfa.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/grammar/regex_grammar.h"

namespace braid {

class RegexNfa {
 public:
  // Sorted. Each is a state times two, plus one where a `$` was passed: then nothing more may be read.
  using Places = std::vector<int32_t>;

  static absl::StatusOr<RegexNfa> Make(const Regex& regex, RegexMatch match);

  // The first code points of sets that behave alike.
  std::vector<uint32_t> ClassStarts() const;
  Places Start() const;
  Places Step(const Places& places, uint32_t point) const;
  bool Accepts(const Places& places) const;

 private:
  struct State {
    CodePoints chars;           // may be read
    int32_t to = -1;            // and then
    std::vector<int32_t> also;  // at the same time as this one
    int32_t on_start = -1, on_end = -1;
  };

  RegexNfa(const Regex& regex, RegexMatch match) : regex_(regex), match_(match) {}
  int32_t Add(State state);
  // Adds what matches node `id` and then goes on at `next`; its first state. Depth is bounded by the parser.
  int32_t Compile(int id, int32_t next);
  int32_t CompileRepeat(const RegexNode& node, int32_t next);
  Places Closure(Places places, bool at_start) const;

  const Regex& regex_;
  RegexMatch match_;
  std::vector<State> states_;
  int32_t first_ = 0, accept_ = 0;
};

}  // namespace braid
