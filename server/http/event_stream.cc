#include "server/http/event_stream.h"

#include <charconv>

namespace braid {

void EventStream::Add(std::string_view data, std::string_view type) {
  if (!type.empty()) events_.append("event: ").append(type).append("\n");
  events_.append("data: ").append(data).append("\n\n");
}

void EventStream::AddComment(std::string_view text) {
  events_.append(": ").append(text).append("\n\n");
}

void EventStream::TakeInto(std::string* out) {
  if (events_.empty()) return;
  if (chunked_) {
    char digits[16];
    const auto end = std::to_chars(digits, digits + sizeof digits, events_.size(), 16).ptr;
    out->append(digits, end).append("\r\n").append(events_).append("\r\n");
  } else {
    out->append(events_);
  }
  events_.clear();
}

void EventStream::EndInto(std::string* out) {
  TakeInto(out);
  if (chunked_) out->append("0\r\n\r\n");
}

}  // namespace braid
