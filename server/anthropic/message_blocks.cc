#include "server/anthropic/message_blocks.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/openai/chat_body.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

// `where` begins with the name of the request's field.
absl::Status Bad(const std::string& where, const std::string& what) {
  return InvalidParam(where.substr(0, where.find('[')), absl::StrCat(where, what));
}

// The string member that a block of this kind must have.
absl::StatusOr<std::string> Required(const std::string& where, const Json& block, const char* name) {
  const std::string* text = FindText(block, name);
  if (text == nullptr) return Bad(where, absl::StrCat(".", name, ": must be a string"));
  return *text;
}

absl::Status NotSupported(const std::string& where, const std::string& type) {
  return Bad(where, absl::StrCat(".type: ", Shown(type), " is not supported here; this model reads text only"));
}

absl::StatusOr<std::string> TypeOf(const std::string& where, const Json& block) {
  const std::string* type = FindText(block, "type");
  if (type == nullptr) return Bad(where, ": must be an object with a type");
  return *type;
}

// The text of a string or of a list of text blocks; `content` may be null: nothing was said.
absl::StatusOr<std::string> TextOf(const std::string& where, const Json* content) {
  if (content == nullptr) return std::string();
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) return Bad(where, absl::StrCat(": must be a string or a list of text blocks, not ", Shown(*content)));
  std::string text;
  for (size_t i = 0; i < content->size(); ++i) {
    const std::string place = absl::StrCat(where, "[", i, "]");
    ASSIGN_OR_RETURN(const std::string type, TypeOf(place, (*content)[i]));
    if (type != "text") return NotSupported(place, type);
    ASSIGN_OR_RETURN(const std::string piece, Required(place, (*content)[i], "text"));
    text += piece;
  }
  return text;
}

absl::Status AddToolUse(const std::string& where, const Json& block, AssistantTurn* turn) {
  ASSIGN_OR_RETURN(const std::string id, Required(where, block, "id"));
  ASSIGN_OR_RETURN(const std::string name, Required(where, block, "name"));
  const Json* input = FindMember(block, "input");
  if (input != nullptr && !input->is_object()) return Bad(where, ".input: must be an object");
  turn->AddCall(id, name, input == nullptr ? "{}" : WriteJson(*input));
  return absl::OkStatus();
}

absl::Status AddAssistantBlock(const std::string& where, const Json& block, AssistantTurn* turn) {
  ASSIGN_OR_RETURN(const std::string type, TypeOf(where, block));
  if (type == "redacted_thinking") return absl::OkStatus();  // nobody here can read it
  if (type == "tool_use") return AddToolUse(where, block, turn);
  if (type != "text" && type != "thinking") return NotSupported(where, type);
  ASSIGN_OR_RETURN(const std::string text, Required(where, block, type.c_str()));
  if (type == "text") {
    turn->text = turn->text.value_or("") + text;
  } else {
    turn->reasoning += text;
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> AssistantMessage(const std::string& where, const Json& content) {
  AssistantTurn turn;
  if (content.is_string()) {
    turn.text = content.get<std::string>();
    return turn.ToMessage();
  }
  for (size_t i = 0; i < content.size(); ++i) {
    RETURN_IF_ERROR(AddAssistantBlock(absl::StrCat(where, "[", i, "]"), content[i], &turn));
  }
  return turn.ToMessage();
}

// A user's message: results of tools are messages of their own, in the order given.
absl::Status AddUserMessages(const std::string& where, const Json& content, Json* out) {
  std::string text;
  const auto end_text = [&] {
    if (!text.empty()) out->push_back(Json{{"role", "user"}, {"content", std::exchange(text, {})}});
  };
  for (size_t i = 0; i < content.size(); ++i) {
    const Json& block = content[i];
    const std::string place = absl::StrCat(where, "[", i, "]");
    ASSIGN_OR_RETURN(const std::string type, TypeOf(place, block));
    if (type == "text") {
      ASSIGN_OR_RETURN(const std::string piece, Required(place, block, "text"));
      text += piece;
    } else if (type == "tool_result") {
      ASSIGN_OR_RETURN(const std::string id, Required(place, block, "tool_use_id"));
      ASSIGN_OR_RETURN(std::string result, TextOf(place + ".content", FindMember(block, "content")));
      end_text();
      out->push_back(Json{{"role", "tool"}, {"tool_call_id", id}, {"content", std::move(result)}});
    } else {
      return NotSupported(place, type);
    }
  }
  end_text();
  return absl::OkStatus();
}

absl::Status AddMessage(const std::string& where, const Json& message, Json* out) {
  if (!message.is_object()) return Bad(where, absl::StrCat(": must be an object, not ", Shown(message)));
  const std::string* role = FindText(message, "role");
  if (role == nullptr || (*role != "user" && *role != "assistant" && *role != "system")) {
    return Bad(where, ".role: must be \"user\" or \"assistant\"");
  }
  const std::string place = where + ".content";
  const Json* content = FindMember(message, "content");
  if (content == nullptr) return Bad(place, ": is missing; it must be a string or a list of blocks");
  if (!content->is_string() && !content->is_array()) {
    return Bad(place, absl::StrCat(": must be a string or a list of blocks, not ", Shown(*content)));
  }
  if (*role == "user" && content->is_array()) return AddUserMessages(place, *content, out);
  if (*role == "assistant") {
    ASSIGN_OR_RETURN(Json turn, AssistantMessage(place, *content));
    out->push_back(std::move(turn));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(std::string text, TextOf(place, content));
  out->push_back(Json{{"role", *role}, {"content", std::move(text)}});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Json> ReadBlocks(const Json* system, const Json& messages, int max_messages) {
  if (!messages.is_array() || messages.empty()) return Bad("messages", ": must be a list of at least one message");
  if (messages.size() > static_cast<size_t>(max_messages)) {
    return Bad("messages", absl::StrCat(": holds ", messages.size(), "; at most ", max_messages, " are allowed"));
  }
  Json out = Json::array();
  ASSIGN_OR_RETURN(std::string words, TextOf("system", system));
  if (!words.empty()) out.push_back(Json{{"role", "system"}, {"content", std::move(words)}});
  for (size_t i = 0; i < messages.size(); ++i) {
    RETURN_IF_ERROR(AddMessage(absl::StrCat("messages[", i, "]"), messages[i], &out));
  }
  return out;
}

}  // namespace braid
