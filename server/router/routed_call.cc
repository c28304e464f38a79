#include "server/router/routed_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/base/errors.h"
#include "kernels/base/log.h"
#include "server/prefill_header.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

constexpr size_t kMaxWholeBytes = 256 << 20;

// Headers that belong to a connection, or that the router writes itself.
bool IsOwn(std::string_view name) {
  static constexpr std::string_view kOwn[] = {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te",
                                              "trailer", "upgrade", "expect", "accept-encoding", "x-request-id",
                                              kPrefillHeader, "proxy-connection", "proxy-authorization"};
  return std::find(std::begin(kOwn), std::end(kOwn), name) != std::end(kOwn);
}

// The path was decoded; what is no plain character of one is encoded again.
std::string EncodedPath(std::string_view path) {
  std::string out;
  for (const unsigned char c : path) {
    const bool plain = absl::ascii_isalnum(c) || absl::StrContains("/-._~:@!$&'()*+,;=", absl::string_view(reinterpret_cast<const char*>(&c), 1));
    if (plain) {
      out.push_back(static_cast<char>(c));
    } else {
      absl::StrAppendFormat(&out, "%%%02X", c);
    }
  }
  return out;
}

}  // namespace

RoutedCall::RoutedCall(RouterParts* parts, HttpRequest request, std::shared_ptr<HttpExchange> exchange, ErrorWords words)
    : parts_(parts),
      request_(std::move(request)),
      exchange_(std::move(exchange)),
      words_(std::move(words)),
      body_(request_.head.path, request_.body) {
  ++parts_->counters.in_flight;
}

RoutedCall::~RoutedCall() { --parts_->counters.in_flight; }

void RoutedCall::Begin() {
  exchange_->OnGone([self = shared_from_this()] {
    if (self->over_) return;
    ++self->parts_->counters.left;
    self->Finish();
  });
  if (!Try()) Fail(absl::UnavailableError("no worker is healthy"));
}

// False when there is no worker that was not asked yet.
bool RoutedCall::Try() {
  auto next = parts_->workers.Pick(Pool::kDecode, body_.prompt(), asked_);
  if (next == nullptr) return false;
  worker_ = std::move(next);
  ++attempt_;
  worker_->Watch([weak = weak_from_this(), attempt = attempt_] {
    const std::shared_ptr<RoutedCall> self = weak.lock();
    if (self == nullptr) return;
    self->Post(attempt, [call = self.get()] { call->OnWorkerLost(absl::UnavailableError("the worker does not answer")); });
  });
  ClaimPrefill();
  head_ = {};
  whole_.clear();
  events_ = {};
  streams_ = false;
  call_off_ = StartHttpCall(parts_->io, RequestFor(*worker_), SinkOf(attempt_));
  return true;
}

// A stream that goes on has its prompt and tokens computed where it is decoded.
void RoutedCall::ClaimPrefill() {
  prefill_.reset();
  const bool is_short = static_cast<int>(body_.prompt().size()) < parts_->config.short_prompt_bytes;
  if (parts_->key == nullptr || is_short || begun_) return;
  prefill_ = parts_->workers.Pick(Pool::kPrefill, body_.prompt(), {});
}

HttpCallRequest RoutedCall::RequestFor(const WorkerClaim& worker) {
  HttpCallRequest request{.address = worker.address(), .method = request_.head.method, .target = EncodedPath(request_.head.path)};
  if (!request_.head.query.empty()) request.target += "?" + request_.head.query;
  for (const auto& [name, value] : request_.head.headers) {
    if (!IsOwn(name)) request.headers.emplace_back(name, value);
  }
  request.headers.emplace_back("x-request-id", request_.request_id);
  if (prefill_ != nullptr) {
    request.headers.emplace_back(kPrefillHeader, WritePrefillHeader(*parts_->key, prefill_->grpc_address()));
    ++parts_->counters.prefilled;
  }
  if (request.method != "GET") request.body = body_.ForWorker(begun_);
  return request;
}

HttpCallSink RoutedCall::SinkOf(int attempt) {
  const auto self = shared_from_this();
  return {[self, attempt](HttpCallHead head) { self->Post(attempt, [self = self.get(), head] { self->OnHead(head); }); },
          [self, attempt](std::string_view bytes) {
            self->Post(attempt, [self = self.get(), bytes = std::string(bytes)] { self->OnBody(bytes); });
          },
          [self, attempt](absl::Status status) { self->Post(attempt, [self = self.get(), status] { self->OnEnd(status); }); }};
}

void RoutedCall::Post(int attempt, std::function<void()> step) {
  exchange_->Post([self = shared_from_this(), attempt, step = std::move(step)] {
    if (!self->over_ && self->attempt_ == attempt) step();
  });
}

void RoutedCall::OnHead(HttpCallHead head) {
  head_ = std::move(head);
  streams_ = absl::StartsWith(head_.content_type, "text/event-stream") && head_.status == 200;
}

