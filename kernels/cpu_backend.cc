#include "kernels/cpu_backend.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "kernels/base/log.h"
#include "kernels/checks.h"
#include "kernels/linear/cpu_packed_weight.h"

namespace braid {
namespace {

bool HasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}
bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
bool HasAvx512Vnni() { return HasAvx512() && __builtin_cpu_supports("avx512vnni"); }

constexpr CpuIsa kIsas[] = {
    {"avx2", &cpu::avx2::kOps, HasAvx2},
    {"avx512", &cpu::avx512::kOps, HasAvx512},
    {"avx512_vnni", &cpu::avx512_vnni::kOps, HasAvx512Vnni},
};

constexpr int kMaxThreads = 1024;

// One member's operations.
class CpuOps final : public Ops {
 public:
  CpuOps(const cpu::CpuOpTable& table, const Share& share, Scratch scratch, Communicator& communicator)
      : Ops(scratch), table_(table), share_(share), communicator_(communicator) {}

#define BRAID_FORWARD_ISA_OP(Op)           \
  void Op(const Op##Args& args) override { \
    Check(args);                           \
    table_.Op(args, share_, scratch_);     \
  }
  BRAID_FOR_EACH_ISA_OP(BRAID_FORWARD_ISA_OP)
#undef BRAID_FORWARD_ISA_OP

#define BRAID_FORWARD_PLAIN_OP(Op)         \
  void Op(const Op##Args& args) override { \
    Check(args);                           \
    cpu::Op(args, share_, scratch_);       \
  }
  BRAID_FOR_EACH_PLAIN_OP(BRAID_FORWARD_PLAIN_OP)
#undef BRAID_FORWARD_PLAIN_OP

  void GatherRows(TensorView x, std::span<const int32_t> rows, TensorView y) override {
    CheckGatherRows(x, rows, y);
    if (!scratch_.measuring()) cpu::GatherRows(x, rows, y, share_);
  }
  RankPlace place() const override { return communicator_.place(); }
  void AllReduce(const AllReduceArgs& args) override {
    if (!scratch_.measuring()) communicator_.AllReduce(args, share_);
  }
  void AllGather(const AllGatherArgs& args) override {
    if (!scratch_.measuring()) communicator_.AllGather(args, share_);
  }

 private:
  const cpu::CpuOpTable& table_;
  const Share share_;
  Communicator& communicator_;
};

const CpuIsa* FindIsa(const std::string& name) {
  const CpuIsa* found = nullptr;
  for (const CpuIsa& isa : kIsas) {
    if (isa.supported() && (name == "auto" || name == isa.name)) found = &isa;
  }
  return found;
}

}  // namespace

std::span<const CpuIsa> AllCpuIsas() { return kIsas; }

std::string CpuBackend::Name() const { return absl::StrCat("cpu-", isa_.name); }

absl::StatusOr<std::unique_ptr<PackedWeight>> CpuBackend::Pack(const WeightSource& source) {
  return CpuPackedWeight::Pack(source);
}

void CpuBackend::Run(const std::function<void(Ops&)>& walk) {
  team_.Run([&](const Share& share) {
    CpuOps ops(*isa_.ops, share, Scratch(scratch_.data(), scratch_.size()), *communicator_);
    walk(ops);
  });
  EndIfRankIsLost();
}

// Before anybody sees what the walk has left behind.
void CpuBackend::EndIfRankIsLost() {
  if (communicator_->place().alone()) return;
  const absl::Status status = communicator_->status();
  if (status.ok()) return;
  Log(LogLevel::kError, "the ranks cannot go on", {{"error", std::string(status.message())}});
  if (const auto hear = std::exchange(hear_, nullptr)) hear(status);
  _exit(kRankLostExit);
}

size_t CpuBackend::MeasureScratch(const std::function<void(Ops&)>& walk) {
  CpuOps ops(*isa_.ops, Share{0, team_.size(), nullptr}, Scratch(), *communicator_);
  walk(ops);
  return ops.scratch().peak();
}

absl::Status CpuBackend::ReserveScratch(size_t bytes) {
  scratch_ = Bytes(std::max<size_t>(bytes, 64));
  return absl::OkStatus();
}

std::vector<std::string> CpuIsas() {
  std::vector<std::string> names;
  for (const CpuIsa& isa : kIsas) {
    if (isa.supported()) names.push_back(isa.name);
  }
  return names;
}

absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(const std::string& isa, int threads, bool own_cores,
                                                        std::unique_ptr<Communicator> communicator) {
  if (threads < 1 || threads > kMaxThreads) {
    return absl::InvalidArgumentError(absl::StrCat("threads is ", threads, "; it must be 1 to ", kMaxThreads));
  }
  const CpuIsa* const found = FindIsa(isa);
  if (found == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("isa is \"", isa, "\"; this machine has: ",
                                                   absl::StrJoin(CpuIsas(), ", "), CpuIsas().empty() ? "none" : ""));
  }
  if (communicator == nullptr) communicator = std::make_unique<SoloCommunicator>();
  return std::make_unique<CpuBackend>(*found, threads, own_cores, std::move(communicator));
}

}  // namespace braid
