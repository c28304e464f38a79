// What is known of a grammar's nodes before automata are built of them: which match anything, which match the empty
// text, and which are spelled out where they stand or kept apart as something to call.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/grammar/grammar.h"

namespace braid {

struct GrammarShape {
  static constexpr uint32_t kTogetherCost = 4096;  // counted repeats up to here can be spelled out

  enum class Place : uint8_t {
    kHere,     // spelled out in the automaton of its rule
    kRule,     // a call of the rule it names
    kApart,    // a rule of its own: large and used more than once, or deep
    kLoop,     // an unbounded repeat as a rule of its own: many bytes may stand there, so its masks are worth sharing
    kCounted,  // one iteration as a rule of its own, counted on the stack
  };
  struct Node {
    bool productive = false, nullable = false;
    bool calls = false;    // something in it is called
    Place place = Place::kHere;
    uint32_t cost = 0;     // about as many states when spelled out; saturates
    uint32_t height = 0;
    uint32_t uses = 0;
    ByteSet first;         // first bytes of what is spelled out here
  };
  std::vector<Node> nodes;
  std::vector<bool> spelled_out;  // rule -> small and without calls: spelled out wherever it is named
};

// `together[node]`: a repeat that is to be spelled out (kLoop never, kCounted only when it is very large): telling its
// end from one more iteration takes more than one byte, so keeping it apart would gain nothing.
GrammarShape ShapeOf(const Grammar& grammar, const std::vector<bool>& together);

// The iterations of a repeat: what is left of min and max when the child may match the empty text.
struct RepeatBounds {
  int32_t min, max;
};
RepeatBounds BoundsOf(const Grammar& grammar, const GrammarShape& shape, int32_t node);

}  // namespace braid
