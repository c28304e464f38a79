#include "engine/handover/exporter.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/handover/offer_check.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr std::chrono::milliseconds kLook{100};  // for leases that are over

// Without a draw of ours the last token stays out, and the token that is drawn behind the others is dropped.
GenerateRequest RequestOf(const PrefillCall& call, int64_t now_ns) {
  GenerateRequest request{.id = call.request_id, .prompt = call.prompt, .max_tokens = 1};
  request.hold = true;
  request.priority = call.priority;
  request.cache_salt = call.cache_salt;
  request.arrival_ns = now_ns;
  if (call.timeout_ms > 0) request.deadline_ns = now_ns + call.timeout_ms * 1'000'000;
  if (!call.draws) {
    request.prompt.pop_back();
    request.ignore_eos = true;
    request.sampling.temperature = 0;
    return request;
  }
  request.sampling = call.sampling;
  request.min_tokens = std::min(call.min_tokens, 1);
  request.ignore_eos = call.ignore_eos;
  request.stop_token_ids = call.stop_token_ids;
  return request;
}

bool Failed(const TokenEvent& event) {
  return event.finish == FinishReason::kError || event.finish == FinishReason::kAbort;
}

absl::Status ErrorOf(const TokenEvent& event) {
  return event.error.ok() ? absl::InternalError("the prompt was ended before it was computed") : event.error;
}

void Describe(bool draws, TokenEvent event, PrefillOffer* offer) {
  offer->cached_tokens = event.cached_tokens;
  if (event.held != nullptr) {
    offer->num_computed = event.held->num_computed();
    offer->image_bytes = event.held->layout().ImageBytes(offer->num_computed);
  }
  if (!draws) return;
  offer->tokens.assign(event.tokens.begin(), event.tokens.end());
  offer->logprobs = std::move(event.logprobs);
  if (event.finish == FinishReason::kStop) offer->finish = FinishReason::kStop;
  offer->stop_token = event.stop_token;
}

}  // namespace

Exporter::Exporter(Engine* engine, const Clock* clock, const ExporterConfig& config)
    : engine_(engine),
      clock_(clock),
      config_(config),
      offers_(std::make_shared<OfferTable>(config)),
      watch_([this] { Watch(); }) {}

Exporter::~Exporter() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  watch_.join();
}

HandoverIdentity Exporter::identity() const {
  const EngineInfo& info = engine_->info();
  return {info.model_digest, info.fingerprint, info.vocab_size, engine_->layout()};
}

absl::StatusOr<RequestHandle> Exporter::Prefill(const PrefillCall& call, OnOffer done) {
  RETURN_IF_ERROR(CheckIdentity(call.asker, identity()));
  if (call.prompt.size() < (call.draws ? 1u : 2u)) {
    return absl::InvalidArgumentError(absl::StrCat("prompt: ", call.prompt.size(), " tokens leave nothing to compute here"));
  }
  GenerateRequest request = RequestOf(call, clock_->NowNs());
  RETURN_IF_ERROR(engine_->Check(request));
  RETURN_IF_ERROR(offers_->Begin());
  const PrefillOffer blank{.from = identity(), .lease_ms = config_.lease_ms};
  request.on_event = [offers = offers_, clock = clock_, blank, draws = call.draws, done](TokenEvent event) {
    if (event.finish == FinishReason::kNone) return;
    if (Failed(event)) {
      offers->Fail();
      return done(ErrorOf(event));
    }
    PrefillOffer offer = blank;
    offer.name = offers->Keep(event.held, clock->NowNs());
    Describe(draws, std::move(event), &offer);
    done(std::move(offer));
  };
  const auto handle = engine_->Submit(std::move(request));
  if (!handle.ok()) offers_->Fail();
  return handle;
}

void Exporter::Watch() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    stopped_.wait_for(lock, kLook, [this] { return stop_; });
    offers_->Expire(clock_->NowNs());
  }
}

}  // namespace braid
