#include "kernels/cuda_backend.h"

#include <algorithm>

#include "kernels/checks.h"

namespace braid {
namespace {

using cuda::DeviceBatch;

// What a measuring walk takes every context to be: launchers' memory grows with it, up to bounds of their own.
constexpr int32_t kMeasuredContext = 1 << 24;

// One run's view of the device.
class CudaStep final : public cuda::Step {
 public:
  CudaStep(device::Stream& stream, Scratch* scratch, cuda::Inbound& inbound, cuda::Outbound& outbound,
           CudaConstants& constants)
      : Step(stream.get(), scratch), stream_object_(stream), inbound_(inbound), outbound_(outbound), constants_(constants) {}

  // What Place answers for this batch from now on.
  void SetBatch(const RaggedBatch& batch, const DeviceBatch& placed) {
    host_ids_ = batch.ids.data();
    host_sequences_ = batch.sequences.data();
    batch_ = placed;
  }
  void set_recording(bool recording) { recording_ = recording; }

  const DeviceBatch& Place(const RaggedBatch& batch) override {
    if (measuring()) {
      batch_ = cuda::CountsOf(batch);
      batch_.max_context = kMeasuredContext;
      return batch_;
    }
    if (batch.ids.data() == host_ids_ && batch.sequences.data() == host_sequences_) return batch_;
    CHECK(!recording_) << "a batch is placed while a step is recorded";
    SetBatch(batch, cuda::PlaceBatch(batch, cuda::CountsOf(batch), inbound_, stream_object_));
    return batch_;
  }

 protected:
  const std::byte* PlaceBytes(std::span<const std::byte> bytes) override {
    if (const std::byte* const known = inbound_.Find(bytes)) return known;
    CHECK(!recording_) << bytes.size() << " bytes are placed while a step is recorded";
    const cuda::Inbound::Room room = inbound_.Take(bytes.size());
    if (!bytes.empty()) std::memcpy(room.pinned, bytes.data(), bytes.size());
    stream_object_.CopyIn(room.pinned, room.device, bytes.size());
    return room.device;
  }
  const std::byte* ConstantBytes(std::span<const std::byte> bytes) override {
    return constants_.Find(bytes, recording_);
  }
  std::byte* ResultBytes(int64_t bytes, std::function<void(const std::byte*)> done) override {
    CHECK(!recording_) << "a result is wanted of a step that is recorded";
    return outbound_.Take(static_cast<size_t>(bytes), std::move(done));
  }

 private:
  device::Stream& stream_object_;
  cuda::Inbound& inbound_;
  cuda::Outbound& outbound_;
  CudaConstants& constants_;
  DeviceBatch batch_;
  const int32_t* host_ids_ = nullptr;
  const SequenceSpan* host_sequences_ = nullptr;
  bool recording_ = false;
};

class CudaOps final : public Ops {
 public:
  CudaOps(Scratch scratch, device::Stream& stream, cuda::Inbound& inbound, cuda::Outbound& outbound,
          CudaConstants& constants, Precision precision)
      : Ops(scratch), step_(stream, &scratch_, inbound, outbound, constants) {
    step_.set_precision(precision);
  }

  CudaStep& step() { return step_; }

#define BRAID_FORWARD_OP(Op)               \
  void Op(const Op##Args& args) override { \
    Check(args);                           \
    cuda::kOps.Op(args, step_);            \
  }
  BRAID_FOR_EACH_ISA_OP(BRAID_FORWARD_OP)
  BRAID_FOR_EACH_PLAIN_OP(BRAID_FORWARD_OP)
#undef BRAID_FORWARD_OP

  void GatherRows(TensorView x, std::span<const int32_t> rows, TensorView y) override {
    CheckGatherRows(x, rows, y);
    cuda::kOps.GatherRows(x, rows, y, step_);
  }

