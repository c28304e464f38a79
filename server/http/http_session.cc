#include "server/http/http_session.h"

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/fresh_id.h"
#include "server/http/gzip.h"
#include "server/http/response_head.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

namespace asio = boost::asio;

constexpr size_t kMaxPipelinedBytes = 64 << 10;  // read ahead while a request is under way
constexpr int64_t kLingerMs = 2'000;             // for the client to read the reason before the reset

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The method as a metric's label: a closed set, whatever clients send.
std::string_view MethodLabel(std::string_view method) {
  for (std::string_view known : {"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"}) {
    if (method == known) return known;
  }
  return "other";
}

// "application/json", with charset utf-8 or none.
bool IsJsonType(std::string_view value) {
  const size_t semicolon = value.find(';');
  const absl::string_view type = absl::StripAsciiWhitespace({value.data(), std::min(semicolon, value.size())});
  if (!absl::EqualsIgnoreCase(type, "application/json")) return false;
  if (semicolon == std::string_view::npos) return true;
  const std::string parameters = absl::AsciiStrToLower({value.data() + semicolon, value.size() - semicolon});
  return !absl::StrContains(parameters, "charset") || absl::StrContains(parameters, "charset=utf-8") ||
         absl::StrContains(parameters, "charset=\"utf-8\"");
}

// What is worth compressing.
bool IsText(std::string_view content_type) {
  return content_type.substr(0, 16) == "application/json" || content_type.substr(0, 5) == "text/";
}

// Whose key came with the request: as OpenAI's clients send it, or as Anthropic's do.
std::optional<std::string> Identity(const RequestHead& head, const ApiKeys& keys) {
  if (const std::string* authorization = head.Find("authorization")) return keys.IdentifyBearer(*authorization);
  if (const std::string* key = head.Find("x-api-key")) return keys.Identify(*key);
  return std::nullopt;
}

}  // namespace

// The handle of one request's answer; silent once its turn is over.
class HttpSession::Exchange : public HttpExchange {
 public:
  Exchange(std::shared_ptr<HttpSession> session, uint64_t turn) : session_(std::move(session)), turn_(turn) {}

  void Post(std::function<void()> task) override { session_->tasks_->Post(std::move(task)); }
  void Send(HttpResponse response) override {
    if (Mine(State::kHandling)) session_->SendResponse(std::move(response));
  }
  void BeginEvents() override {
    if (Mine(State::kHandling)) session_->BeginEvents();
  }
  void Event(std::string_view data, std::string_view type) override {
    if (Mine(State::kStreaming)) session_->events_->Add(data, type);
  }
  void Flush() override {
    if (!Mine(State::kStreaming)) return;
    session_->last_event_ns_ = NowNs();
    if (!session_->answered_head_) session_->events_->TakeInto(&session_->out_);
    session_->Write();
    session_->CheckUnread();
  }
  void EndEvents() override {
    if (Mine(State::kStreaming)) session_->EndEvents(true);
  }
  void BreakEvents() override {
    if (Mine(State::kStreaming)) session_->EndEvents(false);
  }
  void OnGone(std::function<void()> gone) override {
    if (Mine(State::kHandling) || Mine(State::kStreaming)) {
      session_->gone_ = std::move(gone);
    } else if (session_->state_ == State::kClosed) {
      gone();
    }
  }

 private:
  bool Mine(State state) const { return session_->turn_ == turn_ && session_->state_ == state; }

  const std::shared_ptr<HttpSession> session_;
  const uint64_t turn_;
};

HttpSession::HttpSession(asio::ip::tcp::socket socket, HttpShared* shared, HttpSessions* sessions, TaskQueue* tasks)
    : connection_(std::move(socket), shared->tls.Get().get()), shared_(shared), sessions_(sessions), tasks_(tasks) {
  ++shared_->connections;
  sessions_->insert(this);
}

HttpSession::~HttpSession() {
  if (state_ != State::kClosed) Close();
}

void HttpSession::Start() {
  boost::system::error_code ignored;
  asio::ip::tcp::socket& socket = connection_.socket();
  socket.non_blocking(true, ignored);
  socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::send_buffer_size(128 << 10), ignored);
  state_since_ns_ = last_read_ns_ = last_write_ns_ = NowNs();
  if (!connection_.secure()) return Read();
  state_ = State::kHandshake;
  connection_.Handshake([self = shared_from_this()](const boost::system::error_code& error) { self->OnHandshake(error); });
}

