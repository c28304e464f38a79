// The text side of a checkpoint: tokenizer and chat template, both absent for a model that is served by token ids.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "models/chat/chat_template.h"
#include "models/chat/output/output_parser.h"
#include "models/tokenizer/tokenizer.h"

namespace braid {

class Checkpoint;

// Immutable after load. Thread: any.
struct TextModel {
  std::unique_ptr<Tokenizer> tokenizer;         // null: token ids only
  std::unique_ptr<ChatTemplate> chat_template;  // null: no chat
  OutputFormat output_format = OutputFormat::kPlain;  // of reasoning and tool calls, as the template writes them
};

// Reads tokenizer and template of `checkpoint`; a file that is there but broken is an error.
absl::StatusOr<TextModel> LoadTextModel(const Checkpoint& checkpoint);

}  // namespace braid
