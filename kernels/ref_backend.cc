#include "kernels/backend.h"
#include "kernels/checks.h"
#include "kernels/linear/ref_packed_weight.h"
#include "kernels/ref_ops.h"

namespace braid {
namespace {

class RefOps final : public Ops {
 public:
  explicit RefOps(Scratch scratch) : Ops(scratch) {}

#define BRAID_FORWARD_OP(Op)                    \
  void Op(const Op##Args& args) override {      \
    Check(args);                                \
    if (!scratch_.measuring()) ref::Op(args);   \
  }
  BRAID_FOR_EACH_ISA_OP(BRAID_FORWARD_OP)
  BRAID_FOR_EACH_PLAIN_OP(BRAID_FORWARD_OP)
#undef BRAID_FORWARD_OP

  void GatherRows(TensorView x, std::span<const int32_t> rows, TensorView y) override {
    CheckGatherRows(x, rows, y);
    if (!scratch_.measuring()) ref::GatherRows(x, rows, y);
  }
};

class RefBackend final : public Backend {
 public:
  std::string Name() const override { return "ref"; }

  absl::StatusOr<std::unique_ptr<PackedWeight>> Pack(const WeightSource& source) override {
    return RefPackedWeight::Pack(source);
  }

  void Run(const std::function<void(Ops&)>& walk) override {
    RefOps ops(Scratch(scratch_.data(), scratch_.size()));
    walk(ops);
  }

  size_t MeasureScratch(const std::function<void(Ops&)>& walk) override {
    RefOps ops{Scratch()};
    walk(ops);
    return ops.scratch().peak();
  }

  absl::Status ReserveScratch(size_t bytes) override {
    scratch_ = Bytes(std::max<size_t>(bytes, 64));
    return absl::OkStatus();
  }

 private:
  Bytes scratch_ = Bytes(64);  // never null: null means measuring
};

}  // namespace

std::unique_ptr<Backend> MakeRefBackend() { return std::make_unique<RefBackend>(); }

}  // namespace braid