void RoutedCall::OnBody(const std::string& bytes) {
  if (!streams_) {
    whole_ += bytes;
    if (whole_.size() > kMaxWholeBytes) Fail(absl::InternalError("the worker's answer is too long"));
    return;
  }
  const int attempt = attempt_;
  EventReader reader = std::move(events_);  // another attempt begins with a reader of its own
  const bool read = reader.Feed(bytes, [&](std::string_view data, std::string_view type) {
    if (!over_ && attempt == attempt_) OnEvent(data, type);
  });
  if (over_ || attempt != attempt_) return;
  events_ = std::move(reader);
  if (!read) return OnWorkerLost(absl::InternalError("an event of the worker is too long"));
  if (begun_) exchange_->Flush();
}

void RoutedCall::OnEvent(std::string_view data, std::string_view type) {
  bool of_worker = false;
  if (RoutedBody::IsError(data, &of_worker)) {
    if (of_worker && (!begun_ || body_.can_resume())) {
      return OnWorkerLost(absl::UnavailableError("the worker ended the stream"));
    }
    broken_ = true;
  }
  done_ |= data == "[DONE]";
  named_ |= !type.empty();
  prefill_.reset();  // the prompt is computed
  const std::string shown = body_.Take(data);
  if (shown.empty()) return;
  if (!std::exchange(begun_, true)) exchange_->BeginEvents();
  exchange_->Event(shown, type);
}

void RoutedCall::OnEnd(const absl::Status& status) {
  call_off_ = nullptr;
  if (streams_) return EndStream(status);
  if (!status.ok()) return OnWorkerLost(status);
  if (head_.status == 503) {
    asked_.insert(worker_->address());
    if (TryAgain(absl::UnavailableError("a worker is busy"))) return;
  }
  if (begun_) return Fail(absl::UnavailableError(absl::StrCat("the stream could not go on: ", whole_.substr(0, 500))));
  SendWhole();
}

// Events without names are whole with their [DONE] only.
void RoutedCall::EndStream(const absl::Status& status) {
  if (!broken_ && !done_ && !status.ok()) return OnWorkerLost(status);
  if (!broken_ && !done_ && !named_) return OnWorkerLost(absl::UnavailableError("the worker cut the stream short"));
  if (!std::exchange(begun_, true)) exchange_->BeginEvents();
  ++parts_->counters.answered;
  broken_ ? exchange_->BreakEvents() : exchange_->EndEvents();
  Finish();
}

void RoutedCall::OnWorkerLost(absl::Status why) {
  Log(LogLevel::kWarning, "a worker is lost", {{"request", request_.request_id}, {"worker", worker_->address()}, {"why", why.ToString()}});
  parts_->workers.OnFailure(worker_->address());
  asked_.insert(worker_->address());
  if (body_.finished() && !body_.wants_usage()) {  // only the farewell is missing
    ++parts_->counters.answered;
    exchange_->Event("[DONE]");
    exchange_->EndEvents();
    return Finish();
  }
  if (begun_ && (!body_.can_resume() || body_.finished())) {
    return Fail(absl::UnavailableError("the worker was lost in the middle of the answer"));
  }
  if (!TryAgain(why)) Fail(absl::UnavailableError(absl::StrCat("no worker could answer: ", why.message())));
}

// False when enough have been asked.
bool RoutedCall::TryAgain(const absl::Status& why) {
  if (attempt_ >= parts_->config.max_tries) return false;
  const auto call_off = call_off_;
  if (!Try()) return false;
  if (call_off) call_off();
  ++(begun_ ? parts_->counters.resumed : parts_->counters.retried);
  Log(LogLevel::kInfo, begun_ ? "a stream goes on elsewhere" : "a request is sent again",
      {{"request", request_.request_id}, {"why", why.ToString()}, {"tokens", body_.ids().size()}});
  return true;
}

void RoutedCall::SendWhole() {
  HttpResponse response{.status = head_.status, .content_type = head_.content_type, .body = std::move(whole_)};
  if (!head_.retry_after.empty()) response.headers.emplace_back("Retry-After", head_.retry_after);
  ++parts_->counters.answered;
  exchange_->Send(std::move(response));
  Finish();
}

// An answer cut short never looks whole: no [DONE] behind the error.
void RoutedCall::Fail(const absl::Status& status) {
  ++parts_->counters.failed;
  if (begun_) {
    exchange_->Event(words_(status));
    exchange_->BreakEvents();
  } else {
    HttpResponse response{.status = HttpStatusOf(status), .body = words_(status)};
    const int seconds = RetryAfterSeconds(status);
    if (seconds > 0) response.headers.emplace_back("Retry-After", absl::StrCat(seconds));
    exchange_->Send(std::move(response));
  }
  Finish();
}

void RoutedCall::Finish() {
  over_ = true;
  if (auto call_off = std::exchange(call_off_, nullptr)) call_off();
  worker_.reset();
  prefill_.reset();
}

}  // namespace braid
