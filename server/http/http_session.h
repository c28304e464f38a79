// One connection: read, dispatch, write, keep-alive, limits.
#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include "server/http/chunked_body.h"
#include "server/http/connection.h"
#include "server/http/cors.h"
#include "server/http/event_stream.h"
#include "server/http/http_config.h"
#include "server/http/route_table.h"
#include "server/http/task_queue.h"

namespace braid {

class HttpSession;

// What all connections share. `config` and `routes` are immutable, the rest is any thread's.
struct HttpShared {
  HttpConfig config;
  RouteTable routes;
  ApiKeys keys;
  Latest<TlsContext> tls;             // of connections to come
  std::atomic<int> connections{0};
  std::atomic<bool> stopping{false};  // close each connection after the answer under way

  HttpShared(HttpConfig c, RouteTable r) : config(std::move(c)), routes(std::move(r)), keys(config.api_keys), tls(config.tls) {}
};

// The connections of one io thread. Thread: that one.
using HttpSessions = std::unordered_set<HttpSession*>;

// Lives as long as an operation or an exchange refers to it (shared: handlers answer later). Thread: its io thread.
class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  // `tasks` are those of the io thread.
  HttpSession(boost::asio::ip::tcp::socket socket, HttpShared* shared, HttpSessions* sessions, TaskQueue* tasks);
  ~HttpSession();

  void Start();
  // Looks at the limits of time; called several times a second.
  void Tick(int64_t now_ns);
  // Ends the connection now; a call under way is told that the client is gone.
  void Close();
  // Closes the connection if no request is under way.
  void CloseIfIdle();

 private:
  class Exchange;
  enum class State { kHandshake, kHead, kBody, kHandling, kStreaming, kWriting, kLingering, kClosed };

  void OnHandshake(const boost::system::error_code& error);
  void Read();
  void OnRead(const boost::system::error_code& error, size_t bytes);
  void OnReadEnd();
  void Advance();
  bool AdvanceHead();
  void OnHead(std::string_view text);
  void ReadWishes(const RequestHead& head);
  std::optional<HttpResponse> Refuse();
  std::optional<HttpResponse> RefuseBody() const;
  bool AdvanceBody();
  void Dispatch();

  void SendResponse(HttpResponse response);
  void Fail(int status, std::string_view message);
  void AppendHead(const HttpResponse& response, std::string_view framing);
  void Compress(HttpResponse& response) const;
  void BeginEvents();
  void EndEvents(bool whole);
  void KeepAlive(int64_t now_ns);
  void Write();
  void OnWritten(const boost::system::error_code& error, size_t bytes);
  void CheckUnread();
  void Finish();
  void Linger();
  void Report(int status);
  bool TimedOut(int64_t since_ns, int64_t limit_ms, int64_t now_ns) const;
  HttpResponse Options() const;
  HttpResponse ErrorResponse(int status, std::string_view message, std::string_view code = {}) const;

  Connection connection_;
  HttpShared* const shared_;
  HttpSessions* const sessions_;
  TaskQueue* const tasks_;
  State state_ = State::kHead;

  // Reading.
  std::string in_;
  char piece_[8192];
  bool reading_ = false;
  bool read_ended_ = false;         // the client will send no more
  size_t scanned_ = 0;              // of a head in in_
  int64_t state_since_ns_ = 0;      // of idling, of the head's or body's first byte, of lingering
  int64_t last_read_ns_ = 0;

  // The request under way.
  uint64_t turn_ = 0;               // counts requests: late answers of an exchange before are dropped
  HttpRequest request_;             // until it is dispatched
  std::string request_id_;          // what the answer needs of it
  std::string method_;
  int64_t arrival_ns_ = 0;
  int minor_version_ = 1;
  RouteTable::Match match_;
  std::optional<ChunkedBody> chunks_;
  std::optional<EventStream> events_;
  bool answered_head_ = false;      // HEAD: no body
  bool close_after_ = false;
  std::function<void()> gone_;
  CorsRequest cors_;
  std::string accept_encoding_;
  int64_t last_event_ns_ = 0;       // when the stream last said something

  // Writing.
  std::string out_;                 // waits behind writing_
  std::string writing_;
  size_t written_ = 0;
  bool write_pending_ = false;
  bool answer_complete_ = false;    // all of the answer is in out_ or writing_
  int64_t last_write_ns_ = 0;       // when the reader last took something
  int64_t unread_since_ns_ = 0;     // when too much waited first; 0: not now
};

}  // namespace braid
