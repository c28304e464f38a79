#include "engine/handover/offer_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "kernels/base/fresh_id.h"

namespace braid {

OfferTable::OfferTable(const ExporterConfig& config) : config_(config), epoch_(FreshSeed()) {}

absl::Status OfferTable::Begin() {
  std::lock_guard lock(mutex_);
  if (under_way_ + static_cast<int>(offers_.size()) >= config_.max_offers) {
    return absl::UnavailableError(absl::StrCat("hand-over: ", config_.max_offers, " prompts are under way or kept"));
  }
  ++under_way_;
  return absl::OkStatus();
}

void OfferTable::Fail() {
  std::lock_guard lock(mutex_);
  --under_way_;
}

OfferName OfferTable::Keep(std::shared_ptr<const HeldPrompt> held, int64_t now_ns) {
  std::lock_guard lock(mutex_);
  --under_way_;
  ++stats_.prompts;
  if (held == nullptr) return {};
  const OfferName name{FreshHexId(32), epoch_};
  offers_[name.id] = {std::move(held), now_ns + config_.lease_ms * 1'000'000, {}};
  return name;
}

absl::StatusOr<OfferTable::Offer*> OfferTable::Find(const OfferName& offer) {
  if (offer.epoch != epoch_) return absl::NotFoundError("offer.epoch: that process is no more");
  const auto found = offers_.find(offer.id);
  if (found != offers_.end()) return &found->second;
  return absl::NotFoundError("offer.id: there is no such offer, or it was released, or its lease is over");
}

absl::StatusOr<std::shared_ptr<const HeldPrompt>> OfferTable::Open(const OfferName& offer, std::function<void()> expired) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(Offer* const found, Find(offer));
  found->expired.push_back(std::move(expired));
  return found->held;
}

absl::Status OfferTable::Release(const OfferName& offer) {
  Offer released;  // dies without the lock
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(Offer* const found, Find(offer));
  released = std::move(*found);
  offers_.erase(offer.id);
  ++stats_.released;
  return absl::OkStatus();
}

void OfferTable::Expire(int64_t now_ns) {
  std::vector<Offer> over;
  {
    std::lock_guard lock(mutex_);
    for (auto offer = offers_.begin(); offer != offers_.end();) {
      const auto here = offer++;
      if (here->second.deadline_ns > now_ns) continue;
      over.push_back(std::move(here->second));
      offers_.erase(here);
      ++stats_.expired;
    }
  }
  for (const Offer& offer : over) {
    for (const auto& expired : offer.expired) expired();
  }
}

void OfferTable::CountRead(int64_t bytes) {
  std::lock_guard lock(mutex_);
  stats_.bytes_read += static_cast<uint64_t>(bytes);
}

ExporterStats OfferTable::Stats() const {
  std::lock_guard lock(mutex_);
  ExporterStats stats = stats_;
  stats.kept = static_cast<int>(offers_.size());
  return stats;
}

}  // namespace braid
