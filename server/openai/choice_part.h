// What the choices of a call have to say, before any API has worded it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/token_event.h"

namespace braid {

struct Usage {
  int64_t prompt_tokens = 0, completion_tokens = 0, cached_tokens = 0, reasoning_tokens = 0;
};

// A tool call, or a piece of one.
struct ToolCallPart {
  int index = 0;            // within the choice
  std::string id, name;     // empty in all pieces but the first
  std::string arguments;    // JSON text; the pieces joined are all of it
};

// All that one choice has said in a whole reply, the news of it in a stream.
struct ChoicePart {
  int index = 0;
  std::string text;
  std::string reasoning;
  std::vector<ToolCallPart> tool_calls;   // by index
  std::vector<int32_t> token_ids;
  std::vector<int32_t> prompt_token_ids;  // completions only
  std::string logprobs;                   // as LogprobsText gives it; empty: none asked for
  std::string prompt_logprobs;            // as PromptLogprobsJson gives it; empty: none asked for
  FinishReason finish = FinishReason::kNone;
  bool ends_in_calls = false;             // it stopped by itself, for its tool calls to be answered
  std::string stop_reason = "null";       // JSON: a stop string, a stop id or null

  bool has_news() const { return !text.empty() || !reasoning.empty() || !tool_calls.empty(); }
};

}  // namespace braid
