// A group of one: nothing to tell.
#pragma once

#include "kernels/collective/communicator.h"

namespace braid {

class SoloCommunicator final : public Communicator {
 public:
  RankPlace place() const override { return {}; }
  void AllReduce(const AllReduceArgs& args, const Share& share) override {
    const Share::Range mine = share.Of(args.x.rows);
    for (int64_t t = mine.begin; t < mine.end; ++t) {
      for (int64_t i = 0; i < args.x.cols; ++i) {
        args.y.row(t)[i] = (args.add ? args.y.row(t)[i] : 0.0f) + args.x.row(t)[i];
      }
    }
    share.Sync();
  }
  void AllGather(const AllGatherArgs&, const Share& share) override { share.Sync(); }
  void Broadcast(std::span<std::byte>) override {}
  absl::Status status() const override { return absl::OkStatus(); }
};

}  // namespace braid