 private:
  CudaStep step_;
};

}  // namespace

const std::byte* CudaConstants::Find(std::span<const std::byte> bytes, bool recording) {
  const std::string key(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto found = known_.find(key);
  if (found != known_.end()) return found->second.data();
  CHECK(!recording) << bytes.size() << " constant bytes are new to a step that is recorded";
  absl::StatusOr<Bytes> memory = device::Allocate(std::max<size_t>(bytes.size(), 1));
  CHECK(memory.ok()) << memory.status();
  device::Upload(bytes.data(), memory->data(), bytes.size());
  return known_.emplace(key, *std::move(memory)).first->second.data();
}

CudaBackend::~CudaBackend() {
  device::OnFailure(nullptr);
  stream_.Wait();
  ForgetRecordings();
}

std::string CudaBackend::Name() const {
  const std::string device = device::DeviceName();
  return absl::StrCat("cuda-", device.substr(0, device.find(' ')), precision_ == Precision::kBf16 ? "-bf16" : "");
}

absl::StatusOr<std::unique_ptr<PackedWeight>> CudaBackend::Pack(const WeightSource& source) {
  return cuda::kOps.Pack(source);
}

void CudaBackend::Run(const std::function<void(Ops&)>& walk) {
  inbound_.Begin();
  CudaOps ops(StepScratch(), stream_, inbound_, outbound_, constants_, precision_);
  walk(ops);
  inbound_.End(stream_);
  outbound_.Finish(stream_);
}

void CudaBackend::RunBatch(const RaggedBatch& batch, int64_t max_rows, const BatchWalk& walk) {
  const cuda::DecodeShape shape = cuda::DecodeShapeOf(batch);
  if (shape.tokens_each == 0) return Backend::RunBatch(batch, max_rows, walk);
  const cuda::DecodeShape ladder = cuda::LadderShape(shape, max_rows);
  const RaggedBatch& padded = padded_.Pad(batch, ladder);
  DeviceBatch counts = cuda::CountsOf(padded);
  counts.max_context = ladder.max_context;
  inbound_.Begin();
  const DeviceBatch placed = cuda::PlaceBatch(padded, counts, inbound_, stream_);
  RunDecode(padded, placed, walk);
  inbound_.End(stream_);
  outbound_.Finish(stream_);
}

// A shape that is seen the first time just runs; the second time it is recorded; then the recording is repeated. What a
// walk places for good is thus placed before it is recorded.
void CudaBackend::RunDecode(const RaggedBatch& batch, const DeviceBatch& placed, const BatchWalk& walk) {
  const Key key{placed.ids, placed.num_sequences, placed.max_span_tokens, placed.max_context};
  const auto [found, is_new] = recorded_.try_emplace(key);
  Recording& recording = found->second;
  if (recording.launches == nullptr) {
    CudaOps ops(StepScratch(), stream_, inbound_, outbound_, constants_, precision_);
    ops.step().SetBatch(batch, placed);
    if (is_new) return walk(ops, batch);
    ops.step().set_recording(true);
    stream_.BeginRecording();
    walk(ops, batch);
    recording.launches = stream_.EndRecording();
    ++counts_.recorded;
  }
  stream_.Replay(recording.launches);
  ++counts_.replayed;
}

void CudaBackend::ForgetRecordings() {
  for (auto& [key, recording] : recorded_) {
    if (recording.launches != nullptr) device::Forget(recording.launches);
  }
  recorded_.clear();
}

size_t CudaBackend::MeasureScratch(const std::function<void(Ops&)>& walk) {
  CudaOps ops(Scratch(), stream_, inbound_, outbound_, constants_, precision_);
  walk(ops);
  return ops.scratch().peak();
}

absl::Status CudaBackend::ReserveScratch(size_t bytes) {
  stream_.Wait();
  ForgetRecordings();
  scratch_ = Bytes();  // before the new memory is taken
  ASSIGN_OR_RETURN(scratch_, device::Allocate(std::max<size_t>(bytes, 64)));
  return absl::OkStatus();
}

void CudaBackend::Upload(const void* host, void* memory, size_t bytes) {
  stream_.Wait();
  device::Upload(host, memory, bytes);
}

void CudaBackend::Download(const void* memory, void* host, size_t bytes) {
  stream_.Wait();
  device::Download(memory, host, bytes);
}

absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(Precision precision) {
  RETURN_IF_ERROR(device::FindDevice());
  return std::make_unique<CudaBackend>(precision);
}

}  // namespace braid
