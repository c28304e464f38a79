#include "server/router/health_poller.h"

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "kernels/base/log.h"
#include "server/address.h"

namespace braid {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kMaxReport = 64 << 10;

// All addresses of "HOST:PORT"; empty when the name cannot be resolved.
std::vector<std::string> AddressesOfName(const std::string& name) {
  const absl::StatusOr<Address> address = ParseAddress(name);
  CHECK(address.ok()) << address.status();  // the configuration was checked
  boost::asio::io_context io;
  boost::system::error_code error;
  boost::asio::ip::tcp::resolver resolver(io);
  std::vector<std::string> addresses;
  for (const auto& entry : resolver.resolve(address->host, std::to_string(address->port), error)) {
    addresses.push_back(Address{entry.endpoint().address().to_string(), address->port}.ToText());
  }
  if (error) Log(LogLevel::kWarning, "a worker's name cannot be resolved", {{"name", name}, {"why", error.message()}});
  return addresses;
}

}  // namespace

HealthPoller::HealthPoller(RouterParts* parts)
    : parts_(parts), asked_(std::make_shared<Asked>()), thread_([this] { Work(); }) {}

HealthPoller::~HealthPoller() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_all();
  thread_.join();
}

void HealthPoller::Work() {
  auto next_resolve = steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!stop_) {
    lock.unlock();
    if (steady_clock::now() >= next_resolve) {
      Resolve();
      next_resolve = steady_clock::now() + milliseconds(parts_->config.resolve_ms);
    }
    for (const std::string& address : parts_->workers.Addresses()) Ask(address);
    lock.lock();
    stopped_.wait_for(lock, milliseconds(parts_->config.poll_ms), [this] { return stop_; });
  }
}

// A name that cannot be resolved for once keeps what it stood for.
void HealthPoller::Resolve() {
  const RouterConfig& config = parts_->config;
  std::vector<std::string> decode = config.workers;
  decode.insert(decode.end(), config.decode.begin(), config.decode.end());
  for (const auto& [pool, names] : {std::pair(Pool::kDecode, decode), std::pair(Pool::kPrefill, config.prefill)}) {
    std::vector<std::string> addresses;
    bool all = true;
    for (const std::string& name : names) {
      const std::vector<std::string> found = AddressesOfName(name);
      addresses.insert(addresses.end(), found.begin(), found.end());
      all &= !found.empty();
    }
    if (all || parts_->workers.Count(pool).known == 0) parts_->workers.SetAddresses(pool, addresses);
  }
}

void HealthPoller::Ask(const std::string& address) {
  {
    std::lock_guard lock(asked_->mutex);
    if (!asked_->addresses.insert(address).second) return;
  }
  auto body = std::make_shared<std::string>();
  auto status = std::make_shared<int>(0);
  HttpCallSink sink;
  sink.head = [status](HttpCallHead head) { *status = head.status; };
  sink.body = [body](std::string_view bytes) { body->append(bytes.substr(0, kMaxReport - std::min(kMaxReport, body->size()))); };
  sink.end = [asked = asked_, parts = parts_, address, body, status](absl::Status end) {
    const auto read = [&]() -> absl::StatusOr<WorkerReport> {
      if (!end.ok()) return end;
      if (*status != 200) return absl::UnavailableError(absl::StrCat(address, ": status ", *status));
      return ReadWorkerReport(*body);
    };
    parts->workers.OnReport(address, read());
    std::lock_guard lock(asked->mutex);
    asked->addresses.erase(address);
  };
  StartHttpCall(parts_->io, {.address = address, .target = "/worker", .whole_limit = milliseconds(parts_->config.answer_ms)}, std::move(sink));
}

}  // namespace braid
