#include "models/weights/mapped_file.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "models/weights/regular_file.h"

namespace braid {
namespace {

// One mapped range, as a signal handler may read it: no locks, no allocation. An entry counts while size is not 0,
// which is stored last and cleared first.
struct MappedRange {
  std::atomic<bool> taken{false};
  std::atomic<uintptr_t> begin{0};
  std::atomic<size_t> size{0};
  char name[256] = {};  // the end of the path, terminated
};

constexpr int kMaxMappedFiles = 1024;
MappedRange mapped_ranges[kMaxMappedFiles];

size_t PageSize() {
  static const size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// Enters a range into the table; -1 when the table is full.
int Enter(std::span<const std::byte> bytes, std::string_view path) {
  for (int slot = 0; slot < kMaxMappedFiles; ++slot) {
    MappedRange& range = mapped_ranges[slot];
    if (range.taken.exchange(true)) continue;
    const std::string_view tail = path.substr(path.size() - std::min(path.size(), sizeof(range.name) - 1));
    std::memcpy(range.name, tail.data(), tail.size());
    range.name[tail.size()] = '\0';
    range.begin = reinterpret_cast<uintptr_t>(bytes.data());
    range.size = (bytes.size() + PageSize() - 1) / PageSize() * PageSize();  // the last page is mapped whole
    return slot;
  }
  return -1;
}

void Leave(int slot) {
  mapped_ranges[slot].size = 0;
  mapped_ranges[slot].taken = false;
}

// Async-signal-safe from here on.
void Say(const char* text) {
  size_t left = std::strlen(text);
  while (left > 0) {
    const ssize_t written = write(STDERR_FILENO, text, left);
    if (written <= 0) return;
    text += written;
    left -= static_cast<size_t>(written);
  }
}

void OnBusError(int, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (const MappedRange& range : mapped_ranges) {
    const uintptr_t begin = range.begin;
    const size_t size = range.size;
    if (address < begin || address - begin >= size) continue;
    Say("error: ");
    Say(range.name);
    Say(": data: was truncated or became unreadable while it was mapped\n");
    _exit(kTruncatedFileExit);
  }
  // No file of ours: the default answer, when the faulting instruction runs again.
  signal(SIGBUS, SIG_DFL);
}

}  // namespace

void InstallTruncationGuard() {
  static std::once_flag installed;
  std::call_once(installed, [] {
    struct sigaction action = {};
    action.sa_sigaction = OnBusError;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    CHECK_EQ(sigaction(SIGBUS, &action, nullptr), 0);
  });
}

absl::StatusOr<std::unique_ptr<MappedFile>> MappedFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(const RegularFile file, RegularFile::Open(path));
  std::span<const std::byte> bytes;
  int slot = -1;
  if (file.size() > 0) {
    const size_t size = static_cast<size_t>(file.size());
    void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
    if (data == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": mmap of ", size, " bytes"));
    bytes = {static_cast<const std::byte*>(data), size};
    slot = Enter(bytes, path);
    if (slot < 0) {
      munmap(data, size);
      return absl::ResourceExhaustedError(absl::StrCat(path, ": more than ", kMaxMappedFiles, " files are mapped"));
    }
  }
  return std::unique_ptr<MappedFile>(new MappedFile(path, bytes, slot));
}

MappedFile::MappedFile(std::string path, std::span<const std::byte> bytes, int slot)
    : path_(std::move(path)), bytes_(bytes), slot_(slot) {}

MappedFile::~MappedFile() {
  if (slot_ < 0) return;
  Leave(slot_);
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::Release(size_t offset, size_t length) const {
  CHECK(offset <= bytes_.size() && length <= bytes_.size() - offset) << path_ << " " << offset << "+" << length;
  if (length == 0) return;
  // Rounded outwards: a neighbour's part of a page is read again when it is wanted.
  const size_t begin = offset / PageSize() * PageSize();
  madvise(const_cast<std::byte*>(bytes_.data()) + begin, offset + length - begin, MADV_DONTNEED);
}

}  // namespace braid
