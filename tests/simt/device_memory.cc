#include "tests/simt/device_memory.h"

#include <signal.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>

#include "tests/simt/block.h"

namespace braid::simt {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kAlignment = 16;
constexpr size_t kDeviceBytes = size_t{8} << 30;
constexpr size_t kPoisonedBytes = size_t{16} << 20;  // what is larger reads as zero, so that its pages stay untouched
constexpr std::byte kCanary{0xa5};

struct Allocation {
  size_t bytes = 0;
  std::byte* mapped = nullptr;  // a guard page, pages, a guard page
  size_t mapped_bytes = 0;
  bool closed = false;  // to the host, by page protection
};

// Without protection keys pages are opened and closed one allocation at a time: what is beyond these stays open.
constexpr size_t kMaxClosed = 64;

struct Memory {
  std::mutex mutex;
  std::map<const std::byte*, Allocation> device, pinned;  // by address
  size_t used = 0;
  size_t num_closed = 0;
  int open_depth = 0;  // scopes that want all allocations open; without protection keys
  int key = -1;  // protection key of all device memory; -1: the processor has none
};
Memory& TheMemory() {
  static auto* const memory = new Memory;
  return *memory;
}

const std::pair<const std::byte* const, Allocation>* FindAt(const std::map<const std::byte*, Allocation>& all,
                                                            const std::byte* at) {
  auto next = all.upper_bound(at);
  if (next == all.begin()) return nullptr;
  return &*--next;
}

bool Contains(const std::map<const std::byte*, Allocation>& all, const void* data, size_t bytes) {
  const std::lock_guard lock(TheMemory().mutex);
  const auto* const at = static_cast<const std::byte*>(data);
  const auto* const found = FindAt(all, at);
  return found != nullptr && at + bytes <= found->first + found->second.bytes;
}

// Runs when an access faults: says what was touched and ends the process.
void ExplainFault(int, siginfo_t* info, void*) {
  const auto* const at = static_cast<const std::byte*>(info->si_addr);
  for (const auto& [begin, allocation] : TheMemory().device) {
    if (at < allocation.mapped || at >= allocation.mapped + allocation.mapped_bytes) continue;
    if (here == nullptr) Fail("the host touched device memory, byte %td of a buffer of %zu", at - begin, allocation.bytes);
    Fail("out of bounds of device memory: byte %td of a buffer of %zu", at - begin, allocation.bytes);
  }
  Fail("a fault at address %p, which is no device memory", info->si_addr);
}

// Faults are explained on a stack of their own: that of a fiber may be what has run out.
void ExplainFaults() {
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_sigaction = ExplainFault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    return sigaction(SIGSEGV, &action, nullptr) == 0;
  }();
  static thread_local const bool has_stack = [] {
    constexpr size_t kBytes = 64 << 10;
    stack_t stack = {};
    stack.ss_sp = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack.ss_size = kBytes;
    return sigaltstack(&stack, nullptr) == 0;
  }();
  if (!installed || !has_stack) Fail("no handler of faults");
}

