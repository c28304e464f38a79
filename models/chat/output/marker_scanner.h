// Finds markers in text that comes in pieces cut anywhere, and holds back what may become one.
#pragma once

#include <bitset>
#include <string>
#include <string_view>
#include <vector>

namespace braid {

// Markers to look for at one time; none is empty or the beginning of another. At most 16 of at most 64 bytes: that
// bounds the work a byte of text costs.
class MarkerSet {
 public:
  explicit MarkerSet(std::vector<std::string> markers);
  const std::string& operator[](int marker) const { return markers_[marker]; }
  int size() const { return static_cast<int>(markers_.size()); }
  // No marker begins with this byte.
  bool IsPlain(char byte) const { return !first_bytes_[static_cast<unsigned char>(byte)]; }

 private:
  std::vector<std::string> markers_;
  std::bitset<256> first_bytes_;
};

// The text not yet read. Views stay good until the next Append. Which markers are looked for may change at every call.
class MarkerScanner {
 public:
  void Append(std::string_view piece);
  // No more text comes: nothing is held back from here on.
  void Close() { closed_ = true; }

  struct Found {
    std::string_view before;  // text in front of the marker
    int marker = -1;          // its place in the set; -1: none so far, more text is wanted
  };
  // Reads to the end of the first marker; with none, all but the longest tail that may be the beginning of one.
  Found Take(const MarkerSet& markers);

  std::string_view rest() const { return std::string_view(text_).substr(read_); }
  void Skip(size_t bytes) { read_ += bytes; }

 private:
  std::string text_;
  size_t read_ = 0;
  bool closed_ = false;
};

}  // namespace braid