void HttpSession::OnHandshake(const boost::system::error_code& error) {
  if (state_ == State::kClosed) return;
  if (error || shared_->stopping) return Close();
  state_ = State::kHead;
  state_since_ns_ = last_read_ns_ = last_write_ns_ = NowNs();
  Read();
}

void HttpSession::Close() {
  if (state_ == State::kClosed) return;
  const bool under_way = state_ == State::kHandling || state_ == State::kStreaming;
  state_ = State::kClosed;
  connection_.Close();
  sessions_->erase(this);
  --shared_->connections;
  if (under_way) Report(499);
  if (auto gone = std::exchange(gone_, nullptr)) gone();
}

void HttpSession::CloseIfIdle() {
  if (state_ == State::kHandshake || (state_ == State::kHead && in_.empty())) Close();
}

bool HttpSession::TimedOut(int64_t since_ns, int64_t limit_ms, int64_t now_ns) const {
  return now_ns - since_ns > limit_ms * 1'000'000;
}

void HttpSession::Tick(int64_t now_ns) {
  const HttpLimits& limits = shared_->config.limits;
  switch (state_) {
    case State::kHandshake:
      if (TimedOut(state_since_ns_, limits.header_timeout_ms, now_ns)) Close();
      return;
    case State::kHead:
      if (in_.empty()) {
        if (TimedOut(state_since_ns_, limits.idle_timeout_ms, now_ns)) Close();
      } else if (TimedOut(state_since_ns_, limits.header_timeout_ms, now_ns)) {
        Fail(408, "the request's headers took too long");
      }
      return;
    case State::kBody:
      if (TimedOut(last_read_ns_, limits.body_gap_timeout_ms, now_ns) ||
          TimedOut(state_since_ns_, limits.body_timeout_ms, now_ns)) {
        Fail(408, "the request's body took too long");
      }
      return;
    case State::kStreaming:
    case State::kWriting: {
      const bool stuck = write_pending_ && TimedOut(last_write_ns_, limits.unread_timeout_ms, now_ns);
      const bool slow = unread_since_ns_ != 0 && TimedOut(unread_since_ns_, limits.unread_timeout_ms, now_ns);
      if (stuck || slow) return Close();
      if (state_ == State::kStreaming) KeepAlive(now_ns);
      return;
    }
    case State::kLingering:
      if (TimedOut(state_since_ns_, kLingerMs, now_ns)) Close();
      return;
    case State::kHandling:
    case State::kClosed: return;
  }
}

// --- reading ---

void HttpSession::Read() {
  const bool waiting = state_ == State::kHandling || state_ == State::kStreaming || state_ == State::kWriting;
  if (reading_ || read_ended_ || state_ == State::kClosed || (waiting && in_.size() >= kMaxPipelinedBytes)) return;
  reading_ = true;
  connection_.ReadSome(asio::buffer(piece_), [self = shared_from_this()](const boost::system::error_code& error, size_t bytes) {
    self->OnRead(error, bytes);
  });
}

void HttpSession::OnRead(const boost::system::error_code& error, size_t bytes) {
  reading_ = false;
  if (state_ == State::kClosed) return;
  if (error) {
    if (state_ == State::kLingering && connection_.ReadOnRaw(error)) return Read();
    read_ended_ = true;
    return OnReadEnd();
  }
  last_read_ns_ = NowNs();
  if (state_ == State::kLingering) return Read();  // thrown away
  if (state_ == State::kHead && in_.empty()) state_since_ns_ = last_read_ns_;
  in_.append(piece_, bytes);
  if (state_ == State::kHead || state_ == State::kBody) {
    Advance();
  } else {
    Read();  // the watch for a client that hangs up
  }
}

// The client has hung up, or at least sends no more: a call under way is cancelled.
void HttpSession::OnReadEnd() {
  switch (state_) {
    case State::kBody: return Fail(400, "the body ends before its length is reached");
    case State::kWriting: return;  // the answer is complete: let it out
    default: return Close();
  }
}

void HttpSession::Advance() {
  while ((state_ == State::kHead && AdvanceHead()) || (state_ == State::kBody && AdvanceBody())) {
  }
  if (state_ == State::kHead && read_ended_) return Close();
  if (state_ == State::kBody && read_ended_) return OnReadEnd();
  Read();
}