size_t PagesFor(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

bool HasKeys() {
  static const bool has = (TheMemory().key = pkey_alloc(0, PKEY_DISABLE_ACCESS)) >= 0;
  return has;
}

void SetOpen(const Allocation& allocation, bool open) {
  mprotect(allocation.mapped + kPage, PagesFor(allocation.bytes), open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

// Keeps the host from new pages.
void Close(Allocation& allocation) {
  Memory& memory = TheMemory();
  if (HasKeys()) {
    pkey_mprotect(allocation.mapped + kPage, PagesFor(allocation.bytes), PROT_READ | PROT_WRITE, memory.key);
  } else if (memory.num_closed < kMaxClosed) {
    allocation.closed = true;
    ++memory.num_closed;
    if (memory.open_depth == 0) SetOpen(allocation, false);
  }
}

Allocation MapGuarded(size_t bytes) {
  Allocation allocation{.bytes = bytes, .mapped_bytes = PagesFor(bytes) + 2 * kPage};
  void* const mapped = mmap(nullptr, allocation.mapped_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) Fail("no memory for %zu bytes of the device", bytes);
  allocation.mapped = static_cast<std::byte*>(mapped);
  mprotect(allocation.mapped + kPage, PagesFor(bytes), PROT_READ | PROT_WRITE);
  return allocation;
}

thread_local int key_depth = 0;

// Opens or closes all device memory to this thread, or where there are no keys to the process.
void SetAllOpen(bool open) {
  Memory& memory = TheMemory();
  if (HasKeys()) {
    if (open ? key_depth++ == 0 : --key_depth == 0) pkey_set(memory.key, open ? 0 : PKEY_DISABLE_ACCESS);
    return;
  }
  const std::lock_guard lock(memory.mutex);
  if (!(open ? memory.open_depth++ == 0 : --memory.open_depth == 0)) return;
  for (const auto& [data, allocation] : memory.device) {
    if (allocation.closed) SetOpen(allocation, open);
  }
}

void CheckCanaries(const std::byte* data, const Allocation& allocation) {
  const std::byte* const pages = allocation.mapped + kPage;
  for (const std::byte* at = pages; at < data; ++at) {
    if (*at != kCanary) Fail("byte %td before a device buffer of %zu was written", at - data, allocation.bytes);
  }
  for (const std::byte* at = data + allocation.bytes; at < pages + PagesFor(allocation.bytes); ++at) {
    if (*at != kCanary) Fail("byte %td of a device buffer of %zu was written", at - data, allocation.bytes);
  }
}

}  // namespace

DeviceAccess::DeviceAccess() {
  ExplainFaults();
  SetAllOpen(true);
}
DeviceAccess::~DeviceAccess() { SetAllOpen(false); }

void* AllocateDevice(size_t bytes) {
  Memory& memory = TheMemory();
  const std::lock_guard lock(memory.mutex);
  bytes = bytes == 0 ? 1 : bytes;
  if (bytes > kDeviceBytes - memory.used) return nullptr;
  Allocation allocation = MapGuarded(bytes);
  std::byte* const pages = allocation.mapped + kPage;
  const size_t slack = (PagesFor(bytes) - bytes) / kAlignment * kAlignment;
  std::memset(pages, static_cast<int>(kCanary), slack);
  std::memset(pages + slack + bytes, static_cast<int>(kCanary), PagesFor(bytes) - slack - bytes);
  if (bytes <= kPoisonedBytes) std::memset(pages + slack, 0xff, bytes);
  Close(allocation);
  memory.used += bytes;
  memory.device[pages + slack] = allocation;
  return pages + slack;
}

void FreeDevice(void* data) {
  Memory& memory = TheMemory();
  const DeviceAccess access;
  const std::lock_guard lock(memory.mutex);
  const auto found = memory.device.find(static_cast<std::byte*>(data));
  if (found == memory.device.end()) Fail("%p is freed and is no device memory", data);
  CheckCanaries(found->first, found->second);
  memory.used -= found->second.bytes;
  memory.num_closed -= found->second.closed ? 1 : 0;
  munmap(found->second.mapped, found->second.mapped_bytes);
  memory.device.erase(found);
}

void ZeroDevice(void* data, size_t bytes) {
  const DeviceAccess access;
  Memory& memory = TheMemory();
  const std::lock_guard lock(memory.mutex);
  const auto* const found = FindAt(memory.device, static_cast<std::byte*>(data));
  if (found->first == data && found->second.bytes == bytes && bytes > kPoisonedBytes) {
    // Its first page holds canaries ahead of the data; the rest is given back and reads as zero.
    auto* const begin = static_cast<std::byte*>(data);
    auto* const page = found->second.mapped + 2 * kPage;
    std::memset(begin, 0, static_cast<size_t>(page - begin));
    const size_t rest = static_cast<size_t>(begin + bytes - page), whole = rest / kPage * kPage;
    madvise(page, whole, MADV_DONTNEED);
    std::memset(page + whole, 0, rest - whole);
  } else {
    std::memset(data, 0, bytes);
  }
}

void* AllocatePinned(size_t bytes) {
  Memory& memory = TheMemory();
  const std::lock_guard lock(memory.mutex);
  const Allocation allocation = MapGuarded(bytes == 0 ? 1 : bytes);
  memory.pinned[allocation.mapped + kPage] = allocation;
  return allocation.mapped + kPage;
}

void FreePinned(void* data) {
  Memory& memory = TheMemory();
  const std::lock_guard lock(memory.mutex);
  const auto found = memory.pinned.find(static_cast<std::byte*>(data));
  if (found == memory.pinned.end()) Fail("%p is freed and is no pinned memory", data);
  munmap(found->second.mapped, found->second.mapped_bytes);
  memory.pinned.erase(found);
}

bool IsDevice(const void* data, size_t bytes) { return Contains(TheMemory().device, data, bytes); }
bool IsPinned(const void* data, size_t bytes) { return Contains(TheMemory().pinned, data, bytes); }
bool IsDevicePointer(const void* data) { return IsDevice(data, 0); }
size_t DeviceBytes() { return kDeviceBytes; }
size_t DeviceBytesUsed() { return TheMemory().used; }

}  // namespace braid::simt
