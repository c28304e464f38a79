#include "server/openai/api_forms.h"

#include <utility>

#include "kernels/base/errors.h"
#include "server/anthropic/messages_request.h"
#include "server/anthropic/messages_writer.h"
#include "server/openai/responses_request.h"

namespace braid {

absl::StatusOr<ChatBody> ReadChatBody(ApiKind kind, const Json& body, const RequestRules& rules) {
  if (kind == ApiKind::kResponses) {
    ASSIGN_OR_RETURN(ResponsesRequest request, ReadResponsesRequest(body, rules));
    return ChatBody{std::move(request.chat), std::move(request.echo), std::move(request.keep), request.background};
  }
  ASSIGN_OR_RETURN(ChatRequest request, kind == ApiKind::kMessages ? ReadMessagesRequest(body, rules) : ReadChatRequest(body, rules));
  return ChatBody{.request = std::move(request), .echo = nullptr};
}

std::string_view PromptField(ApiKind kind) {
  switch (kind) {
    case ApiKind::kCompletion: return "prompt";
    case ApiKind::kResponses: return "input";
    default: return "messages";
  }
}

ReplyForm FormOf(ApiKind kind) {
  switch (kind) {
    case ApiKind::kCompletion: return ReplyForm::kCompletion;
    case ApiKind::kResponses: return ReplyForm::kEntries;
    default: return ReplyForm::kChat;
  }
}

std::unique_ptr<ReplyWriter> MakeReplyWriter(ApiKind kind, OpenAiWriter::Head head, Json echo, ResponsesWriter::Keep keep) {
  switch (kind) {
    case ApiKind::kResponses:
      return std::make_unique<ResponsesWriter>(ResponsesWriter::Head{
          .id = std::move(head.id), .model = std::move(head.model), .created_unix_s = head.created_unix_s, .echo = std::move(echo),
          .keep = std::move(keep)});
    case ApiKind::kMessages:
      return std::make_unique<MessagesWriter>(MessagesWriter::Head{.id = std::move(head.id), .model = std::move(head.model)});
    default:
      head.form = FormOf(kind);
      head.id.insert(0, kind == ApiKind::kCompletion ? "cmpl-" : "chatcmpl-");
      return std::make_unique<OpenAiWriter>(std::move(head));
  }
}

}  // namespace braid
