// Small values between the host and the device in a run: packed into pinned memory, copied in the order of the stream.
// Memory is kept from run to run and grows only when a run wants more than any before. Thread: the one that runs.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "kernels/device.h"

namespace braid::cuda {

// From the host. While a run's copies are under way the next run fills the other side of the pinned memory.
class Inbound {
 public:
  struct Room {
    std::byte* pinned;
    std::byte* device;
  };

  // Begins a run; waits until the copies of the last run but one are done, which they are when its results were read.
  void Begin();
  void End(const device::Stream& stream) { sent_[side_].Record(stream); }
  // Room for `bytes`: to be filled, then sent.
  Room Take(size_t bytes);
  // The copy of these host bytes that this run made, or null.
  const std::byte* Find(std::span<const std::byte> host) const;
  void Remember(std::span<const std::byte> host, const std::byte* device) { known_.push_back({host, device}); }

 private:
  struct Chunk {
    Bytes device, pinned[2];
    size_t used = 0;
  };
  struct Known {
    std::span<const std::byte> host;
    const std::byte* device;
  };

  std::vector<Chunk> chunks_;
  std::vector<Known> known_;
  device::Event sent_[2];
  int side_ = 0;
};

// To the host: taken as device memory, copied out together when the run ends.
class Outbound {
 public:
  using Done = std::function<void(const std::byte*)>;
  // Device memory for `bytes` that `done` will see.
  std::byte* Take(size_t bytes, Done done);
  // Copies out and waits, if anything was taken.
  void Finish(device::Stream& stream);

 private:
  struct Chunk {
    Bytes device, pinned;
    size_t used = 0;
  };
  struct Wanted {
    const std::byte* pinned;
    Done done;
  };

  std::vector<Chunk> chunks_;
  std::vector<Wanted> wanted_;
};

}  // namespace braid::cuda
