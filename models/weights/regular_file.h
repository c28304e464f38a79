// Opening files of the world with care: only regular files, after following links, and never a wait.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace braid {

// An open descriptor for reading; closes when it dies.
class RegularFile {
 public:
  // Opens `path`. A FIFO, device, socket or directory is an error and is never waited for.
  static absl::StatusOr<RegularFile> Open(const std::string& path);

  RegularFile(RegularFile&& other) noexcept;
  RegularFile& operator=(RegularFile&&) = delete;
  ~RegularFile();

  int descriptor() const { return descriptor_; }
  int64_t size() const { return size_; }  // bytes, when it was opened

 private:
  RegularFile(int descriptor, int64_t size) : descriptor_(descriptor), size_(size) {}

  int descriptor_;
  int64_t size_;
};

// Returns the contents of `path`, which must be a regular file of at most `max_bytes`.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path, int64_t max_bytes);

}  // namespace braid
