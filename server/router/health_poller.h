// Looks after the workers: what their names stand for, and how they are.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "server/router/routed_call.h"

namespace braid {

// Borrows the parts, whose io_context others run. Dies before it.
class HealthPoller {
 public:
  explicit HealthPoller(RouterParts* parts);
  ~HealthPoller();

 private:
  void Work();
  void Resolve();
  void Ask(const std::string& address);

  // Who has been asked and has not answered. Shared with the answers.
  struct Asked {
    std::mutex mutex;
    std::set<std::string> addresses;
  };

  RouterParts* const parts_;
  const std::shared_ptr<Asked> asked_;
  std::mutex mutex_;
  bool stop_ = false;
  std::condition_variable stopped_;
  std::thread thread_;
};

}  // namespace braid
