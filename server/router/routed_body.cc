#include "server/router/routed_body.h"

#include <utility>

#include "kernels/base/fresh_id.h"

namespace braid {
namespace {

constexpr size_t kMaxMembers = 1 << 22;

const Json* Member(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found == json.end() || found->is_null() ? nullptr : &*found;
}

bool IsTrue(const Json& json, const char* name) {
  const Json* const member = Member(json, name);
  return member != nullptr && *member == true;
}

bool IsOneOrAbsent(const Json& json, const char* name) {
  const Json* const member = Member(json, name);
  return member == nullptr || *member == 1;
}

// A text, or one list of ids.
bool IsOnePrompt(const Json* prompt) {
  if (prompt == nullptr) return false;
  return prompt->is_string() || (prompt->is_array() && !prompt->empty() && prompt->front().is_number());
}

// Nothing but ids was in it.
bool IsBare(const Json& choice) {
  if (Member(choice, "finish_reason") != nullptr || Member(choice, "logprobs") != nullptr) return false;
  if (const Json* const delta = Member(choice, "delta")) {
    return delta->is_object() && (delta->empty() || (delta->size() == 1 && delta->value("content", Json()) == ""));
  }
  const Json* const text = Member(choice, "text");
  return text == nullptr || *text == "";
}

}  // namespace

RoutedBody::RoutedBody(std::string_view path, std::string body) : body_(std::move(body)) {
  auto json = ParseJson(body_, {.max_members = kMaxMembers});
  if (!json.ok() || !json->is_object()) return;
  json_ = *std::move(json);
  ReadPrompt();
  wants_ids_ = IsTrue(json_, "return_token_ids");
  const Json* const options = Member(json_, "stream_options");
  wants_usage_ = options != nullptr && options->is_object() && IsTrue(*options, "include_usage");
  can_resume_ = CanResume(path);
  if (!can_resume_) return;
  json_["return_token_ids"] = true;
  // The same draws wherever it goes on.
  if (Member(json_, "seed") == nullptr) json_["seed"] = static_cast<int64_t>(FreshSeed() >> 1);
}

void RoutedBody::ReadPrompt() {
  for (const char* name : {"cache_salt", "model", "tools", "system", "instructions", "messages", "prompt", "input"}) {
    const Json* const member = Member(json_, name);
    if (member == nullptr) continue;
    prompt_ += member->is_string() ? member->get<std::string>() : WriteJson(*member);
  }
}

bool RoutedBody::CanResume(std::string_view path) const {
  const bool chat = path == "/v1/chat/completions", completion = path == "/v1/completions";
  if (!chat && !completion) return false;
  if (!IsTrue(json_, "stream") || IsTrue(json_, "echo") || !IsOneOrAbsent(json_, "n")) return false;
  if (Member(json_, "resume_token_ids") != nullptr) return false;
  return chat || IsOnePrompt(Member(json_, "prompt"));
}

std::string RoutedBody::ForWorker(bool begun) const {
  if (!can_resume_) return body_;
  if (!begun) return WriteJson(json_);
  Json resumed = json_;
  resumed["resume_token_ids"] = ids_;
  return WriteJson(resumed);
}

std::string RoutedBody::Take(std::string_view data) {
  if (!can_resume_ || data == "[DONE]") return std::string(data);
  auto event = ParseJson(data, {.max_members = kMaxMembers});
  if (!event.ok() || !event->is_object()) return std::string(data);
  if (!wants_ids_) event->erase("prompt_token_ids");
  const auto choices = event->find("choices");
  if (choices == event->end() || !choices->is_array() || choices->empty()) return WriteJson(*event);
  Json& choice = choices->front();
  const bool had_ids = choice.is_object() && Member(choice, "token_ids") != nullptr;
  if (choice.is_object()) TakeChoice(choice);
  const bool nothing_left = had_ids && !wants_ids_ && IsBare(choice) && Member(*event, "usage") == nullptr;
  return nothing_left ? "" : WriteJson(*event);
}

void RoutedBody::TakeChoice(Json& choice) {
  if (const Json* const ids = Member(choice, "token_ids"); ids != nullptr && ids->is_array()) {
    for (const Json& id : *ids) {
      if (id.is_number_integer()) ids_.push_back(id.get<int32_t>());
    }
  }
  finished_ |= Member(choice, "finish_reason") != nullptr;
  if (wants_ids_) return;
  choice.erase("token_ids");
  choice.erase("prompt_token_ids");
}

bool RoutedBody::IsError(std::string_view data, bool* of_worker) {
  if (data.substr(0, 16).find("\"error\"") == std::string_view::npos) return false;
  const auto event = ParseJson(data, {.max_members = kMaxMembers});
  if (!event.ok() || !event->is_object()) return false;
  const Json* const error = Member(*event, "error");
  if (error == nullptr || !error->is_object()) return false;
  *of_worker = error->value("code", Json()) == 503;
  return true;
}

}  // namespace braid
