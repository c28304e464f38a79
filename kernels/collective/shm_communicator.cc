#include "kernels/collective/shm_communicator.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <ctime>

namespace braid {
namespace {

constexpr uint64_t kMagic = 0x62726169642d7470;  // "braid-tp"
constexpr int kSpins = 4000;                     // about 10 us, as a team's barrier
constexpr long kLookNs = 100'000'000;            // between two looks at the others' processes
constexpr size_t kPage = 4096;

// Between processes: std::atomic::wait parks on a futex of its own process.
void FutexWait(std::atomic<uint32_t>& word, uint32_t old) {
  const timespec limit{0, kLookNs};
  syscall(SYS_futex, &word, FUTEX_WAIT, old, &limit, nullptr, 0);
}
void FutexWakeAll(std::atomic<uint32_t>& word) { syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

// Whether the process behind `*fd` has ended, which is opened for `pid` at the first look. A process that waits to be
// reaped has ended too, which a pidfd tells and kill(pid, 0) does not.
bool HasEnded(int pid, int* fd) {
  if (*fd < 0) *fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (*fd < 0) return errno == ESRCH || (kill(pid, 0) != 0 && errno == ESRCH);
  pollfd ended{*fd, POLLIN, 0};
  return poll(&ended, 1, 0) == 1;
}

absl::Status SystemError(const char* what) {
  return absl::InternalError(absl::StrCat("the ranks' shared memory: ", what, ": ", std::strerror(errno)));
}

}  // namespace

struct ShmCommunicator::Segment {
  uint64_t magic;
  int32_t ranks;
  uint64_t slot_bytes;
  std::atomic<int32_t> pids[kMaxRanks];          // 0: not joined yet
  alignas(64) std::atomic<uint32_t> arrived;     // at the meeting under way
  alignas(64) std::atomic<uint32_t> generation;  // meetings that have been
  std::atomic<int32_t> parked;                   // ranks that sleep on `generation`
  std::atomic<int32_t> lost;                     // 1 + the rank; 0: none

