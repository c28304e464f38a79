#include "server/file_watch.h"

#include <utility>

#include "models/weights/regular_file.h"

namespace braid {
namespace {

constexpr int64_t kMaxBytes = 8 << 20;

// What cannot be read counts as empty.
std::vector<std::string> ContentsOf(const std::vector<std::string>& paths) {
  std::vector<std::string> contents;
  for (const std::string& path : paths) contents.push_back(ReadWholeFile(path, kMaxBytes).value_or(""));
  return contents;
}

}  // namespace

FileWatch::~FileWatch() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void FileWatch::Add(std::vector<std::string> paths, std::function<void()> changed) {
  std::vector<std::string> contents = ContentsOf(paths);
  watched_.push_back({std::move(paths), std::move(changed), std::move(contents)});
}

void FileWatch::Start() {
  if (!watched_.empty()) thread_ = std::thread([this] { Run(); });
}

void FileWatch::Run() {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, interval_, [this] { return stopping_; })) {
    lock.unlock();
    for (Watched& one : watched_) {
      std::vector<std::string> now = ContentsOf(one.paths);
      if (now == one.contents) continue;
      one.contents = std::move(now);
      one.changed();
    }
    lock.lock();
  }
}

}  // namespace braid
