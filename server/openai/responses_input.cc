#include "server/openai/responses_input.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "kernels/base/fresh_id.h"
#include "server/openai/chat_body.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

absl::Status Bad(const std::string& where, const std::string& what) { return InvalidParam("input", absl::StrCat(where, what)); }

absl::StatusOr<std::string> PartText(const std::string& where, const Json& part) {
  const std::string* type = FindText(part, "type");
  if (type == nullptr) return Bad(where, ": must be an object with a type");
  const auto texts = {"input_text", "output_text", "text", "reasoning_text", "summary_text"};
  const bool refusal = *type == "refusal";
  if (!refusal && std::find(texts.begin(), texts.end(), *type) == texts.end()) {
    return Bad(where, absl::StrCat(".type: ", Shown(*type), " is not supported; this model reads text only"));
  }
  const char* name = refusal ? "refusal" : "text";
  const std::string* text = FindText(part, name);
  if (text == nullptr) return Bad(where, absl::StrCat(".", name, ": must be a string"));
  return *text;
}

// The text of a string or of a list of parts.
absl::StatusOr<std::string> TextOf(const std::string& where, const Json* content) {
  if (content == nullptr) return Bad(where, ": is missing; it must be a string or a list of parts");
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) return Bad(where, absl::StrCat(": must be a string or a list of parts, not ", Shown(*content)));
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    ASSIGN_OR_RETURN(const std::string part, PartText(absl::StrCat(where, "[", i, "]"), (*content)[i]));
    text += part;
  }
  return text;
}

// Items to messages: the reasoning, text and calls of one turn of the assistant become one message.
class MessageList {
 public:
  absl::Status Add(const std::string& where, const Json& item);
  Json Take() {
    EndTurn();
    return std::move(messages_);
  }

 private:
  absl::Status AddMessage(const std::string& where, const Json& item);
  absl::Status AddReasoning(const std::string& where, const Json& item);
  absl::Status AddCall(const std::string& where, const Json& item);
  absl::Status AddCallOutput(const std::string& where, const Json& item);
  void EndTurn();

  Json messages_ = Json::array();
  AssistantTurn turn_;
};

void MessageList::EndTurn() {
  if (!turn_.empty()) messages_.push_back(turn_.ToMessage());
  turn_ = {};
}

absl::Status MessageList::AddMessage(const std::string& where, const Json& item) {
  const std::string* role = FindText(item, "role");
  const auto roles = {"user", "assistant", "system", "developer"};
  if (role == nullptr || std::find(roles.begin(), roles.end(), *role) == roles.end()) {
    return Bad(where, ".role: must be user, assistant, system or developer");
  }
  ASSIGN_OR_RETURN(std::string text, TextOf(where + ".content", FindMember(item, "content")));
  const bool continues = *role == "assistant" && !turn_.text.has_value() && turn_.calls.empty();
  if (!continues) EndTurn();
  if (*role == "assistant") {
    turn_.text = std::move(text);
  } else {
    messages_.push_back(Json{{"role", *role}, {"content", std::move(text)}});
  }
  return absl::OkStatus();
}

absl::Status MessageList::AddReasoning(const std::string& where, const Json& item) {
  if (turn_.text.has_value() || !turn_.calls.empty()) EndTurn();
  for (const char* name : {"content", "summary"}) {
    const Json* parts = FindMember(item, name);
    if (parts == nullptr) continue;
    ASSIGN_OR_RETURN(const std::string text, TextOf(absl::StrCat(where, ".", name), parts));
    turn_.reasoning += text;
    if (!text.empty()) break;  // the summary only stands in for what it sums up
  }
  return absl::OkStatus();
}

absl::Status MessageList::AddCall(const std::string& where, const Json& item) {
  const std::string *id = FindText(item, "call_id"), *name = FindText(item, "name"), *arguments = FindText(item, "arguments");
  if (id == nullptr) return Bad(where, ".call_id: must be a string");
  if (name == nullptr) return Bad(where, ".name: must be a string");
  if (arguments == nullptr || (!arguments->empty() && !IsJsonObject(*arguments))) {
    return Bad(where, ".arguments: must be the text of a JSON object");
  }
  turn_.AddCall(*id, *name, *arguments);
  return absl::OkStatus();
}

