// Server-sent events as bytes: "data: ..." lines, in one HTTP chunk a write.
#pragma once

#include <string>
#include <string_view>

namespace braid {

// Collects events between two writes. Thread: the connection's.
class EventStream {
 public:
  // `chunked`: the transfer coding of HTTP/1.1; without it the stream ends with the connection.
  explicit EventStream(bool chunked) : chunked_(chunked) {}

  // Adds one event; neither `data` nor `type` (empty: no "event:" line) may hold a line break.
  void Add(std::string_view data, std::string_view type = {});

  // Adds a line that readers pass over; `text` must hold no line break.
  void AddComment(std::string_view text);

  // Appends what was collected to `out` as one HTTP chunk; nothing when there is nothing.
  void TakeInto(std::string* out);

  // Appends what was collected and the end of the stream.
  void EndInto(std::string* out);

 private:
  const bool chunked_;
  std::string events_;
};

}  // namespace braid
