#include "engine/grammar/schema_document.h"

#include <array>
#include <vector>

#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr int kMaxDepth = 200;
constexpr size_t kMaxObjects = 100'000;

// The keywords whose values are data, not schemas.
bool HoldsData(const std::string& keyword) {
  return keyword == "enum" || keyword == "const" || keyword == "default" || keyword == "examples" ||
         keyword == "example";
}

const std::string* StringMember(const Json& object, const char* name) {
  const auto at = object.find(name);
  return at != object.end() && at->is_string() ? at->get_ptr<const std::string*>() : nullptr;
}

bool HasScheme(const std::string& uri) {
  const size_t colon = uri.find(':');
  return colon != std::string::npos && uri.find_first_of("/?#") > colon;
}

std::string WithoutFragment(const std::string& uri) { return uri.substr(0, uri.find('#')); }

// `uri` as seen from `base`: the cases of RFC 3986 section 5.2 that schemas use.
std::string Joined(const std::string& base, const std::string& uri) {
  if (uri.empty()) return base;
  if (HasScheme(uri)) return uri;
  const size_t authority = base.find("//");
  if (uri[0] == '/') {
    const size_t path = authority == std::string::npos ? base.find('/') : base.find('/', authority + 2);
    return base.substr(0, path) + uri;
  }
  const size_t slash = base.rfind('/');
  return slash == std::string::npos ? uri : base.substr(0, slash + 1) + uri;
}

int HexDigit(char c) {
  const size_t at = std::string_view("0123456789abcdef").find(static_cast<char>(std::tolower(static_cast<uint8_t>(c))));
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

std::string PercentDecoded(const std::string& text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape =
        text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 && HexDigit(text[i + 2]) >= 0;
    decoded += escape ? static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2])) : text[i];
    if (escape) i += 2;
  }
  return decoded;
}

