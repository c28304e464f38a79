#include "engine/handover/importing.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/handover/offer_check.h"
#include "kernels/base/errors.h"
#include "kernels/base/log.h"

namespace braid {

Importing::Importing(Importer* owner, RequestHandle handle, GenerateRequest request, std::shared_ptr<HandoverPeer> peer)
    : owner_(owner), room_(owner->room_), handle_(handle), peer_(std::move(peer)), request_(std::move(request)) {
  call_ = {.asker = owner->identity_,
           .request_id = request_.id,
           .prompt = request_.prompt,
           .draws = request_.constraint == nullptr,
           .sampling = request_.sampling,
           .min_tokens = request_.min_tokens,
           .ignore_eos = request_.ignore_eos,
           .stop_token_ids = request_.stop_token_ids,
           .cache_salt = request_.cache_salt,
           .priority = request_.priority,
           .timeout_ms = owner->config_.prefill_timeout_ms};
  started_ns_ = owner->clock_->NowNs();
  if (request_.deadline_ns == 0) return;
  const int64_t left_ms = (request_.deadline_ns - started_ns_) / 1'000'000;
  call_.timeout_ms = std::clamp<int64_t>(left_ms, 1, call_.timeout_ms);
}

template <class Step>
void Importing::Locked(Step step) {
  std::lock_guard lock(mutex_);
  if (!over_) step();
}

void Importing::Start() {
  Locked([this] {
    call_off_ = peer_->Prefill(call_, [self = shared_from_this()](absl::StatusOr<PrefillOffer> offer) {
      self->AnswerOffer(std::move(offer));
    });
  });
}

// An offer that comes after the end is not needed.
void Importing::AnswerOffer(absl::StatusOr<PrefillOffer> offer) {
  std::lock_guard lock(mutex_);
  if (!over_) return OnOffer(std::move(offer));
  if (offer.ok() && !offer->name.id.empty()) peer_->Release(offer->name);
}

void Importing::OnOffer(absl::StatusOr<PrefillOffer> offer) {
  call_off_ = nullptr;
  if (!offer.ok()) return Recompute(offer.status());
  if (const absl::Status taken = TakeOffer(*std::move(offer)); !taken.ok()) Recompute(taken);
}

absl::Status Importing::TakeOffer(PrefillOffer offer) {
  offer_ = offer.name;
  RETURN_IF_ERROR(CheckOffer(offer, call_));
  RETURN_IF_ERROR(CheckEnd(offer));
  const bool same_bits = offer.from.fingerprint == call_.asker.fingerprint;
  request_.output = offer.tokens;
  const bool ends = offer.finish == FinishReason::kStop || static_cast<int>(request_.output.size()) >= request_.max_tokens;
  owner_->Count([&](ImporterStats& stats) {
    stats.other_bits += !same_bits;
    stats.ended_there += ends;
  });
  TellToken(offer);
  if (ends) {
    ReleaseOffer();
    Leave();
    return absl::OkStatus();
  }
  if (offer.image_bytes == 0) return absl::UnavailableError("offer: nothing of the prompt is kept");
  num_computed_ = offer.num_computed;
  image_bytes_ = offer.image_bytes;
  AskForRoom();
  return absl::OkStatus();
}

// We know ourselves which tokens end a sequence.
absl::Status Importing::CheckEnd(const PrefillOffer& offer) const {
  if (offer.tokens.empty()) return absl::OkStatus();
  std::vector<int32_t> end_ids = request_.stop_token_ids;
  const std::vector<int32_t>& eos = owner_->engine_->info().eos_token_ids;
  if (!request_.ignore_eos) end_ids.insert(end_ids.end(), eos.begin(), eos.end());
  const bool may_end = request_.min_tokens <= 1 && std::find(end_ids.begin(), end_ids.end(), offer.tokens[0]) != end_ids.end();
  if (may_end == (offer.finish == FinishReason::kStop)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("offer.finish: token ", offer.tokens[0], may_end ? " ends" : " does not end", " the sequence"));
}

void Importing::TellToken(const PrefillOffer& offer) {
  if (offer.tokens.empty()) return;
  TokenEvent event{.tokens = {offer.tokens.begin(), offer.tokens.end()},
                   .logprobs = offer.logprobs,
                   .finish = offer.finish,
                   .stop_token = offer.finish == FinishReason::kStop ? offer.stop_token : -1,
                   .cached_tokens = offer.cached_tokens,
                   .scheduled_ns = started_ns_,
                   .emitted_ns = owner_->clock_->NowNs()};
  const bool full = static_cast<int>(offer.tokens.size()) >= request_.max_tokens;
  if (full && event.finish == FinishReason::kNone) event.finish = FinishReason::kLength;
  request_.on_event(std::move(event));
}

void Importing::AskForRoom() {
  const bool has_room = room_->Reserve(image_bytes_, [self = shared_from_this()] {
    {
      std::lock_guard lock(self->mutex_);
      if (!self->over_) return self->Fetch();
    }
    self->room_->GiveBack(self->image_bytes_);
  });
  if (has_room) Fetch();
}

void Importing::Fetch() {
  has_room_ = true;
  receiver_.emplace(num_computed_, image_bytes_);
  const auto part = [self = shared_from_this()](int64_t offset, std::string_view bytes, uint32_t checksum) {
    absl::Status status = absl::CancelledError("the request is over");
    self->Locked([&] { status = self->receiver_->Add(offset, bytes, checksum); });
    return status;
  };
  call_off_ = peer_->Fetch(offer_, part, [self = shared_from_this()](absl::Status status) {
    self->Locked([&] { self->OnFetched(std::move(status)); });
  });
}

void Importing::OnFetched(absl::Status status) {
  call_off_ = nullptr;
  if (!status.ok()) return Recompute(status);
  auto image = receiver_->Finish();
  if (!image.ok()) return Recompute(image.status());
  receiver_.reset();
  has_room_ = false;
  request_.image = room_->Settle(*std::move(image), image_bytes_);
  owner_->Count([this](ImporterStats& stats) {
    ++stats.taken;
    stats.bytes_received += static_cast<uint64_t>(image_bytes_);
  });
  ReleaseOffer();
  SubmitHere();
}

void Importing::Recompute(const absl::Status& why) {
  Log(LogLevel::kWarning, "a hand-over failed: the prompt is computed here",
      {{"request", request_.id}, {"why", why.ToString()}});
  owner_->Count([](ImporterStats& stats) { ++stats.recomputed; });
  ReturnRoom();
  ReleaseOffer();
  SubmitHere();
}

void Importing::SubmitHere() {
  GenerateRequest request = request_;
  request_.image = nullptr;
  request.on_event = [self = shared_from_this()](TokenEvent event) { self->OnEvent(std::move(event)); };
  const auto handle = owner_->engine_->Submit(std::move(request));
  if (handle.ok()) {
    engine_handle_ = *handle;
    return;
  }
  TokenEvent event{.finish = FinishReason::kAbort, .error = handle.status(), .emitted_ns = owner_->clock_->NowNs()};
  request_.on_event(std::move(event));
  Leave();
}

// Thread: engine.
void Importing::OnEvent(TokenEvent event) {
  const bool ended = event.finish != FinishReason::kNone;
  request_.on_event(std::move(event));
  if (ended) Locked([this] { Leave(); });
}

void Importing::Cancel(bool tells) {
  Locked([&] {
    if (engine_handle_.has_value() && tells) return owner_->engine_->Cancel(*engine_handle_);
    if (engine_handle_.has_value()) {
      owner_->engine_->CancelChoice(*engine_handle_, 0);
    } else {
      if (tells) {
        request_.on_event({.finish = FinishReason::kAbort, .error = absl::CancelledError("cancelled by the client")});
      }
      if (CallOff call_off = std::exchange(call_off_, nullptr)) call_off();
      ReturnRoom();
      ReleaseOffer();
    }
    Leave();
  });
}

void Importing::Abandon() {
  Locked([this] {
    over_ = true;
    if (CallOff call_off = std::exchange(call_off_, nullptr)) call_off();
    ReturnRoom();
  });
}

void Importing::ReleaseOffer() {
  if (!offer_.id.empty()) peer_->Release(std::exchange(offer_, {}));
}

void Importing::ReturnRoom() {
  receiver_.reset();
  if (std::exchange(has_room_, false)) room_->GiveBack(image_bytes_);
}

void Importing::Leave() {
  over_ = true;
  owner_->Forget(handle_);
}

}  // namespace braid
