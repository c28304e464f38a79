#include "bench/event_stream.h"

namespace braid::bench {

void EventStreamParser::Feed(std::string_view bytes) {
  for (const char c : bytes) {
    const bool second_of_crlf = after_cr_ && c == '\n';
    after_cr_ = c == '\r';
    if (second_of_crlf) continue;
    if (c == '\n' || c == '\r') {
      EndLine();
    } else {
      line_.push_back(c);
    }
  }
}

void EventStreamParser::EndLine() {
  const std::string_view line = line_;
  if (line.empty()) {
    if (has_data_) on_data_(data_);
    data_.clear();
    has_data_ = false;
  } else if (line == "data" || line.substr(0, 5) == "data:") {
    std::string_view value = line.substr(std::min<size_t>(5, line.size()));
    if (!value.empty() && value[0] == ' ') value.remove_prefix(1);
    if (has_data_) data_.push_back('\n');
    data_.append(value);
    has_data_ = true;
  }
  line_.clear();
}

}  // namespace braid::bench
