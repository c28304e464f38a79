// A backend packs weights and runs walks; a walk calls operations, each of the size worth fusing.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/attention/attention.h"
#include "kernels/collective/communicator.h"
#include "kernels/conv1d/conv1d.h"
#include "kernels/embedding/embedding.h"
#include "kernels/linear/linear.h"
#include "kernels/moe/moe.h"
#include "kernels/norm/norm.h"
#include "kernels/packed_weight.h"
#include "kernels/precision.h"
#include "kernels/rope_kv_write/rope_kv_write.h"
#include "kernels/sample/sample.h"
#include "kernels/scale/scale.h"
#include "kernels/scratch.h"
#include "kernels/ssm/ssm.h"

namespace braid {

// The op set: one virtual per operation. Pointers and views are memory of the backend (Backend::Allocate, Parameter, its
// scratch); spans, batches and what hangs on them are memory of the host. On the CPU every thread of the team calls each operation with the same
// arguments and does its share of it; when an operation returns, all shares of it are done.
class Ops {
 public:
  virtual ~Ops() = default;

  virtual void Embedding(const EmbeddingArgs& args) = 0;
  virtual void RmsNorm(const RmsNormArgs& args) = 0;
  virtual void LayerNorm(const LayerNormArgs& args) = 0;
  virtual void GatedRmsNorm(const GatedRmsNormArgs& args) = 0;
  virtual void Scale(const ScaleArgs& args) = 0;
  virtual void Linear(const LinearArgs& args) = 0;
  virtual void RopeKvWrite(const RopeKvWriteArgs& args) = 0;
  virtual void Attention(const AttentionArgs& args) = 0;
  virtual void Conv1d(const Conv1dArgs& args) = 0;
  virtual void Ssm(const SsmArgs& args) = 0;
  virtual void Route(const RouteArgs& args) = 0;
  virtual void Experts(const ExpertsArgs& args) = 0;
  // y[i] = x[rows[i]]
  virtual void GatherRows(TensorView x, std::span<const int32_t> rows, TensorView y) = 0;
  virtual void Sample(const SampleArgs& args) = 0;
  virtual void TokenLogprobs(const TokenLogprobsArgs& args) = 0;
  // Among the ranks of a group; walks of a model that is whole have no use for them.
  virtual RankPlace place() const { return {}; }
  virtual void AllReduce(const AllReduceArgs&) { CHECK(false) << "a backend of one rank"; }
  virtual void AllGather(const AllGatherArgs&) { CHECK(false) << "a backend of one rank"; }

  Scratch& scratch() { return scratch_; }

 protected:
  explicit Ops(Scratch scratch) : scratch_(scratch) {}
  Scratch scratch_;
};

// A walk over a batch that the backend may have padded.
using BatchWalk = std::function<void(Ops&, const RaggedBatch&)>;

class Backend {
 public:
  virtual ~Backend() = default;

  // "ref", "cpu-avx512_vnni": what token bits may depend on.
  virtual std::string Name() const = 0;

  // Lays `source` out as this backend's kernels like it. InvalidArgument for a format it has no kernel for, or for
  // scales that are not finite.
  virtual absl::StatusOr<std::unique_ptr<PackedWeight>> Pack(const WeightSource& source) = 0;

  // Runs `walk` with all threads of the backend; step memory comes from `scratch_base`.
  virtual void Run(const std::function<void(Ops&)>& walk) = 0;

  // Runs `walk` over `batch`. The walk must be the same function of the batch's shape each time: a backend may repeat
  // what it recorded of an earlier one instead, and may pad the batch up to `max_rows` rows to find one.
  virtual void RunBatch(const RaggedBatch& batch, [[maybe_unused]] int64_t max_rows, const BatchWalk& walk) {
    Run([&](Ops& ops) { walk(ops, batch); });
  }

  // Returns the step memory that `walk` needs, by walking it with operations that take their memory and do nothing.
  virtual size_t MeasureScratch(const std::function<void(Ops&)>& walk) = 0;

  // Sets the step memory for later runs. ResourceExhausted when there is not enough.
  virtual absl::Status ReserveScratch(size_t bytes) = 0;

  // Zeroed memory for operations. ResourceExhausted says what to lower.
  virtual absl::StatusOr<Bytes> Allocate(size_t bytes) { return Bytes(bytes); }
  virtual void Upload(const void* host, void* memory, size_t bytes) { std::memcpy(memory, host, bytes); }
  virtual void Download(const void* memory, void* host, size_t bytes) { std::memcpy(host, memory, bytes); }
  // Copies within the backend's memory, in order with what runs.
  virtual void Copy(const void* from, void* to, size_t bytes) { std::memcpy(to, from, bytes); }
  // What hears, on the thread that met it, that the device failed for good; when it returns the process ends.
  virtual void OnFailure([[maybe_unused]] std::function<void(const absl::Status&)> hear) {}
  // The group whose rank this backend is; by default it is alone.
  virtual Communicator& communicator();
  // Bytes that could be allocated now; nothing when they are the host's.
  virtual std::optional<int64_t> FreeBytes() const { return std::nullopt; }
};

// Plain loops in f32 on one thread: the definition.
std::unique_ptr<Backend> MakeRefBackend();

// A team of `threads` on the instruction set `isa` ("auto", "avx2", "avx512", "avx512_vnni").
// InvalidArgument when the machine lacks it; the message lists those it has. With `communicator` it is a rank of a group;
// a process that loses its group ends (OnFailure, then kRankLostExit).
absl::StatusOr<std::unique_ptr<Backend>> MakeCpuBackend(const std::string& isa, int threads, bool own_cores,
                                                        std::unique_ptr<Communicator> communicator = nullptr);

// The first CUDA device. NotFound without one; Unimplemented in a build without CUDA.
absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(Precision precision = Precision::kFull);

// The instruction sets of this machine that we have kernels for, best last; empty on a machine without AVX2 and FMA.
std::vector<std::string> CpuIsas();

}  // namespace braid
