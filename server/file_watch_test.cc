#include "server/file_watch.h"

#include <atomic>
#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"

namespace braid {
namespace {

namespace fs = std::filesystem;

class FileWatchTest : public testing::Test {
 protected:
  FileWatchTest() : folder_(fs::path(testing::TempDir()) / "braid_file_watch_test") {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~FileWatchTest() override { fs::remove_all(folder_); }

  std::string Write(const char* name, const char* text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  bool Soon(int calls) {
    for (int i = 0; i < 500 && calls_ < calls; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return calls_ == calls;
  }

  const fs::path folder_;
  std::atomic<int> calls_{0};
};

TEST_F(FileWatchTest, CallsOnceForEachChangeOfContents) {
  FileWatch watch(std::chrono::milliseconds(10));
  watch.Add({Write("a", "1"), Write("b", "1")}, [this] { ++calls_; });
  watch.Start();
  fs::last_write_time(folder_ / "a", fs::file_time_type::clock::now());
  EXPECT_TRUE(Soon(0));
  Write("c", "2");
  fs::rename(folder_ / "c", folder_ / "b");
  EXPECT_TRUE(Soon(1));
  fs::remove(folder_ / "a");
  EXPECT_TRUE(Soon(2));
}

// The way in which Kubernetes renews a mounted secret.
TEST_F(FileWatchTest, SeesALinkThatIsTurned) {
  fs::create_directories(folder_ / "v1");
  fs::create_directories(folder_ / "v2");
  Write("v1/key", "1");
  Write("v2/key", "2");
  fs::create_symlink("v1", folder_ / "now");
  FileWatch watch(std::chrono::milliseconds(10));
  watch.Add({folder_ / "now" / "key"}, [this] { ++calls_; });
  watch.Start();
  fs::create_symlink("v2", folder_ / "next");
  fs::rename(folder_ / "next", folder_ / "now");
  EXPECT_TRUE(Soon(1));
}

TEST_F(FileWatchTest, EndsAtOnce) {
  const auto begun = std::chrono::steady_clock::now();
  {
    FileWatch watch(std::chrono::hours(1));
    watch.Add({Write("a", "1")}, [] {});
    watch.Start();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
}

}  // namespace
}  // namespace braid
