// Calls that let the text layer be checked from outside: grammars, output parsers, templates of the caller's own. Open
// only with --debug-endpoints. Each takes a parsed body and returns the JSON to answer, or InvalidArgument.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kernels/base/json.h"

namespace braid {

// POST /grammar/check: one of `json_schema`, `regex`, `ebnf`, and `texts` -> {"accepted": [bool]}, whether each whole
// text is a sentence of the grammar, walked by the matcher that makes the masks.
absl::StatusOr<std::string> CheckGrammar(const Json& body);

// POST /parse-output: `family`, `text` or `chunks`, `starts_in_reasoning`, `tools`, `finish_reason`
// -> {"content", "reasoning_content", "tool_calls"}; of chunks the joined deltas.
absl::StatusOr<std::string> ParseOutputText(const Json& body);

// Whether an apply-template body brings what RenderOwnTemplate reads.
bool BringsOwnTemplate(const Json& body);

// POST /apply-template with `chat_template`, and `messages` (taken as they are with `raw_messages`) or a whole
// `context`, `tools`, `add_generation_prompt`, `chat_template_kwargs`, `bos_token`, `eos_token`, `now` -> {"prompt"}.
absl::StatusOr<std::string> RenderOwnTemplate(const Json& body);

}  // namespace braid
