// Tools for models whose chat template does not know them: told in the system message, in the Hermes form.
#pragma once

#include "kernels/base/json.h"

namespace braid {

// Returns `messages` with the tools told in a system message, past calls as text, and results as what the user says.
Json TellTools(const Json& messages, const Json& tools);

}  // namespace braid
