#include "server/http/chunked_body.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace braid {

size_t ChunkedBody::Feed(std::string_view in, std::string* body) {
  size_t taken = 0;
  while (taken < in.size() && !done() && !fault_.has_value()) {
    if (state_ != State::kData) {
      OnByte(in[taken++]);
      continue;
    }
    const size_t bytes = std::min<uint64_t>(left_, in.size() - taken);
    body->append(in.substr(taken, bytes));
    taken += bytes;
    left_ -= bytes;
    if (left_ == 0) state_ = State::kDataCr;
  }
  return taken;
}

void ChunkedBody::OnByte(char c) {
  switch (state_) {
    case State::kSize: return OnSizeByte(c);
    case State::kExtension:
      if (++extra_ > max_extra_) return Fail(400, "chunk extensions are too long");
      if (c == '\r') state_ = State::kSizeLf;
      else if (c == '\n' || c == '\0') return Fail(400, "a chunk extension holds a control byte");
      return;
    case State::kSizeLf:
      if (c != '\n') return Fail(400, "a chunk's size line does not end with CRLF");
      state_ = left_ == 0 ? State::kTrailer : State::kData;
      size_digits_ = 0;
      return;
    case State::kDataCr:
      if (c != '\r') return Fail(400, "a chunk is longer than its size");
      state_ = State::kDataLf;
      return;
    case State::kDataLf:
      if (c != '\n') return Fail(400, "a chunk does not end with CRLF");
      state_ = State::kSize;
      return;
    case State::kTrailer: return OnTrailerByte(c);
    case State::kData:
    case State::kDone: return;
  }
}

void ChunkedBody::OnSizeByte(char c) {
  if (absl::ascii_isxdigit(static_cast<unsigned char>(c))) {
    if (++size_digits_ > 15) return Fail(400, "a chunk's size is too large");
    left_ = left_ * 16 + static_cast<uint64_t>(absl::ascii_isdigit(c) ? c - '0' : absl::ascii_tolower(c) - 'a' + 10);
    return;
  }
  if (size_digits_ == 0) return Fail(400, "a chunk's size is missing");
  if (left_ > max_body_ - total_) return Fail(413, absl::StrCat("the body is longer than ", max_body_, " bytes"));
  total_ += left_;
  if (c == '\r') state_ = State::kSizeLf;
  else if (c == ';') state_ = State::kExtension;
  else Fail(400, "a chunk's size is not a hexadecimal number");
}

void ChunkedBody::OnTrailerByte(char c) {
  if (++extra_ > max_extra_) return Fail(400, "trailers are too long");
  if (c == '\0') return Fail(400, "a trailer holds a NUL byte");
  const bool after_cr = !trailer_line_.empty() && trailer_line_.back() == '\r';
  if (after_cr != (c == '\n')) return Fail(400, "a trailer line does not end with CRLF");
  if (c != '\n') return trailer_line_.push_back(c);
  if (trailer_line_ == "\r") state_ = State::kDone;
  trailer_line_.clear();
}

}  // namespace braid
