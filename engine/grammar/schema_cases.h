// Schemas joined and taken apart: every anyOf and oneOf decided, every $ref and allOf followed, a schema is a list of
// cases, each a plain conjunction. And what can be proved about them.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/grammar/schema_facts.h"

namespace braid {

class SchemaCases {
 public:
  explicit SchemaCases(SchemaDocument* document) : document_(*document) {}

  // The cases of a value that meets all of `set`. InvalidArgument: a schema is wrong or not supported, too many cases,
  // or two ways of a oneOf that are not proved to exclude each other.
  absl::StatusOr<std::vector<SchemaFacts>> Of(const SchemaSet& set);

  // What a member called `name` has to meet; an item at `index`.
  absl::StatusOr<SchemaSet> MemberSet(const SchemaFacts& facts, const std::string& name);
  static SchemaSet ItemSet(const SchemaFacts& facts, size_t index);
  // Sorted, without schemas that are always true; a lone false where one is in it.
  static SchemaSet Normal(SchemaSet set);
  static bool IsNever(const SchemaSet& set);

  absl::StatusOr<bool> Accepts(const SchemaSet& set, const Json& value, int depth = 0);
  absl::StatusOr<bool> CaseAccepts(const SchemaFacts& facts, const Json& value, int depth = 0);

  // The strings of a case with patterns: these and its lengths together.
  absl::StatusOr<TextDfa> Strings(const SchemaFacts& facts);
  absl::StatusOr<const Regex*> RegexOf(const StringPattern& pattern);
  // The strings in which a pattern is found.
  absl::StatusOr<const TextDfa*> FoundBy(const StringPattern& pattern);

 private:
  struct Pending {
    SchemaBranches::Choice choice;
    std::vector<const Json*> ancestors;
  };
  // A case in the making.
  struct Draft {
    SchemaFacts facts;
    bool never = false;
    std::vector<const Json*> seen;
    std::vector<Pending> pending;
  };

  absl::Status Follow(const Json* node, const std::vector<const Json*>& ancestors, Draft* draft);
  absl::Status Decide(Draft draft, int depth, std::vector<SchemaFacts>* cases);
  absl::Status CheckExclusive(const Draft& draft, const Pending& pending);
  absl::StatusOr<bool> MayBothHold(const Draft& draft, const Pending& pending, size_t a, size_t b);

  // Proved: no value meets it.
  absl::StatusOr<bool> IsEmpty(const SchemaSet& set, int depth);
  absl::StatusOr<bool> CaseIsEmpty(const SchemaFacts& facts, int depth);
  absl::StatusOr<bool> ArrayIsEmpty(const SchemaFacts& facts, int depth);
  absl::StatusOr<bool> ObjectIsEmpty(const SchemaFacts& facts, int depth);
  absl::StatusOr<bool> StringAccepted(const SchemaFacts& facts, const std::string& text);
  absl::StatusOr<bool> ArrayAccepted(const SchemaFacts& facts, const Json& value, int depth);
  absl::StatusOr<bool> ObjectAccepted(const SchemaFacts& facts, const Json& value, int depth);

  bool ListHas(const Json& list, const Json& value);

  SchemaDocument& document_;
  std::map<const Json*, std::unordered_set<std::string>> lists_;  // enum -> keys of its values
  std::deque<Json> made_;
  std::map<std::string, Regex> regexes_;
  std::map<std::string, TextDfa> found_;
  int proof_depth_ = 0;  // of oneOf checks inside each other
  int64_t work_ = 0;     // schema objects read
};

// Equal for equal values, different for others: numbers by value, the members of objects in any order.
std::string ValueKey(const Json& value);

}  // namespace braid
