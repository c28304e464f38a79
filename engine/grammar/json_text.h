// JSON text as grammar: white space, strings, numbers, given values, any value.
#pragma once

#include <string_view>
#include <vector>

#include "engine/grammar/grammar_sources.h"
#include "engine/grammar/regex_grammar.h"

namespace braid {

// Makes each rule once. Its builder must outlive it. White space stands where writers of JSON put it: behind { [ , :
// and before } ].
class JsonText {
 public:
  JsonText(GrammarBuilder* builder, const JsonGrammarOptions& options);

  GrammarBuilder& builder() { return builder_; }

  int32_t Comma();
  int32_t Colon();
  // An object or array of `body`; empty too if it may be.
  enum class Brackets { kObject, kArray };
  enum class Emptiness { kNever, kMayBeEmpty };
  int32_t Bracketed(Brackets brackets, int32_t body, Emptiness emptiness);

  int32_t Null();
  int32_t Boolean();
  int32_t Integer();
  int32_t Number();
  int32_t NotNegativeNumber();
  // Any string of `least` to `most` code points; an escape is one, and so is an escaped pair of surrogates.
  int32_t String(int64_t least, int64_t most);
  int32_t Any();
  int32_t AnyObject();
  int32_t AnyArray();

  // `text` as a string, escaped only where it has to be.
  int32_t StringLiteral(std::string_view text);
  // A value: its members in their order, its numbers as they are and, where whole, without a fraction.
  int32_t Value(const Json& value);
  // One of `texts`, which share their beginnings.
  int32_t OneOf(std::vector<std::string> texts);
  static std::string Quoted(std::string_view text);

  // One character of a string: as it is where that is allowed, else by its escapes.
  int32_t Chars(const CodePoints& points);
  CharSpelling Spelling();

 private:
  int32_t Space();    // where a line may be broken
  int32_t Gap();      // after ',' and ':'
  int32_t AnyChar();  // every spelling
  int32_t Escape();
  int32_t Digits(bool negative);
  int32_t NumberValue(const Json& value);
  int32_t Bytes(std::string_view bytes);
  int32_t Shared(int32_t* node, int32_t (JsonText::*make)());
  int32_t MakeAny();
  int32_t MakeAnyObject();
  int32_t MakeAnyArray();
  int32_t MakeAnyString();
  int32_t MakeInteger();
  int32_t MakeNumber();
  int32_t MakeNotNegative();

  GrammarBuilder& builder_;
  const JsonSpace space_;
  // Nodes, once made: equal alternatives then are one.
  int32_t space_node_ = -1, gap_node_ = -1, any_char_ = -1, null_ = -1, boolean_ = -1;
  int32_t any_ = -1, any_object_ = -1, any_array_ = -1, any_string_ = -1, integer_ = -1, number_ = -1,
          not_negative_ = -1;
};

}  // namespace braid
