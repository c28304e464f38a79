#include "tests/simt/block.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>

#include "tests/simt/fibers.h"
#include "tests/simt/shared_memory.h"

namespace braid::simt {

constinit thread_local Lane* here = nullptr;
constinit thread_local BlockState* block = nullptr;

namespace {

// Lanes of one warp that meet under one mask.
struct Meeting {
  uint32_t arrived = 0;
  Finish finish = nullptr;
  const char* name = "";
  Exchange exchange;
};

struct Warp {
  uint32_t syncs = 0;
  std::vector<std::unique_ptr<Meeting>> meetings;  // one a mask
};

struct PendingCopy {
  SharedRange range;
  void* shared;
  const void* global;
  size_t bytes, valid;
  int group;
};

struct Copies {
  std::deque<PendingCopy> pending;
  int groups = 0;  // committed
};

// What runs the blocks of a launch, one after the other. Thread: its own.
class Runner {
 public:
  static Runner& Get() {
    static constinit thread_local Runner* mine = nullptr;  // found faster than an object with a constructor
    if (mine == nullptr) mine = &Make();
    return *mine;
  }
  void RunBlock(const LaunchShape& shape, uint3 index, const std::function<void()>& body);
  int SyncThreads(bool vote);
  const std::byte* Meet(const char* name, uint32_t mask, Finish finish, const void* in, size_t bytes);

  SharedMemory shared;
  std::vector<Copies> copies;
  std::vector<Warp> warps;

 private:
  Runner() : fibers_([] { (*HereBlock().body)(); Get().FinishLane(); }) {}
  static Runner& Make() {
    static thread_local Runner runner;
    return runner;
  }
  void Begin(const LaunchShape& shape, uint3 index, const std::function<void()>& body);
  void FinishLane();
  void Wait(const char* what, uint32_t mask);
  void Wake(Lane& lane);
  void ReleaseBarrier();
  Meeting& MeetingOf(const char* name, uint32_t mask, Finish finish);
  [[noreturn]] void FailStuck();

  FiberPool fibers_;
  BlockState state_;
  std::vector<Lane> lanes_;
  std::deque<int> ready_;
  int live_ = 0, at_barrier_ = 0, votes_ = 0, vote_result_ = 0;
};

void Runner::Begin(const LaunchShape& shape, uint3 index, const std::function<void()>& body) {
  const int count = static_cast<int>(shape.block.count());
  state_ = {shape, index, &body};
  lanes_.assign(count, {});
  copies.resize(count);
  warps.resize((count + kWarpSize - 1) / kWarpSize);
  for (Warp& warp : warps) {
    warp.syncs = 0;
    for (auto& meeting : warp.meetings) meeting->arrived = 0;
  }
  for (int i = 0; i < count; ++i) {
    const unsigned x = static_cast<unsigned>(i);
    lanes_[i].index = i;
    lanes_[i].thread_index = {x % shape.block.x, x / shape.block.x % shape.block.y, x / shape.block.x / shape.block.y};
    copies[i] = {};
    ready_.push_back(i);
  }
  live_ = count;
  at_barrier_ = votes_ = 0;
  shared.Begin(shape.dynamic_shared_bytes);
}

void Runner::RunBlock(const LaunchShape& shape, uint3 index, const std::function<void()>& body) {
  block = &state_;
  Begin(shape, index, body);
  while (live_ > 0) {
    if (ready_.empty()) FailStuck();
    Lane& lane = lanes_[ready_.front()];
    ready_.pop_front();
    if (lane.fiber == nullptr) lane.fiber = fibers_.Take();
    here = &lane;
    fibers_.Resume(lane.fiber);
    here = nullptr;
    if (lane.finished) fibers_.Give(lane.fiber);
  }
  block = nullptr;
}

void Runner::FinishLane() {
  if (!copies[Here().index].pending.empty()) Fail("the thread ends before its asynchronous copies are done");
  Here().finished = true;
  --live_;
  if (live_ > 0 && at_barrier_ == live_) ReleaseBarrier();
}

void Runner::Wait(const char* what, uint32_t mask) {
  Lane& lane = Here();
  lane.waits_at = what;
  lane.waits_mask = mask;
  fibers_.Pause();
}

void Runner::Wake(Lane& lane) {
  lane.waits_at = nullptr;
  ready_.push_back(lane.index);
}

constexpr const char* kBarrier = "__syncthreads";

void Runner::ReleaseBarrier() {
  vote_result_ = votes_;
  at_barrier_ = votes_ = 0;
  shared.Barrier();
  for (Lane& lane : lanes_) {
    if (!lane.finished && lane.waits_at == kBarrier) Wake(lane);
  }
}

int Runner::SyncThreads(bool vote) {
  votes_ += vote ? 1 : 0;
  ++at_barrier_;
  Here().waits_at = kBarrier;
  if (at_barrier_ == live_) ReleaseBarrier();
  fibers_.Pause();
  return vote_result_;
}

Meeting& Runner::MeetingOf(const char* name, uint32_t mask, Finish finish) {
  Warp& warp = warps[Here().warp()];
  Meeting* found = nullptr;
  for (const auto& meeting : warp.meetings) {
    if (meeting->exchange.mask == mask) found = meeting.get();
  }
  if (found == nullptr) {
    warp.meetings.push_back(std::make_unique<Meeting>());
    found = warp.meetings.back().get();
    found->exchange.mask = mask;
  }
  if (found->arrived == 0) {
    found->finish = finish;
    found->name = name;
  } else if (found->finish != finish || (found->name != name && std::strcmp(found->name, name) != 0)) {
    Fail("lanes of mask %08x meet in %s and in %s", mask, found->name, name);
  }
  return *found;
}

const std::byte* Runner::Meet(const char* name, uint32_t mask, Finish finish, const void* in, size_t bytes) {
  Lane& lane = Here();
  const uint32_t bit = 1u << lane.lane();
  if ((mask & bit) == 0) Fail("%s under mask %08x, which leaves out its own lane %d", name, mask, lane.lane());
  Meeting& meeting = MeetingOf(name, mask, finish);
  if (bytes > 0) std::memcpy(meeting.exchange.in[lane.lane()], in, bytes);
  meeting.arrived |= bit;
  if (meeting.arrived != mask) {
    Wait(name, mask);
  } else {
    if (finish != nullptr) finish(meeting.exchange);
    meeting.arrived = 0;
    const int first = lane.warp() * kWarpSize;
    for (int i = 0; i < kWarpSize; ++i) {
      if (i != lane.lane() && (mask >> i & 1) != 0) Wake(lanes_[first + i]);
    }
  }
  return meeting.exchange.out[lane.lane()];
}

// Nobody can go on: names the first thread that waits, and one that does not come.
void Runner::FailStuck() {
  const auto waits = std::find_if(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return !lane.finished; });
  const auto other = std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& lane) {
    return lane.finished || std::strcmp(lane.waits_at, waits->waits_at) != 0 || lane.waits_mask != waits->waits_mask;
  });
  here = &*waits;
  const char* const others = other == lanes_.end() ? "nobody" : other->finished ? "has ended" : other->waits_at;
  Fail("stuck: waits in %s (mask %08x) for threads that do not come; thread %d: %s", waits->waits_at, waits->waits_mask,
       other == lanes_.end() ? -1 : other->index, others);
}

