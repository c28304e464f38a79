#include "server/router/sse_reader.h"

namespace braid {

bool SseReader::Feed(std::string_view bytes, const std::function<void(std::string_view, std::string_view)>& event) {
  for (size_t end; (end = bytes.find('\n')) != std::string_view::npos; bytes.remove_prefix(end + 1)) {
    line_.append(bytes.substr(0, end));
    if (!line_.empty() && line_.back() == '\r') line_.pop_back();
    if (line_.size() + data_.size() > kMaxEventBytes) return false;
    TakeLine(line_, event);
    line_.clear();
  }
  line_.append(bytes);
  return line_.size() + data_.size() <= kMaxEventBytes;
}

void SseReader::TakeLine(std::string_view line, const std::function<void(std::string_view, std::string_view)>& event) {
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