// A name as it stands in a JSON pointer.
std::string PointerEscaped(std::string_view name) {
  std::string escaped;
  for (const char c : name) {
    if (c == '~') {
      escaped.append("~0");
    } else if (c == '/') {
      escaped.append("~1");
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

std::string PointerUnescaped(std::string_view part) {
  std::string name;
  for (size_t i = 0; i < part.size(); ++i) {
    const bool escape = part[i] == '~' && i + 1 < part.size() && (part[i + 1] == '0' || part[i + 1] == '1');
    name.push_back(!escape ? part[i] : part[i + 1] == '0' ? '~' : '/');
    i += escape ? 1 : 0;
  }
  return name;
}

const Json* Member(const Json& value, const std::string& name) {
  if (value.is_object()) {
    const auto at = value.find(name);
    return at == value.end() ? nullptr : &*at;
  }
  if (!value.is_array() || name.empty() || name.size() > 6) return nullptr;
  if (name.find_first_not_of("0123456789") != std::string::npos) return nullptr;
  const size_t index = std::stoul(name);
  return index < value.size() ? &value[index] : nullptr;
}

// `pointer` is empty or starts with '/'.
const Json* AtPointer(const Json& value, const std::string& pointer) {
  const Json* at = &value;
  for (size_t start = 0; start < pointer.size() && at != nullptr;) {
    const size_t end = std::min(pointer.find('/', start + 1), pointer.size());
    at = Member(*at, PointerUnescaped(std::string_view(pointer).substr(start + 1, end - start - 1)));
    start = end;
  }
  return at;
}

// Appends the way from `value` to `wanted`; false: it is not below.
bool FindPointer(const Json& value, const Json* wanted, std::string* pointer) {
  if (&value == wanted) return true;
  if (!value.is_structured()) return false;
  size_t index = 0;
  for (auto member = value.begin(); member != value.end(); ++member, ++index) {
    const size_t size = pointer->size();
    absl::StrAppend(pointer, "/", value.is_object() ? PointerEscaped(member.key()) : std::to_string(index));
    if (FindPointer(*member, wanted, pointer)) return true;
    pointer->resize(size);
  }
  return false;
}

}  // namespace

absl::StatusOr<SchemaDocument> SchemaDocument::Make(const Json& root) {
  SchemaDocument document(root);
  RETURN_IF_ERROR(document.Index());
  return document;
}

absl::Status SchemaDocument::Index() {
  struct Item {
    const Json* value;
    std::string base;
    int depth;
  };
  std::vector<Item> work = {{root_, "", 0}};
  for (size_t seen = 0; !work.empty(); ++seen) {
    Item item = std::move(work.back());
    work.pop_back();
    if (item.depth > kMaxDepth || seen > kMaxObjects) {
      return absl::InvalidArgumentError(
          absl::StrCat("JSON schema: nested more than ", kMaxDepth, " deep, or of more than ", kMaxObjects, " values"));
    }
    if (item.value->is_object()) {
      const std::string* id = StringMember(*item.value, "$id");
      if (id == nullptr) id = StringMember(*item.value, "id");
      if (id != nullptr && (*id)[0] != '#') item.base = Joined(item.base, WithoutFragment(*id));
      IndexObject(*item.value, item.base);
    }
    for (auto member = item.value->begin(); member != item.value->end(); ++member) {
      if (!member->is_structured() || (item.value->is_object() && HoldsData(member.key()))) continue;
      work.push_back({&*member, item.base, item.depth + 1});
    }
  }
  return absl::OkStatus();
}

void SchemaDocument::IndexObject(const Json& object, const std::string& base) {
  if (&object == root_) root_base_ = base;
  if (base != root_base_) bases_[&object] = base;
  if (object.contains("$id") || object.contains("id")) resources_.try_emplace(base, &object);
  for (const char* name : {"$anchor", "$dynamicAnchor"}) {
    if (const std::string* anchor = StringMember(object, name)) anchors_.try_emplace(base + "#" + *anchor, &object);
  }
  for (const char* name : {"$id", "id"}) {  // "#name": an anchor in the drafts before 2019
    const std::string* id = StringMember(object, name);
    if (id != nullptr && (*id)[0] == '#') anchors_.try_emplace(base + *id, &object);
  }
}

const std::string& SchemaDocument::BaseOf(const Json& node) const {
  const auto at = bases_.find(&node);
  return at == bases_.end() ? root_base_ : at->second;
}

absl::StatusOr<const Json*> SchemaDocument::Resource(const std::string& base, const std::string& uri) const {
  const std::string full = Joined(base, uri);
  if (full == root_base_) return root_;
  const auto at = resources_.find(full);
  if (at == resources_.end()) return absl::InvalidArgumentError("leads out of this schema: give it under $defs");
  return at->second;
}

absl::StatusOr<const Json*> SchemaDocument::Resolve(const Json& node, const std::string& reference) const {
  const auto origin = made_for_.find(&node);
  const std::string& base = BaseOf(origin == made_for_.end() ? node : *origin->second);
  const std::string uri = WithoutFragment(reference);
  ASSIGN_OR_RETURN(const Json* resource, Resource(base, uri));
  const std::string fragment =
      reference.size() > uri.size() ? PercentDecoded(reference.substr(uri.size() + 1)) : std::string();
  const Json* target = nullptr;
  if (fragment.empty() || fragment[0] == '/') {
    target = AtPointer(*resource, fragment);
  } else if (const auto at = anchors_.find(Joined(base, uri) + "#" + fragment); at != anchors_.end()) {
    target = at->second;
  }
  if (target == nullptr) return absl::InvalidArgumentError("names nothing in this schema");
  return target;
}

std::string SchemaDocument::PointerOf(const Json* node) const {
  if (const auto at = made_for_.find(node); at != made_for_.end()) node = at->second;
  std::string pointer;
  FindPointer(*root_, node, &pointer);
  return pointer;
}

absl::Status SchemaDocument::Error(const Json* node, std::string_view keyword, std::string_view what) const {
  const std::string pointer = PointerOf(node);
  return absl::InvalidArgumentError(absl::StrCat("JSON schema: ", pointer.empty() ? "at its root" : "at ", pointer,
                                                 ": ", std::string(keyword), ": ", std::string(what)));
}

}  // namespace braid
