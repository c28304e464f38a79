// The words of an answer's head.
#pragma once

#include <string>
#include <string_view>

namespace braid {

// "Not Found" for 404.
std::string_view ReasonOf(int status);

// "Date: ...", of now, with its line end; made once a second and thread.
const std::string& DateLine();

// Whether a client's request id may be echoed.
bool IsRequestId(std::string_view id);

}  // namespace braid
