// A file's bytes as memory, read as they are touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace braid {

// A read-only mapping of a whole regular file. Thread: any, once open.
class MappedFile {
 public:
  // Maps `path` as long as it is now; a FIFO, device or directory is an error.
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::string& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }

  // Gives the physical pages of [offset, offset + length) back; touching them reads the file again.
  void Release(size_t offset, size_t length) const;

 private:
  MappedFile(std::string path, std::span<const std::byte> bytes, int slot);

  const std::string path_;
  const std::span<const std::byte> bytes_;
  const int slot_;  // in the truncation guard's table, -1 for an empty file
};

// From now on, touching a mapped page that its file no longer has (truncated meanwhile, or unreadable) writes one
// line naming the file and ends the process with kTruncatedFileExit, where SIGBUS would kill it. Idempotent.
void InstallTruncationGuard();

inline constexpr int kTruncatedFileExit = 72;

}  // namespace braid
