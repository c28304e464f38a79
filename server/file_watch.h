// Notices when files change while the daemon runs: certificates and keys are renewed without a restart.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace braid {

// Compares contents, not times: a link that is turned to another folder counts, a touched file does not.
// Thread: any; the callbacks are called on one thread of its own, so that a slow file system holds up nobody else.
class FileWatch {
 public:
  explicit FileWatch(std::chrono::milliseconds interval) : interval_(interval) {}
  // No callback is under way or comes after it.
  ~FileWatch();

  // `changed` is called after one or more of the files hold something else than at the last look. Before Start.
  void Add(std::vector<std::string> paths, std::function<void()> changed);

  void Start();

 private:
  struct Watched {
    std::vector<std::string> paths;
    std::function<void()> changed;
    std::vector<std::string> contents;
  };
  void Run();

  const std::chrono::milliseconds interval_;
  std::vector<Watched> watched_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace braid
