// Bytes of an event stream to its events.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace braid {

// Thread: one at a time.
class SseReader {
 public:
  static constexpr size_t kMaxEventBytes = 16 << 20;

  // Calls `event(data, type)` for each event that `bytes` complete; comments are passed over, lines of data joined.
  // False when an event is too long: the stream is not to be read on.
  bool Feed(std::string_view bytes, const std::function<void(std::string_view data, std::string_view type)>& event);

 private:
  void TakeLine(std::string_view line, const std::function<void(std::string_view, std::string_view)>& event);

  std::string line_, data_, type_;
  bool has_data_ = false;
};

}  // namespace braid
