// What sets the APIs that generate apart: their bodies, the names of their fields, the words of their answers.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/openai/request_json.h"
#include "server/openai/response_json.h"
#include "server/openai/response_store.h"
#include "server/openai/responses_writer.h"

namespace braid {

// Of an API that answers a chat.
struct ChatBody {
  ChatRequest request;
  Json echo;            // what the answer repeats of the body; null: nothing
  std::optional<ResponseStore::NewResponse> keep;  // of ResponsesRequest
  bool background = false;
};
absl::StatusOr<ChatBody> ReadChatBody(ApiKind kind, const Json& body, const RequestRules& rules);

// The field that the prompt came in.
std::string_view PromptField(ApiKind kind);
ReplyForm FormOf(ApiKind kind);

// `head` has the id without the API's prefix; the form is taken from `kind`.
std::unique_ptr<ReplyWriter> MakeReplyWriter(ApiKind kind, OpenAiWriter::Head head, Json echo, ResponsesWriter::Keep keep);

}  // namespace braid