absl::Status MessageList::AddCallOutput(const std::string& where, const Json& item) {
  const std::string* id = FindText(item, "call_id");
  if (id == nullptr) return Bad(where, ".call_id: must be a string");
  ASSIGN_OR_RETURN(std::string text, TextOf(where + ".output", FindMember(item, "output")));
  EndTurn();
  messages_.push_back(Json{{"role", "tool"}, {"tool_call_id", *id}, {"content", std::move(text)}});
  return absl::OkStatus();
}

absl::Status MessageList::Add(const std::string& where, const Json& item) {
  if (!item.is_object()) return Bad(where, absl::StrCat(": must be an object, not ", Shown(item)));
  const Json* type = FindMember(item, "type");
  if (type == nullptr && FindMember(item, "role") == nullptr) return Bad(where, ".type: is missing");
  const std::string name = type == nullptr ? "message" : type->is_string() ? type->get<std::string>() : "";
  if (name == "message") return AddMessage(where, item);
  if (name == "reasoning") return AddReasoning(where, item);
  if (name == "function_call") return AddCall(where, item);
  if (name == "function_call_output") return AddCallOutput(where, item);
  if (name == "item_reference") return Bad(where, ": references to items are not served; send the item itself");
  return Bad(where, absl::StrCat(".type: ", Shown(*type), " is not supported; use message, reasoning, function_call or function_call_output"));
}

// Many templates take one system message only, the first.
void PutFirst(const std::string& instructions, Json* messages) {
  if (!messages->empty()) {
    Json& first = messages->front();
    if (first["role"] == "system" || first["role"] == "developer") {
      first["content"] = absl::StrCat(instructions, "\n\n", first["content"].get<std::string>());
      return;
    }
  }
  messages->insert(messages->begin(), Json{{"role", "system"}, {"content", instructions}});
}

Json AsItems(const Json& input) {
  if (!input.is_string()) return input;
  return Json::array({Json{{"type", "message"}, {"role", "user"}, {"content", input}}});
}

// Gives a well-formed item what it may leave out: its type, an id, and a text's form as a list of parts.
void CompleteItem(const std::string& name, Json* item) {
  if (FindMember(*item, "type") == nullptr) (*item)["type"] = "message";
  const std::string type = (*item)["type"];
  const std::string prefix = type == "message" ? "msg_" : type == "reasoning" ? "rs_" : type == "function_call" ? "fc_" : "fco_";
  if (FindText(*item, "id") == nullptr) (*item)["id"] = prefix + name;
  if (FindMember(*item, "status") == nullptr && type != "reasoning") (*item)["status"] = "completed";
  if (type != "message" || !(*item)["content"].is_string()) return;
  Json part{{"type", (*item)["role"] == "assistant" ? "output_text" : "input_text"}, {"text", (*item)["content"]}};
  if (part["type"] == "output_text") part["annotations"] = Json::array();
  (*item)["content"] = Json::array({std::move(part)});
}

}  // namespace

absl::StatusOr<Json> ReadResponsesInput(const Json& input, const Conversation& earlier, const std::string* instructions, int max_items) {
  if (!input.is_string() && (!input.is_array() || input.empty())) {
    return Bad("input", ": must be a string or a list of items that is not empty");
  }
  MessageList list;
  const Json before = ItemsOf(earlier), now = AsItems(input);
  if (before.size() + now.size() > static_cast<size_t>(max_items)) {
    const std::string past = before.empty() ? "" : absl::StrCat(" with the ", before.size(), " of earlier responses");
    return Bad("input", absl::StrCat(": holds ", now.size(), " items", past, "; at most ", max_items, " are allowed"));
  }
  for (const Json& item : before) RETURN_IF_ERROR(list.Add("previous_response_id", item));
  for (size_t i = 0; i < now.size(); ++i) RETURN_IF_ERROR(list.Add(absl::StrCat("input[", i, "]"), now[i]));
  Json messages = list.Take();
  if (instructions != nullptr && !instructions->empty()) PutFirst(*instructions, &messages);
  if (messages.empty()) return Bad("input", ": must say something");
  return messages;
}

Json ItemsToKeep(const Json& input) {
  const std::string name = FreshHexId(24);
  Json items = AsItems(input);
  for (size_t i = 0; i < items.size(); ++i) CompleteItem(absl::StrCat(name, "_", i), &items[i]);
  return items;
}

}  // namespace braid
