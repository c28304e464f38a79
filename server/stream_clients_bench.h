// Clients of host_bench: many streams on one thread that looks at what comes no closer than it must.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/clock.h"
#include "kernels/base/errors.h"

namespace braid {

// When the tokens of streams went. One thread adds, one reads what has reached it by way of the stream.
class EmissionTimes {
 public:
  EmissionTimes(int streams, int tokens)
      : tokens_(tokens), added_(streams), ns_(std::make_unique<std::atomic<int64_t>[]>(static_cast<size_t>(streams) * tokens)) {}
  void Add(uint64_t stream, int64_t ns) { ns_[stream * tokens_ + added_[stream]++] = ns; }
  int64_t Of(size_t stream, int token) const { return ns_[stream * tokens_ + token]; }

 private:
  const size_t tokens_;
  std::vector<size_t> added_;
  const std::unique_ptr<std::atomic<int64_t>[]> ns_;
};

// Thread: the one that made it.
class StreamClients {
 public:
  struct Load {
    int requests = 0;  // of all connections; each sends its next when the one before is answered
    int tokens = 0;    // of each answer
    const EmissionTimes* emitted = nullptr;  // null: latencies are not wanted. Else one request a connection
  };

  StreamClients(uint16_t port, int connections) : epoll_(epoll_create1(0)), streams_(connections) {
    for (size_t i = 0; i < streams_.size(); ++i) {
      streams_[i].fd = Connect(port);
      epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
      CHECK_EQ(epoll_ctl(epoll_, EPOLL_CTL_ADD, streams_[i].fd, &event), 0);
    }
  }
  ~StreamClients() {
    for (const Stream& stream : streams_) close(stream.fd);
    close(epoll_);
  }
  StreamClients(const StreamClients&) = delete;

  // Returns how many seconds it took. Every answer has exactly the tokens asked for.
  double Run(const Load& load) {
    load_ = load;
    sent_ = answered_ = 0;
    const double start = clock_.NowSeconds();
    for (size_t i = 0; i < streams_.size() && sent_ < load_.requests; ++i) Send(i);
    epoll_event events[256];
    while (answered_ < load_.requests) {
      const int count = epoll_wait(epoll_, events, 256, 10'000);
      CHECK_GT(count, 0) << "nothing came for ten seconds; " << streams_[0].events << " events of the first stream have";
      for (int i = 0; i < count; ++i) Read(events[i].data.u64);
    }
    return clock_.NowSeconds() - start;
  }

  // Of the tokens that went once every stream had its first, from going to being read here.
  std::vector<double> LatencyMs() const {
    std::vector<double> out;
    for (const Arrival& arrival : arrivals_) {
      if (arrival.emitted_ns > all_run_ns_) out.push_back(1e-6 * static_cast<double>(arrival.read_ns - arrival.emitted_ns));
    }
    return out;
  }

 private:
  struct Stream {
    int fd = -1;
    int events = 0;       // that have come of the answer under way: one opens it, one a token, [DONE]
    char tail[5] = {};    // last bytes read
  };
  struct Arrival {
    int64_t emitted_ns, read_ns;
  };

  static int Connect(uint16_t port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << strerror(errno);
    return fd;
  }

  void Send(size_t i) {
    const std::string body =
        absl::StrCat(R"({"messages":[{"role":"user","content":"Say something about number )", sent_,
                     R"(."}],"stream":true,"max_tokens":)", load_.tokens, R"(,"seed":)", i, "}");
    const std::string request = absl::StrCat("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n",
                                             "Content-Length: ", body.size(), "\r\n\r\n", body);
    CHECK_EQ(send(streams_[i].fd, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    streams_[i].events = 0;
    ++sent_;
  }

  // An event ends with two line feeds, which stand nowhere else; the answer ends with an empty chunk.
  void Read(size_t i) {
    Stream& stream = streams_[i];
    const ssize_t count = recv(stream.fd, buffer_, sizeof buffer_, MSG_DONTWAIT);
    CHECK_GT(count, 0) << "the server closed a connection";
    const char* const end = buffer_ + count;
    for (const char* at = buffer_; (at = static_cast<const char*>(std::memchr(at, '\n', end - at))) != nullptr; ++at) {
      if ((at > buffer_ ? at[-1] : stream.tail[4]) == '\n') OnEvent(i);
    }
    const size_t fresh = std::min<size_t>(count, sizeof stream.tail);
    std::memmove(stream.tail, stream.tail + fresh, sizeof stream.tail - fresh);
    std::memcpy(stream.tail + sizeof stream.tail - fresh, end - fresh, fresh);
    if (stream.events < load_.tokens + 2 || std::memcmp(stream.tail, "0\r\n\r\n", 5) != 0) return;
    CHECK_EQ(stream.events, load_.tokens + 2);
    ++answered_;
    if (sent_ < load_.requests) Send(i);
  }

  void OnEvent(size_t i) {
    const int token = streams_[i].events++ - 1;
    if (load_.emitted == nullptr || token < 0 || token >= load_.tokens) return;
    arrivals_.push_back({load_.emitted->Of(i, token), clock_.NowNs()});
    if (token == 0 && ++begun_ == streams_.size()) all_run_ns_ = arrivals_.back().read_ns;
  }

  const SteadyClock clock_;
  const int epoll_;
  std::vector<Stream> streams_;
  Load load_;
  int sent_ = 0, answered_ = 0;
  size_t begun_ = 0;  // streams
  int64_t all_run_ns_ = 0;
  std::vector<Arrival> arrivals_;
  char buffer_[1 << 16];
};

}  // namespace braid