// Each Advance* returns whether it got a step further.
bool HttpSession::AdvanceHead() {
  while (scanned_ <= 1 && in_.starts_with("\r\n")) {  // empty lines before a request, also where the CR came alone
    in_.erase(0, 2);
    scanned_ = 0;
  }
  HeadScan scan = ScanHead(in_, shared_->config.limits.head, &scanned_);
  if (scan.fault.has_value()) {
    Fail(scan.fault->status, scan.fault->message);
    return false;
  }
  if (!scan.end.has_value()) return false;
  scanned_ = 0;
  const std::string head = in_.substr(0, *scan.end);
  in_.erase(0, *scan.end);
  OnHead(head);
  return true;
}

// What the head says about the answer's head.
void HttpSession::ReadWishes(const RequestHead& head) {
  const auto value = [&](const char* name) {
    const std::string* found = head.Find(name);
    return found != nullptr ? *found : std::string();
  };
  cors_ = {value("origin"), value("access-control-request-headers")};
  accept_encoding_.clear();
  for (const auto& [name, coding] : head.headers) {
    if (name == "accept-encoding") absl::StrAppend(&accept_encoding_, coding, ",");
  }
}

void HttpSession::OnHead(std::string_view text) {
  ++turn_;
  request_ = {};
  arrival_ns_ = state_since_ns_ = last_read_ns_ = NowNs();
  request_id_ = FreshHexId(32);
  match_ = {};
  chunks_.reset();
  events_.reset();
  answered_head_ = close_after_ = answer_complete_ = false;
  gone_ = nullptr;
  RequestHead& head = request_.head;
  if (auto fault = ParseHead(text, shared_->config.limits.head, &head)) return Fail(fault->status, fault->message);
  method_ = head.method;
  answered_head_ = head.method == "HEAD";
  ReadWishes(head);
  close_after_ = !head.keep_alive;
  if (const std::string* id = head.Find("x-request-id"); id != nullptr && IsRequestId(*id)) request_id_ = *id;
  minor_version_ = head.minor_version;
  const bool has_body = head.chunked || head.content_length.value_or(0) > 0;
  if (std::optional<HttpResponse> refusal = Refuse()) {
    state_ = State::kHandling;
    close_after_ |= has_body;  // nobody will read it
    return SendResponse(std::move(*refusal));
  }
  if (!has_body) return Dispatch();
  if (head.chunked) chunks_.emplace(shared_->config.limits.max_body_bytes, shared_->config.limits.max_chunk_extra_bytes);
  state_ = State::kBody;
  if (head.expects_continue && in_.empty()) {
    out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    Write();
  }
}

// What the head alone decides: path, method, key, type and length of the body.
std::optional<HttpResponse> HttpSession::Refuse() {
  const RequestHead& head = request_.head;
  match_ = shared_->routes.Find(head.method, head.path);
  if (head.method == "OPTIONS" && (head.path == "*" || !match_.allow.empty())) return Options();
  if (match_.allow.empty()) {
    return ErrorResponse(404, absl::StrCat("there is nothing at ", head.path.substr(0, 200)));
  }
  if (match_.route == nullptr) {
    HttpResponse response = ErrorResponse(405, absl::StrCat("method ", head.method.substr(0, 32), " is not allowed here; allowed: ", match_.allow));
    response.headers.emplace_back("Allow", match_.allow);
    return response;
  }
  if (!match_.route->open && !shared_->keys.open()) {
    const std::optional<std::string> identity = Identity(head, shared_->keys);
    if (!identity.has_value()) {
      HttpResponse response = ErrorResponse(401, "a valid key is needed: Authorization: Bearer KEY", "invalid_api_key");
      response.headers.emplace_back("WWW-Authenticate", "Bearer");
      return response;
    }
    request_.api_key_id = *identity;
  }
  if (const std::string* timeout = head.Find("x-request-timeout-ms")) {
    if (!absl::SimpleAtoi(*timeout, &request_.timeout_ms) || request_.timeout_ms < 1 || request_.timeout_ms > 86'400'000) {
      return ErrorResponse(400, "X-Request-Timeout-Ms must be a whole number of 1 to 86400000");
    }
  }
  return RefuseBody();
}

