#include "kernels/cuda_transfer.h"

#include <algorithm>

namespace braid::cuda {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;
constexpr size_t kAlignment = 256;

size_t Align(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

Bytes OrDie(absl::StatusOr<Bytes> bytes) {
  CHECK(bytes.ok()) << bytes.status();
  return *std::move(bytes);
}

// The first chunk with room for `bytes`, or a new one.
template <class Chunk, class Make>
Chunk& ChunkFor(std::vector<Chunk>& chunks, size_t bytes, const Make& make) {
  for (Chunk& chunk : chunks) {
    if (chunk.used + Align(bytes) <= chunk.device.size()) return chunk;
  }
  return chunks.emplace_back(make(std::max(kChunkBytes, Align(bytes))));
}

}  // namespace

void Inbound::Begin() {
  side_ = 1 - side_;
  sent_[side_].Wait();
  for (Chunk& chunk : chunks_) chunk.used = 0;
  known_.clear();
}

Inbound::Room Inbound::Take(size_t bytes) {
  Chunk& chunk = ChunkFor(chunks_, bytes, [](size_t size) {
    return Chunk{.device = OrDie(device::Allocate(size)),
                 .pinned = {OrDie(device::AllocatePinned(size)), OrDie(device::AllocatePinned(size))}};
  });
  const Room room{chunk.pinned[side_].data() + chunk.used, chunk.device.data() + chunk.used};
  chunk.used += Align(bytes);
  return room;
}

const std::byte* Inbound::Find(std::span<const std::byte> host) const {
  const auto found = std::find_if(known_.begin(), known_.end(), [&](const Known& known) {
    return known.host.data() == host.data() && known.host.size() == host.size();
  });
  return found == known_.end() ? nullptr : found->device;
}

std::byte* Outbound::Take(size_t bytes, Done done) {
  Chunk& chunk = ChunkFor(chunks_, bytes, [](size_t size) {
    return Chunk{.device = OrDie(device::Allocate(size)), .pinned = OrDie(device::AllocatePinned(size))};
  });
  std::byte* const data = chunk.device.data() + chunk.used;
  wanted_.push_back({chunk.pinned.data() + chunk.used, std::move(done)});
  chunk.used += Align(bytes);
  return data;
}

void Outbound::Finish(device::Stream& stream) {
  if (wanted_.empty()) return;
  for (Chunk& chunk : chunks_) {
    if (chunk.used > 0) stream.CopyOut(chunk.device.data(), chunk.pinned.data(), chunk.used);
    chunk.used = 0;
  }
  stream.Wait();
  for (const Wanted& wanted : wanted_) wanted.done(wanted.pinned);
  wanted_.clear();
}

}  // namespace braid::cuda
