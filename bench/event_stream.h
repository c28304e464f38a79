// Server-sent events out of a byte stream that may be cut anywhere.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace braid::bench {

// Collects `data:` lines into events (WHATWG HTML, section 9.2.6). Comments and other fields are skipped; lines may end
// in LF, CR or CRLF.
class EventStreamParser {
 public:
  explicit EventStreamParser(std::function<void(std::string_view)> on_data) : on_data_(std::move(on_data)) {}

  // Takes the next bytes and calls on_data with the data of each event that they complete.
  void Feed(std::string_view bytes);

 private:
  void EndLine();

  std::function<void(std::string_view)> on_data_;
  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool after_cr_ = false;  // a LF that follows belongs to the line end already seen
};

}  // namespace braid::bench
