#include "server/http/event_reader.h"

#include <utility>

namespace braid {

bool EventReader::Feed(std::string_view bytes, const OnEvent& event) {
  while (!bytes.empty()) {
    if (std::exchange(after_cr_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const size_t end = bytes.find_first_of("\r\n");
    line_.append(bytes.substr(0, end));
    if (IsTooLong()) return false;
    if (end == std::string_view::npos) return true;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    TakeLine(line_, event);
    line_.clear();
  }
  return true;
}

void EventReader::TakeLine(std::string_view line, const OnEvent& event) {
  if (line.empty()) {
    if (has_data_) event(data_, type_);
    data_.clear();
    type_.clear();
    has_data_ = false;
    return;
  }
  const size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  if (field == "event") type_ = value;
  if (field != "data") return;
  if (has_data_) data_.push_back('\n');
  data_.append(value);
  has_data_ = true;
}

}  // namespace braid
