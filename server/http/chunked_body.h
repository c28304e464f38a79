// The chunked transfer coding of a request body, read piece by piece.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/request_head.h"

namespace braid {

// Thread: one at a time.
class ChunkedBody {
 public:
  // Most bytes of the body, and of extensions and trailers.
  ChunkedBody(size_t max_body_bytes, size_t max_extra_bytes) : max_body_(max_body_bytes), max_extra_(max_extra_bytes) {}

  // Takes bytes from the front of `in` as far as the body goes, appends what they carry to `body` and says how many
  // were taken. After a fault nothing more may be fed.
  size_t Feed(std::string_view in, std::string* body);

  bool done() const { return state_ == State::kDone; }
  const std::optional<HttpFault>& fault() const { return fault_; }

 private:
  enum class State { kSize, kExtension, kSizeLf, kData, kDataCr, kDataLf, kTrailer, kDone };
  void OnByte(char c);
  void OnSizeByte(char c);
  void OnTrailerByte(char c);
  void Fail(int status, std::string message) { fault_ = HttpFault{status, std::move(message)}; }

  const size_t max_body_, max_extra_;
  State state_ = State::kSize;
  uint64_t left_ = 0;      // of this chunk
  int size_digits_ = 0;
  size_t extra_ = 0;
  size_t total_ = 0;
  std::string trailer_line_;
  std::optional<HttpFault> fault_;
};

}  // namespace braid
