// Server-sent events out of a byte stream that may be cut anywhere.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace braid {

// Reads as WHATWG HTML, section 9.2.6 says: lines end in LF, CR or CRLF; comments and fields but `data` and `event` are
// passed over; an event is told when its empty line is there. Thread: one at a time.
class EventReader {
 public:
  static constexpr size_t kMaxEventBytes = 16 << 20;
  using OnEvent = std::function<void(std::string_view data, std::string_view type)>;

  // Tells the events that `bytes` complete, their lines of data joined by LF. False when an event is too long: the stream
  // is not to be read on.
  bool Feed(std::string_view bytes, const OnEvent& event);

 private:
  void TakeLine(std::string_view line, const OnEvent& event);
  bool IsTooLong() const { return line_.size() + data_.size() > kMaxEventBytes; }

  std::string line_, data_, type_;
  bool has_data_ = false;
  bool after_cr_ = false;  // a LF that follows belongs to the line end already seen
};

}  // namespace braid