std::optional<HttpResponse> HttpSession::RefuseBody() const {
  const RequestHead& head = request_.head;
  const bool has_body = head.chunked || head.content_length.value_or(0) > 0;
  const size_t max_bytes = shared_->config.limits.max_body_bytes;
  if (head.content_length.value_or(0) > max_bytes) {
    return ErrorResponse(413, absl::StrCat("the body is ", *head.content_length, " bytes long; at most ", max_bytes, " are read"));
  }
  if (head.method != "POST" || (!match_.route->takes_json && !has_body)) return std::nullopt;
  if (!head.chunked && !head.content_length.has_value()) {
    return ErrorResponse(411, "a POST needs Content-Length or Transfer-Encoding: chunked");
  }
  const std::string* encoding = head.Find("content-encoding");
  if (encoding != nullptr && !absl::EqualsIgnoreCase(*encoding, "identity")) {
    return ErrorResponse(415, "Content-Encoding must be identity");
  }
  const std::string* type = head.Find("content-type");
  if (type == nullptr || !IsJsonType(*type)) return ErrorResponse(415, "Content-Type must be application/json");
  return std::nullopt;
}

HttpResponse HttpSession::ErrorResponse(int status, std::string_view message, std::string_view code) const {
  const bool own_words = match_.route != nullptr && match_.route->error_body;
  return {.status = status, .body = own_words ? match_.route->error_body(status, message) : ErrorBody(status, message, code)};
}

HttpResponse HttpSession::Options() const {
  HttpResponse response{.status = 204, .content_type = ""};
  response.headers.emplace_back("Allow", match_.allow.empty() ? "GET, HEAD, POST, OPTIONS" : match_.allow);
  return response;
}

bool HttpSession::AdvanceBody() {
  if (chunks_.has_value()) {
    in_.erase(0, chunks_->Feed(in_, &request_.body));
    if (const std::optional<HttpFault>& fault = chunks_->fault()) {
      Fail(fault->status, fault->message);
      return false;
    }
    if (!chunks_->done()) return false;
  } else {
    const size_t missing = *request_.head.content_length - request_.body.size();
    const size_t bytes = std::min(missing, in_.size());
    request_.body.append(in_, 0, bytes);
    in_.erase(0, bytes);
    if (bytes < missing) return false;
  }
  Dispatch();
  return true;
}

void HttpSession::Dispatch() {
  state_ = State::kHandling;
  request_.rest = match_.rest;
  request_.request_id = request_id_;
  request_.arrival_ns = arrival_ns_;
  match_.route->handler(std::exchange(request_, {}), std::make_shared<Exchange>(shared_from_this(), turn_));
}

// --- answering ---

void HttpSession::Report(int status) {
  if (!shared_->config.on_access) return;
  const double seconds = static_cast<double>(NowNs() - arrival_ns_) * 1e-9;
  const std::string_view handler = match_.route != nullptr ? std::string_view(match_.route->name) : "none";
  shared_->config.on_access({handler, MethodLabel(method_), status, seconds});
}

// Makes the body small where the client allows it.
void HttpSession::Compress(HttpResponse& response) const {
  const HttpLimits& limits = shared_->config.limits;
  const size_t bytes = response.body.size();
  if (bytes < limits.min_gzip_bytes || bytes > limits.max_gzip_bytes || !IsText(response.content_type)) return;
  response.headers.emplace_back("Vary", "Accept-Encoding");
  if (!AcceptsGzip(accept_encoding_)) return;
  response.body = Gzip(response.body);
  response.headers.emplace_back("Content-Encoding", "gzip");
}

void HttpSession::AppendHead(const HttpResponse& response, std::string_view framing) {
  close_after_ |= shared_->stopping;
  const std::string_view reason = ReasonOf(response.status);
  absl::StrAppend(&out_, "HTTP/1.1 ", response.status, " ");
  out_.append(reason).append("\r\n").append(DateLine());
  if (!response.content_type.empty()) absl::StrAppend(&out_, "Content-Type: ", response.content_type, "\r\n");
  absl::StrAppend(&out_, "X-Request-Id: ", request_id_, "\r\n");
  for (const auto& [name, value] : response.headers) absl::StrAppend(&out_, name, ": ", value, "\r\n");
  AppendCors(shared_->config.cors, cors_, method_ == "OPTIONS" ? &match_.allow : nullptr, &out_);
  out_.append(framing).append(close_after_ ? "Connection: close\r\n\r\n" : "Connection: keep-alive\r\n\r\n");
}

void HttpSession::SendResponse(HttpResponse response) {
  state_ = State::kWriting;
  answer_complete_ = true;
  gone_ = nullptr;
  Report(response.status);
  Compress(response);
  const std::string framing =
      response.status == 204 ? "" : absl::StrCat("Content-Length: ", response.body.size(), "\r\n");
  AppendHead(response, framing);
  if (!answered_head_) out_ += response.body;
  Write();
}