void CheckShape(const LaunchShape& shape) {
  const uint64_t threads = shape.block.count();
  if (threads == 0 || threads > kMaxThreads || shape.block.z > 64) Fail("a block of %zu threads", size_t(threads));
  if (shape.grid.count() == 0 || shape.grid.y > 65535 || shape.grid.z > 65535 || shape.grid.x > 0x7fffffffu) {
    Fail("a grid of %u x %u x %u blocks", shape.grid.x, shape.grid.y, shape.grid.z);
  }
}

}  // namespace

void Fail(const char* format, ...) {
  std::fflush(stdout);
  std::fprintf(stderr, "simt: ");
  if (block != nullptr) {
    const LaunchShape& shape = block->shape;
    std::fprintf(stderr, "kernel launched at %s:%d, block (%u, %u, %u), ", shape.file, shape.line, block->block_index.x,
                 block->block_index.y, block->block_index.z);
  }
  if (here != nullptr) {
    std::fprintf(stderr, "thread (%u, %u, %u): ", here->thread_index.x, here->thread_index.y, here->thread_index.z);
  }
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fprintf(stderr, "\n");
  std::abort();
}

void RunGrid(const LaunchShape& shape, const std::function<void()>& body) {
  CheckShape(shape);
  for (unsigned z = 0; z < shape.grid.z; ++z) {
    for (unsigned y = 0; y < shape.grid.y; ++y) {
      for (unsigned x = 0; x < shape.grid.x; ++x) Runner::Get().RunBlock(shape, {x, y, z}, body);
    }
  }
}

int SyncThreads(bool vote) { return Runner::Get().SyncThreads(vote); }

const std::byte* Meet(const char* name, uint32_t mask, Finish finish, const void* in, size_t bytes) {
  return Runner::Get().Meet(name, mask, finish, in, bytes);
}

void SyncWarp(uint32_t mask) {
  Runner& runner = Runner::Get();
  runner.Meet("__syncwarp", mask, [](Exchange&) { ++Runner::Get().warps[Here().warp()].syncs; }, nullptr, 0);
  Here().synced_at = runner.warps[Here().warp()].syncs;
}

SharedRange DynamicShared() { return Runner::Get().shared.dynamic(); }
SharedRange StaticShared(const void* key, size_t bytes) { return Runner::Get().shared.Static(key, bytes); }

void Touch(const SharedRange& range, const void* at, size_t bytes, Access access) {
  Runner& runner = Runner::Get();
  runner.shared.Touch(range, at, bytes, access, Here(), runner.warps[Here().warp()].syncs);
}

// The bytes arrive when they are waited for, and not before.
void CopyAsync(const SharedRange& range, void* shared, const void* global, size_t bytes, size_t valid) {
  Copies& mine = Runner::Get().copies[Here().index];
  mine.pending.push_back({range, shared, global, bytes, valid, mine.groups});
}

void CommitCopies() { ++Runner::Get().copies[Here().index].groups; }

void WaitCopies(int groups_left) {
  Copies& mine = Runner::Get().copies[Here().index];
  while (!mine.pending.empty() && mine.pending.front().group < mine.groups - groups_left) {
    const PendingCopy& copy = mine.pending.front();
    Touch(copy.range, copy.shared, copy.bytes, Access::kWrite);
    std::memset(copy.shared, 0, copy.bytes);
    std::memcpy(copy.shared, copy.global, copy.valid);
    mine.pending.pop_front();
  }
}

}  // namespace braid::simt
