// Grammar to Automaton.
#pragma once

#include "absl/status/statusor.h"
#include "engine/grammar/automaton.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/token_vocabulary.h"

namespace braid {

// InvalidArgument: the grammar matches no text, or is past the bounds of size.
absl::StatusOr<Automaton> BuildAutomaton(const Grammar& grammar, const TokenVocabulary& vocabulary);

// Fills first, follow, pass, pure and single_path of the rules and loop_classes of the states.
void FillSets(Automaton* automaton);

}  // namespace braid
