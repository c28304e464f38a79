// The fields of a body that say what form the answer has.
#pragma once

#include "server/openai/output_rules.h"
#include "server/openai/request_fields.h"
#include "server/serving_limits.h"

namespace braid {

// Reads response_format, structured_outputs, thinking_token_budget and its kin; errors stay in `fields`.
void ReadOutputRules(RequestFields& fields, const ServingLimits& limits, OutputRules* rules);

// Reads tool_choice and parallel_tool_calls against `tools` (null: none).
void ReadToolChoice(RequestFields& fields, const Json& tools, OutputRules* rules);

}  // namespace braid
