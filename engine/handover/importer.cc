#include "engine/handover/importer.h"

#include "engine/handover/importing.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr RequestHandle kOurs = RequestHandle{1} << 63;  // no handle of the engine's

bool CanBeHandedOver(const GenerateRequest& request) {
  const bool begun = !request.output.empty() || request.image != nullptr;
  const bool short_prompt = request.prompt.size() < (request.constraint == nullptr ? 1u : 2u);
  return request.n == 1 && request.prompt_logprobs < 0 && !begun && !request.hold && !short_prompt;
}

}  // namespace

Importer::Importer(Engine* engine, const Clock* clock, const ImporterConfig& config)
    : engine_(engine),
      clock_(clock),
      config_(config),
      identity_{engine->info().model_digest, engine->info().fingerprint, engine->info().vocab_size, engine->layout()},
      room_(std::make_shared<StagingRoom>(config.max_staged_bytes)) {}

Importer::~Importer() {
  room_->Close();
  absl::flat_hash_map<RequestHandle, std::shared_ptr<Importing>> left;
  {
    std::lock_guard lock(mutex_);
    left.swap(under_way_);
  }
  for (const auto& [handle, importing] : left) importing->Abandon();
}

absl::StatusOr<RequestHandle> Importer::Submit(GenerateRequest request, std::shared_ptr<HandoverPeer> peer) {
  RETURN_IF_ERROR(engine_->Check(request));
  std::shared_ptr<Importing> importing;
  RequestHandle handle;
  {
    std::lock_guard lock(mutex_);
    if (!CanBeHandedOver(request) || static_cast<int>(under_way_.size()) >= config_.max_transfers) {
      ++stats_.not_tried;
    } else {
      handle = kOurs | num_submitted_++;
      importing = std::make_shared<Importing>(this, handle, std::move(request), std::move(peer));
      under_way_.emplace(handle, importing);
    }
  }
  if (importing == nullptr) return engine_->Submit(std::move(request));
  importing->Start();
  return handle;
}

std::shared_ptr<Importing> Importer::Find(RequestHandle handle) const {
  std::lock_guard lock(mutex_);
  const auto found = under_way_.find(handle);
  return found == under_way_.end() ? nullptr : found->second;
}

void Importer::Forget(RequestHandle handle) {
  std::lock_guard lock(mutex_);
  under_way_.erase(handle);
}

void Importer::Cancel(RequestHandle handle) {
  if ((handle & kOurs) == 0) return engine_->Cancel(handle);
  if (const std::shared_ptr<Importing> importing = Find(handle)) importing->Cancel(/*tells=*/true);
}

void Importer::CancelChoice(RequestHandle handle, int index) {
  if ((handle & kOurs) == 0) return engine_->CancelChoice(handle, index);
  if (const std::shared_ptr<Importing> importing = Find(handle)) importing->Cancel(/*tells=*/false);
}

ImporterStats Importer::Stats() const {
  std::lock_guard lock(mutex_);
  ImporterStats stats = stats_;
  stats.under_way = static_cast<int>(under_way_.size());
  stats.staged_bytes = room_->used();
  return stats;
}

}  // namespace braid
