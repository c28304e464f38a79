// The operations on a CUDA device. Steps of decode are recorded once for each shape of a ladder and repeated.
#pragma once

#include <map>
#include <tuple>
#include <unordered_map>

#include "kernels/backend.h"
#include "kernels/cuda_batch.h"
#include "kernels/cuda_ops.h"
#include "kernels/cuda_transfer.h"
#include "kernels/device.h"

namespace braid {

// Host values that stay on the device, found again by content.
class CudaConstants {
 public:
  const std::byte* Find(std::span<const std::byte> bytes, bool recording);

 private:
  std::unordered_map<std::string, Bytes> known_;
};

// Thread: one caller at a time.
class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(Precision precision = Precision::kFull) : precision_(precision) {}
  ~CudaBackend() override;

  std::string Name() const override;
  absl::StatusOr<std::unique_ptr<PackedWeight>> Pack(const WeightSource& source) override;
  void Run(const std::function<void(Ops&)>& walk) override;
  void RunBatch(const RaggedBatch& batch, int64_t max_rows, const BatchWalk& walk) override;
  size_t MeasureScratch(const std::function<void(Ops&)>& walk) override;
  absl::Status ReserveScratch(size_t bytes) override;
  absl::StatusOr<Bytes> Allocate(size_t bytes) override { return device::Allocate(bytes); }
  void Upload(const void* host, void* memory, size_t bytes) override;
  void Download(const void* memory, void* host, size_t bytes) override;
  void Copy(const void* from, void* to, size_t bytes) override { stream_.CopyWithin(from, to, bytes); }
  void OnFailure(std::function<void(const absl::Status&)> hear) override { device::OnFailure(std::move(hear)); }
  std::optional<int64_t> FreeBytes() const override { return device::Memory().free_bytes; }

  // How many shapes of steps were recorded, and how many runs repeated one.
  struct Recordings {
    int recorded = 0;
    int64_t replayed = 0;
  };
  const Recordings& recordings() const { return counts_; }

 private:
  // Where the batch lies, sequences, tokens of each, context: what a recording's launches depend on.
  using Key = std::tuple<const int32_t*, int32_t, int32_t, int32_t>;
  struct Recording {
    cudaGraphExec_t launches = nullptr;  // null: the shape was seen once and not recorded yet
  };

  Scratch StepScratch() const { return Scratch(scratch_.data(), scratch_.size()); }
  void RunDecode(const RaggedBatch& batch, const cuda::DeviceBatch& placed, const BatchWalk& walk);
  void ForgetRecordings();

  Precision precision_;
  device::Stream stream_;
  Bytes scratch_;
  cuda::Inbound inbound_;
  cuda::Outbound outbound_;
  CudaConstants constants_;
  cuda::PaddedBatch padded_;
  std::map<Key, Recording> recorded_;
  Recordings counts_;
};

}  // namespace braid
