// A peer inside the process, for tests: its exporter is called directly, its answers come on a thread of its own, and
// what comes can be changed on the way.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/handover/exporter.h"
#include "engine/handover/handover_peer.h"
#include "engine/handover/image_receiver.h"
#include "kernels/base/errors.h"

namespace braid::testing {

class LocalPeer : public HandoverPeer, public std::enable_shared_from_this<LocalPeer> {
 public:
  explicit LocalPeer(Exporter* exporter) : exporter_(exporter), thread_([this] { Work(); }) {}
  ~LocalPeer() override { CHECK(!thread_.joinable()) << "Stop was not called"; }

  // Answers nobody any more: what is left of its tasks is dropped, for it may hold what holds the peer. Once, before the
  // end, which may come on the peer's own thread.
  void Stop() {
    Post(nullptr);
    thread_.join();
    std::deque<std::function<void()>> left;
    std::lock_guard lock(mutex_);
    left.swap(tasks_);
  }

  // What happens to an offer, and to a part, before it is delivered. A part is dropped where its change says false.
  std::function<void(PrefillOffer&)> change_offer;
  std::function<bool(int64_t& offset, std::string& bytes, uint32_t& checksum)> change_part;
  bool refuses = false;              // prompts
  bool keeps_silent = false;         // never answers a prompt
  absl::Status end_of_fetch;         // what a transfer ends with

  CallOff Prefill(const PrefillCall& call, std::function<void(absl::StatusOr<PrefillOffer>)> done) override {
    if (keeps_silent) return [] {};
    if (refuses) {
      Post([done] { done(absl::UnavailableError("refused")); });
      return [] {};
    }
    const auto handle = exporter_->Prefill(call, [weak = weak_from_this(), done](absl::StatusOr<PrefillOffer> offer) {
      const auto self = weak.lock();
      if (self == nullptr) return;
      if (offer.ok() && self->change_offer) self->change_offer(*offer);
      self->Post([done, offer] { done(offer); });
    });
    if (handle.ok()) return [this, handle = *handle] { exporter_->Cancel(handle); };
    Post([done, status = handle.status()] { done(status); });
    return [] {};
  }

  CallOff Fetch(const OfferName& offer, OnPart part, std::function<void(absl::Status)> done) override {
    Post([this, offer, part, done] { done(Send(offer, part)); });
    return [] {};
  }

  void Release(const OfferName& offer) override {
    Post([this, offer] { exporter_->offers().Release(offer).IgnoreError(); });
  }

 private:
  absl::Status Send(const OfferName& offer, const OnPart& part) {
    auto held = exporter_->offers().Open(offer, [] {});
    if (!held.ok()) return held.status();
    int64_t offset = 0;
    const int32_t computed = (*held)->num_computed();
    for (int piece = 0; piece < (*held)->layout().NumPieces(computed); ++piece) {
      std::string bytes(static_cast<size_t>((*held)->layout().PieceBytes(piece, computed)), '\0');
      (*held)->Read(piece, reinterpret_cast<std::byte*>(bytes.data()));
      int64_t shown = offset;
      offset += static_cast<int64_t>(bytes.size());
      uint32_t checksum = PartChecksum(bytes);
      if (change_part && !change_part(shown, bytes, checksum)) continue;
      if (const absl::Status status = part(shown, bytes, checksum); !status.ok()) return status;
    }
    return end_of_fetch;
  }

  void Post(std::function<void()> task) {
    {
      std::lock_guard lock(mutex_);
      if (stopped_) return;
      stopped_ = task == nullptr;
      tasks_.push_back(std::move(task));
    }
    arrived_.notify_one();
  }

  void Work() {
    while (true) {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [this] { return !tasks_.empty(); });
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      if (task == nullptr) return;
      task();
    }
  }

  Exporter* const exporter_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::function<void()>> tasks_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace braid::testing
