#include "models/weights/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "models/weights/regular_file.h"
#include "models/weights/test_files.h"

namespace braid {
namespace {

using ::testing::HasSubstr;

TEST(MappedFile, HoldsTheBytesAlsoAfterRelease) {
  const TestFolder folder;
  const std::string path = folder.Write("file", absl::StrCat(std::string(10'000, 'x'), "end"));
  const auto file = MappedFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ((*file)->bytes().size(), 10'003u);
  (*file)->Release(5'000, 5'003);
  EXPECT_EQ((*file)->bytes()[10'002], std::byte{'d'});
}

TEST(MappedFile, AnEmptyFileHasNoBytes) {
  const TestFolder folder;
  const auto file = MappedFile::Open(folder.Write("file", ""));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE((*file)->bytes().empty());
}

TEST(MappedFile, FollowsLinks) {
  const TestFolder folder;
  const std::string path = folder.Write("file", "abc");
  ASSERT_EQ(symlink(path.c_str(), folder.Path("link").c_str()), 0);
  EXPECT_TRUE(MappedFile::Open(folder.Path("link")).ok());
}

TEST(MappedFile, RefusesWhatIsNoRegularFile) {
  const TestFolder folder;
  ASSERT_EQ(mkfifo(folder.Path("fifo").c_str(), 0600), 0);
  ASSERT_EQ(symlink(folder.Path("fifo").c_str(), folder.Path("link").c_str()), 0);
  for (const std::string& path : {folder.Path("fifo"), folder.Path("link"), folder.path(), std::string("/dev/null")}) {
    const auto file = MappedFile::Open(path);
    ASSERT_FALSE(file.ok()) << path;
    EXPECT_THAT(file.status().message(), HasSubstr("want a regular file"));
    EXPECT_THAT(file.status().message(), HasSubstr(path));
  }
  EXPECT_TRUE(absl::IsNotFound(MappedFile::Open(folder.Path("absent")).status()));
}

TEST(MappedFile, TruncatedWhileMappedEndsWithOneLineAndExit72) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const TestFolder folder;
  const std::string path = folder.Write("weights", std::string(20'000, 'x'));
  EXPECT_EXIT(
      {
        InstallTruncationGuard();
        const auto file = MappedFile::Open(path);
        if (truncate(path.c_str(), 100) != 0) _exit(1);
        volatile std::byte last = (*file)->bytes()[19'999];
        (void)last;
        _exit(0);
      },
      testing::ExitedWithCode(kTruncatedFileExit), "error: .*weights: data: was truncated");
}

TEST(MappedFile, GuardLeavesOtherBusErrorsAlone) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        InstallTruncationGuard();
        raise(SIGBUS);
        raise(SIGBUS);
        _exit(0);
      },
      testing::KilledBySignal(SIGBUS), "");
}

TEST(ReadWholeFile, RefusesAFileOverTheLimit) {
  const TestFolder folder;
  const std::string path = folder.Write("file", "12345");
  EXPECT_EQ(*ReadWholeFile(path, 5), "12345");
  EXPECT_FALSE(ReadWholeFile(path, 4).ok());
}

}  // namespace
}  // namespace braid