  static size_t BytesFor(int ranks, size_t slot_bytes) { return kPage + 2 * static_cast<size_t>(ranks) * slot_bytes; }
};

absl::StatusOr<int> MakeRankSegment(int ranks, size_t slot_bytes) {
  CHECK(ranks >= 1 && ranks <= kMaxRanks && slot_bytes >= 64 && slot_bytes % 64 == 0) << ranks << " " << slot_bytes;
  const int fd = memfd_create("braid-ranks", MFD_CLOEXEC);
  if (fd < 0) return SystemError("memfd_create");
  struct {
    uint64_t magic;
    int32_t ranks;
    uint64_t slot_bytes;
  } const head = {kMagic, ranks, slot_bytes};
  const size_t bytes = static_cast<size_t>(kPage) + 2 * static_cast<size_t>(ranks) * slot_bytes;
  if (ftruncate(fd, static_cast<off_t>(bytes)) == 0 && pwrite(fd, &head, sizeof(head), 0) == sizeof(head)) return fd;
  const absl::Status failed = SystemError("its memory");
  close(fd);
  return failed;
}

absl::StatusOr<std::unique_ptr<ShmCommunicator>> ShmCommunicator::Join(int fd, int rank) {
  static_assert(sizeof(Segment) <= kPage && std::atomic<uint32_t>::is_always_lock_free);
  struct stat file;
  if (fstat(fd, &file) != 0) return SystemError("fstat");
  const size_t bytes = static_cast<size_t>(file.st_size);
  const absl::Status no_segment = absl::InvalidArgumentError(absl::StrCat("descriptor ", fd, " is no segment of ranks"));
  if (bytes < kPage) return no_segment;
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return SystemError("mmap");
  auto* const segment = static_cast<Segment*>(memory);
  const bool sound = segment->magic == kMagic && segment->ranks >= 1 && segment->ranks <= kMaxRanks &&
                     segment->slot_bytes <= bytes && Segment::BytesFor(segment->ranks, segment->slot_bytes) == bytes;
  if (!sound || rank < 0 || rank >= segment->ranks) {
    const int ranks = sound ? segment->ranks : 0;
    munmap(memory, bytes);
    return sound ? absl::InvalidArgumentError(absl::StrCat("rank ", rank, " is none of ", ranks)) : no_segment;
  }
  return std::unique_ptr<ShmCommunicator>(new ShmCommunicator(segment, bytes, {rank, segment->ranks}));
}

ShmCommunicator::ShmCommunicator(Segment* segment, size_t bytes, RankPlace place)
    : segment_(segment),
      bytes_(bytes),
      slot_bytes_(segment->slot_bytes),
      place_(place),
      spins_(UsableCpus() > 1 ? kSpins : 0),
      peer_fds_(static_cast<size_t>(place.size), -1) {
  segment_->pids[place_.rank] = getpid();
}

ShmCommunicator::~ShmCommunicator() {
  for (const int fd : peer_fds_) {
    if (fd >= 0) close(fd);
  }
  munmap(segment_, bytes_);
}

std::byte* ShmCommunicator::Slot(int turn, int rank) const {
  return reinterpret_cast<std::byte*>(segment_) + kPage +
         static_cast<size_t>(turn * place_.size + rank) * slot_bytes_;
}

// No member leaves early, whatever happens: the others wait for it at the team's barriers.
template <class Put, class Take>
void ShmCommunicator::Exchange(const Share& share, const Put& put, const Take& take) {
  const int turn = turn_;
  put(Slot(turn, place_.rank));
  share.Sync();
  if (share.index == 0) {
    turn_ = 1 - turn;
    Meet();
  }
  share.Sync();
  take(turn);
}

void ShmCommunicator::AllReduce(const AllReduceArgs& args, const Share& share) {
  CHECK(args.x.stride == args.x.cols && args.y.stride == args.y.cols) << args.x.stride << " " << args.y.stride;
  CHECK(args.x.rows == args.y.rows && args.x.cols == args.y.cols) << args.x.rows << " " << args.y.rows;
  const int64_t total = args.x.rows * args.x.cols;
  for (int64_t first = 0; first < total; first += slot_floats()) {
    const Share::Range mine = share.Of(std::min(slot_floats(), total - first), 16);
    const int64_t count = mine.end - mine.begin;
    Exchange(
        share,
        [&](std::byte* slot) {
          if (count > 0) std::memcpy(slot + 4 * mine.begin, args.x.f32() + first + mine.begin, 4 * static_cast<size_t>(count));
        },
        [&](int turn) { SumPart(turn, mine.begin, count, args.y.f32() + first + mine.begin, args.add); });
  }
  share.Sync();
}

void ShmCommunicator::SumPart(int turn, int64_t begin, int64_t count, float* y, bool add) const {
  constexpr int64_t kTile = 1024;
  float sum[kTile];
  for (int64_t first = 0; first < count; first += kTile) {
    const int64_t tile = std::min(kTile, count - first);
    for (int rank = 0; rank < place_.size; ++rank) {
      const float* const part = reinterpret_cast<const float*>(Slot(turn, rank)) + begin + first;
      for (int64_t i = 0; i < tile; ++i) sum[i] = rank == 0 ? part[i] : sum[i] + part[i];
    }
    for (int64_t i = 0; i < tile; ++i) y[first + i] = add ? y[first + i] + sum[i] : sum[i];
  }
}

// Each rank's columns in pieces of at most a slotful; members share a piece's columns.
void ShmCommunicator::AllGather(const AllGatherArgs& args, const Share& share) {
  CHECK_EQ(static_cast<int>(args.borders.size()), place_.size + 1);
  int64_t widest = 1;
  for (int r = 0; r < place_.size; ++r) widest = std::max(widest, args.borders[r + 1] - args.borders[r]);
  const int64_t piece = std::min(widest, slot_floats()), rows_at_once = slot_floats() / piece;
  const bool takes = place_.rank == 0 || !args.to_first_only;
  for (int64_t col = 0; col < widest; col += piece) {
    const Share::Range mine = share.Of(std::min(piece, widest - col), 16);
    for (int64_t row = 0; row < args.y.rows; row += rows_at_once) {
      const int64_t rows = std::min(rows_at_once, args.y.rows - row);
      // copy(where in the slot, where in y, how many) of this member's part of what `rank` has of these rows.
      const auto each_row = [&](int rank, const auto& copy) {
        const int64_t begin = args.borders[rank] + col + mine.begin;
        const int64_t count = std::min(args.borders[rank + 1], args.borders[rank] + col + mine.end) - begin;
        if (count <= 0) return;
        for (int64_t t = 0; t < rows; ++t) {
          copy(4 * static_cast<size_t>(t * piece + mine.begin), args.y.row(row + t) + begin, 4 * static_cast<size_t>(count));
        }
      };
      Exchange(
          share,
          [&](std::byte* slot) {
            each_row(place_.rank, [&](size_t at, const float* from, size_t bytes) { std::memcpy(slot + at, from, bytes); });
          },
          [&](int turn) {
            for (int rank = 0; takes && rank < place_.size; ++rank) {
              if (rank == place_.rank) continue;
              each_row(rank, [&](size_t at, float* to, size_t bytes) { std::memcpy(to, Slot(turn, rank) + at, bytes); });
            }
          });
    }
  }
  share.Sync();
}

void ShmCommunicator::Broadcast(std::span<std::byte> bytes) {
  for (size_t first = 0; first < bytes.size(); first += slot_bytes_) {
    const std::span<std::byte> part = bytes.subspan(first, std::min(slot_bytes_, bytes.size() - first));
    Exchange(
        Share{},
        [&](std::byte* slot) {
          if (place_.rank == 0) std::memcpy(slot, part.data(), part.size());
        },
        [&](int turn) {
          if (place_.rank != 0) std::memcpy(part.data(), Slot(turn, 0), part.size());
        });
  }
}

void ShmCommunicator::Meet() {
  Segment& s = *segment_;
  if (s.lost.load(std::memory_order_acquire) != 0) return;
  const uint32_t generation = s.generation.load(std::memory_order_acquire);
  if (s.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(place_.size)) {
    s.arrived.store(0, std::memory_order_relaxed);
    s.generation.fetch_add(1, std::memory_order_seq_cst);
    if (s.parked.load(std::memory_order_seq_cst) > 0) FutexWakeAll(s.generation);
    return;
  }
  for (int i = 0; i < spins_; ++i) {
    if (s.generation.load(std::memory_order_acquire) != generation) return;
    __builtin_ia32_pause();
  }
  Park(generation);
}

void ShmCommunicator::Park(uint32_t generation) {
  Segment& s = *segment_;
  while (s.generation.load(std::memory_order_acquire) == generation && s.lost.load(std::memory_order_acquire) == 0) {
    s.parked.fetch_add(1, std::memory_order_seq_cst);
    FutexWait(s.generation, generation);
    s.parked.fetch_sub(1, std::memory_order_seq_cst);
    if (s.generation.load(std::memory_order_acquire) == generation) LookForLost();
  }
}

void ShmCommunicator::LookForLost() {
  const int self = getpid();
  for (int rank = 0; rank < place_.size; ++rank) {
    const int pid = segment_->pids[rank];
    if (pid == 0 || pid == self) continue;
    if (HasEnded(pid, &peer_fds_[static_cast<size_t>(rank)])) MarkLost(rank);
  }
}

void ShmCommunicator::MarkLost(int rank) {
  int32_t none = 0;
  segment_->lost.compare_exchange_strong(none, rank + 1);
  FutexWakeAll(segment_->generation);
}

absl::Status ShmCommunicator::status() const {
  const int32_t lost = segment_->lost.load(std::memory_order_acquire);
  if (lost == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("rank ", lost - 1, " of ", place_.size, " (process ",
                                             segment_->pids[lost - 1].load(), ") has ended"));
}

}  // namespace braid