// Refuses what cannot be read any further.
void HttpSession::Fail(int status, std::string_view message) {
  if (state_ == State::kHead) {  // no head was read
    request_id_ = FreshHexId(32);
    method_.clear();
    match_ = {};
    cors_ = {};
    accept_encoding_.clear();
    arrival_ns_ = state_since_ns_;
    answered_head_ = false;
  }
  state_ = State::kHandling;
  close_after_ = true;
  in_.clear();
  SendResponse(ErrorResponse(status, message));
}

void HttpSession::BeginEvents() {
  state_ = State::kStreaming;
  const bool chunked = minor_version_ == 1;
  events_.emplace(chunked);
  if (!chunked) close_after_ = true;
  HttpResponse response{.content_type = "text/event-stream; charset=utf-8"};
  response.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
  AppendHead(response, chunked ? "Transfer-Encoding: chunked\r\n" : "");
  last_event_ns_ = NowNs();
}

// Keeps proxies from taking a silent stream for a dead one.
void HttpSession::KeepAlive(int64_t now_ns) {
  const int64_t limit_ms = shared_->config.limits.keep_alive_ms;
  if (limit_ms == 0 || answered_head_ || write_pending_ || !TimedOut(last_event_ns_, limit_ms, now_ns)) return;
  last_event_ns_ = now_ns;
  events_->AddComment("ping");
  events_->TakeInto(&out_);
  Write();
}

void HttpSession::EndEvents(bool whole) {
  state_ = State::kWriting;
  answer_complete_ = true;
  gone_ = nullptr;
  close_after_ |= !whole;
  Report(200);
  if (!answered_head_) events_->EndInto(&out_);
  Write();
}

// --- writing ---

void HttpSession::Write() {
  if (write_pending_ || state_ == State::kClosed) return;
  boost::system::error_code error;
  while (written_ < writing_.size() || !out_.empty()) {
    if (written_ == writing_.size()) {
      writing_.clear();
      writing_.swap(out_);
      written_ = 0;
    }
    // Most writes fit the socket's buffer and are over here.
    last_write_ns_ = NowNs();
    const size_t taken = connection_.WriteNow(asio::buffer(writing_) + written_, error);
    if (error && error != asio::error::would_block && error != asio::error::try_again) return Close();
    written_ += taken;
    if (taken == 0) break;  // nothing fits, or TLS
  }
  if (written_ < writing_.size()) {
    write_pending_ = true;
    connection_.WriteSome(asio::buffer(writing_) + written_, [self = shared_from_this()](const boost::system::error_code& e, size_t bytes) {
      self->OnWritten(e, bytes);
    });
  } else if (answer_complete_ && out_.empty()) {
    answer_complete_ = false;
    // Not from here: pipelined requests would nest.
    asio::post(connection_.executor(), [self = shared_from_this()] { self->Finish(); });
  }
}

void HttpSession::OnWritten(const boost::system::error_code& error, size_t bytes) {
  write_pending_ = false;
  if (state_ == State::kClosed) return;
  if (error) return Close();
  written_ += bytes;
  last_write_ns_ = NowNs();
  CheckUnread();
  Write();
}

void HttpSession::CheckUnread() {
  const HttpLimits& limits = shared_->config.limits;
  const size_t unread = out_.size() + writing_.size() - written_;
  if (unread < limits.max_unread_bytes) {
    unread_since_ns_ = 0;
  } else if (unread_since_ns_ == 0) {
    unread_since_ns_ = NowNs();
  }
  if (state_ == State::kStreaming && unread > limits.max_pending_bytes) Close();
}

// The answer is out: closes, or goes on to the next request.
void HttpSession::Finish() {
  if (state_ != State::kWriting) return;
  unread_since_ns_ = 0;
  writing_.clear();
  written_ = 0;
  if (close_after_ || (read_ended_ && in_.empty())) return Linger();
  state_ = State::kHead;
  state_since_ns_ = NowNs();
  Advance();
}

// Tells the client that nothing more comes and waits for its end, so that a reset does not overtake the answer.
void HttpSession::Linger() {
  if (read_ended_) return Close();
  state_ = State::kLingering;
  state_since_ns_ = NowNs();
  in_.clear();
  in_.shrink_to_fit();
  connection_.CloseSending(shared_from_this());
  Read();
}

}  // namespace braid
