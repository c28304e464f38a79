// The operations on a team of threads and one instruction set.
#pragma once

#include "kernels/backend.h"
#include "kernels/base/team.h"
#include "kernels/collective/solo_communicator.h"
#include "kernels/cpu_ops.h"

namespace braid {

// An instruction set that we have kernels for.
struct CpuIsa {
  const char* name;
  const cpu::CpuOpTable* ops;
  bool (*supported)();
};

// All of them, rising; a machine that supports one supports those before it.
std::span<const CpuIsa> AllCpuIsas();

// Thread: one caller at a time; Run borrows it as the team's first member.
class CpuBackend final : public Backend {
 public:
  CpuBackend(const CpuIsa& isa, int threads, bool own_cores,
             std::unique_ptr<Communicator> communicator = std::make_unique<SoloCommunicator>())
      : isa_(isa), team_(threads, own_cores), communicator_(std::move(communicator)) {}

  std::string Name() const override;
  absl::StatusOr<std::unique_ptr<PackedWeight>> Pack(const WeightSource& source) override;
  void Run(const std::function<void(Ops&)>& walk) override;
  size_t MeasureScratch(const std::function<void(Ops&)>& walk) override;
  absl::Status ReserveScratch(size_t bytes) override;
  void OnFailure(std::function<void(const absl::Status&)> hear) override { hear_ = std::move(hear); }
  Communicator& communicator() override { return *communicator_; }

 private:
  void EndIfRankIsLost();

  const CpuIsa& isa_;
  Team team_;
  const std::unique_ptr<Communicator> communicator_;
  std::function<void(const absl::Status&)> hear_;
  Bytes scratch_ = Bytes(64);  // never null: null means measuring
};

}  // namespace braid
