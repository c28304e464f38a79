#include "server/http/http_server.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <future>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/log.h"
#include "server/http/http_session.h"

namespace braid {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::chrono::milliseconds kTick(50);
constexpr std::chrono::milliseconds kAcceptPause(100);  // when the process is out of descriptors

// One io thread and its connections.
class IoThread {
 public:
  IoThread() : context_(1), tasks_(context_), work_(asio::make_work_guard(context_)), timer_(context_) {}

  asio::io_context& context() { return context_; }
  HttpSessions& sessions() { return sessions_; }
  TaskQueue& tasks() { return tasks_; }

  void Start() {
    Tick();
    thread_ = std::thread([this] { context_.run(); });
  }

  void CloseIdle() {
    asio::post(context_, [this] {
      for (HttpSession* session : Copy()) session->CloseIfIdle();
    });
  }

  // Closes all connections, lets what was posted run, and joins the thread.
  void Stop() {
    asio::post(context_, [this] {
      stopped_ = true;
      timer_.cancel();
      for (HttpSession* session : Copy()) session->Close();
    });
    work_.reset();
    thread_.join();
  }

 private:
  // A session that closes leaves the set: the walk needs its own list.
  std::vector<HttpSession*> Copy() const { return {sessions_.begin(), sessions_.end()}; }

  void Tick() {
    timer_.expires_after(kTick);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error || stopped_) return;
      const int64_t now_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
      for (HttpSession* session : Copy()) session->shared_from_this()->Tick(now_ns);
      Tick();
    });
  }

  HttpSessions sessions_;
  asio::io_context context_;  // dies before the set that its sessions leave
  TaskQueue tasks_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::steady_timer timer_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace

// The accept loop, on the first io thread, and all io threads.
class HttpListener {
 public:
  HttpListener(HttpConfig config, RouteTable routes) : shared_(std::move(config), std::move(routes)) {
    const int count = std::max(1, shared_.config.io_threads);
    for (int i = 0; i < count; ++i) threads_.push_back(std::make_unique<IoThread>());
    acceptor_ = std::make_unique<tcp::acceptor>(threads_[0]->context());
    pause_ = std::make_unique<asio::steady_timer>(threads_[0]->context());
  }

  ~HttpListener() {
    if (!started_) return;
    StopListening();
    for (auto& thread : threads_) thread->Stop();
  }

  absl::Status Listen() {
    boost::system::error_code error;
    const auto address = asio::ip::make_address(shared_.config.address, error);
    if (error) return absl::InvalidArgumentError(absl::StrCat("host: ", shared_.config.address, " is not an IP address"));
    const tcp::endpoint endpoint(address, shared_.config.port);
    acceptor_->open(endpoint.protocol(), error);
    if (!error) acceptor_->set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_->bind(endpoint, error);
    if (!error) acceptor_->listen(4096, error);
    if (error) {
      return absl::UnavailableError(absl::StrCat("port: cannot listen at ", shared_.config.address, ":", shared_.config.port, ": ", error.message()));
    }
    port_ = acceptor_->local_endpoint(error).port();
    Accept();
    for (auto& thread : threads_) thread->Start();
    started_ = true;
    return absl::OkStatus();
  }

  void StopListening() {
    shared_.stopping = true;
    std::promise<void> closed;
    asio::post(threads_[0]->context(), [&] {
      boost::system::error_code ignored;
      acceptor_->close(ignored);
      pause_->cancel();
      closed.set_value();
    });
    closed.get_future().wait();
    for (auto& thread : threads_) thread->CloseIdle();
  }

  uint16_t port() const { return port_; }
  int connections() const { return shared_.connections; }
  HttpShared& shared() { return shared_; }

 private:
  void Accept() {
    if (!acceptor_->is_open()) return;
    IoThread* thread = threads_[next_++ % threads_.size()].get();
    acceptor_->async_accept(thread->context(), [this, thread](const boost::system::error_code& error, tcp::socket socket) {
      OnAccept(error, thread, std::move(socket));
    });
  }

  void OnAccept(const boost::system::error_code& error, IoThread* thread, tcp::socket socket) {
    if (!acceptor_->is_open()) return;
    if (error) return OnAcceptError(error);
    if (shared_.connections < shared_.config.limits.max_connections) {
      Serve(thread, std::move(socket));
    } else {
      Refuse(std::move(socket));
    }
    Accept();
  }

  // Out of descriptors or memory: the connection stays in the backlog until some are free again.
  void OnAcceptError(const boost::system::error_code& error) {
    if (error == asio::error::connection_aborted) return Accept();
    Log(LogLevel::kWarning, "cannot accept a connection", {{"error", error.message()}});
    pause_->expires_after(kAcceptPause);
    pause_->async_wait([this](const boost::system::error_code&) { Accept(); });
  }

  void Serve(IoThread* thread, tcp::socket socket) {
    auto shared_socket = std::make_shared<tcp::socket>(std::move(socket));  // a posted task must be copyable
    asio::post(thread->context(), [this, thread, shared_socket] {
      std::make_shared<HttpSession>(std::move(*shared_socket), &shared_, &thread->sessions(), &thread->tasks())->Start();
    });
  }

  void Refuse(tcp::socket socket) {
    static constexpr std::string_view kAnswer =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nConnection: close\r\n"
        "Content-Length: 98\r\n\r\n"
        R"({"error":{"message":"too many connections are open","type":"overloaded","param":null,"code":503}} )";
    boost::system::error_code ignored;
    if (shared_.config.tls != nullptr) return;  // closed without a word: there is no key yet to say it with
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(kAnswer.data(), kAnswer.size()), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    // What the client has already sent must not turn the answer into a reset.
    char piece[4096];
    socket.read_some(asio::buffer(piece), ignored);
  }

  HttpShared shared_;
  std::vector<std::unique_ptr<IoThread>> threads_;
  std::unique_ptr<tcp::acceptor> acceptor_;
  std::unique_ptr<asio::steady_timer> pause_;
  size_t next_ = 0;
  uint16_t port_ = 0;
  bool started_ = false;
};

HttpServer::HttpServer(std::unique_ptr<HttpListener> listener) : listener_(std::move(listener)) {}
HttpServer::~HttpServer() = default;

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpConfig config, RouteTable routes) {
  auto listener = std::make_unique<HttpListener>(std::move(config), std::move(routes));
  if (absl::Status status = listener->Listen(); !status.ok()) return status;
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(listener)));
}

uint16_t HttpServer::port() const { return listener_->port(); }
void HttpServer::StopListening() { listener_->StopListening(); }
void HttpServer::SetApiKeys(std::vector<KeyHash> keys) { listener_->shared().keys.Replace(std::move(keys)); }
void HttpServer::SetTls(std::shared_ptr<TlsContext> tls) { listener_->shared().tls.Set(std::move(tls)); }
int HttpServer::Connections() const { return listener_->connections(); }

}  // namespace braid
