// The bodies of other APIs are read as chat bodies: what their translations share.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/base/json.h"

namespace braid {

// The member `name`; null when it is absent or null, or `object` is none.
const Json* FindMember(const Json& object, std::string_view name);
// The same of a string member.
const std::string* FindText(const Json& object, std::string_view name);

// Copies those of `names` that `from` has.
void CopyMembers(const Json& from, std::initializer_list<const char*> names, Json* to);

// Copies this server's own fields, which every API takes beside its own.
void CopyExtensions(const Json& body, Json* chat);

// An assistant's message, gathered from its pieces.
struct AssistantTurn {
  std::string reasoning;
  std::optional<std::string> text;
  Json calls = Json::array();

  bool empty() const { return reasoning.empty() && !text.has_value() && calls.empty(); }
  // `arguments`: the text of a JSON object.
  void AddCall(const std::string& id, const std::string& name, const std::string& arguments);
  Json ToMessage() const;
};

// A tool of a chat body; `tool` names, describes and restricts it, `parameters` is its schema or null.
Json FunctionTool(const Json& tool, const Json* parameters);

// Whether `text` is one JSON object.
bool IsJsonObject(std::string_view text);

}  // namespace braid
