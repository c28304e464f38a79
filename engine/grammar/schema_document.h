// A JSON schema and its parts by name: $id, $anchor, JSON pointers.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "kernels/base/json.h"

namespace braid {

// Borrows the schema.
class SchemaDocument {
 public:
  static absl::StatusOr<SchemaDocument> Make(const Json& root);

  const Json& root() const { return *root_; }
  // The schema that `reference`, standing in `node`, means. Never a schema outside of this document.
  absl::StatusOr<const Json*> Resolve(const Json& node, const std::string& reference) const;
  // Where `node` stands; for schemas made by Made, where the schema stands that they were made for.
  std::string PointerOf(const Json* node) const;
  // InvalidArgument: `keyword` of `node` and what is wrong with it.
  absl::Status Error(const Json* node, std::string_view keyword, std::string_view what) const;
  void NoteMade(const Json* made, const Json* origin) { made_for_[made] = origin; }

 private:
  explicit SchemaDocument(const Json& root) : root_(&root) {}
  absl::Status Index();
  void IndexObject(const Json& object, const std::string& base);
  const std::string& BaseOf(const Json& node) const;
  absl::StatusOr<const Json*> Resource(const std::string& base, const std::string& uri) const;

  const Json* root_;
  std::string root_base_;
  std::unordered_map<const Json*, std::string> bases_;      // of the objects whose base is not the root's
  std::unordered_map<std::string, const Json*> resources_;  // by absolute $id
  std::unordered_map<std::string, const Json*> anchors_;    // by base#anchor
  std::unordered_map<const Json*, const Json*> made_for_;
};

}  // namespace braid
