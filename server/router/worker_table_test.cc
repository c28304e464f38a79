#include "server/router/worker_table.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

WorkerReport Report(int load = 0) { return {.ready = true, .grpc_port = 9, .hands_over = true, .takes_over = true, .load = load}; }

class WorkerTableTest : public ::testing::Test {
 protected:
  WorkerTableTest() {
    table_.SetAddresses(Pool::kDecode, {"1.1.1.1:1", "2.2.2.2:2"});
    table_.SetAddresses(Pool::kPrefill, {"3.3.3.3:3"});
    for (const std::string& address : table_.Addresses()) table_.OnReport(address, Report());
  }
  std::string Pick(Pool pool = Pool::kDecode, const std::string& prompt = "", const std::set<std::string>& excluded = {}) {
    const auto claim = table_.Pick(pool, prompt, excluded);
    return claim == nullptr ? "" : claim->address();
  }
  WorkerTable table_;
};

TEST_F(WorkerTableTest, TakesTheOneWithLeastToDo) {
  const auto first = table_.Pick(Pool::kDecode, "", {});
  const auto second = table_.Pick(Pool::kDecode, "", {});
  EXPECT_NE(first->address(), second->address());
  table_.OnReport(first->address(), Report(7));
  EXPECT_EQ(Pick(), second->address());
}

TEST_F(WorkerTableTest, TakesTurnsAmongEquals) {
  const std::string first = Pick(), second = Pick();
  EXPECT_NE(first, second);
  EXPECT_EQ(Pick(), first);
}

TEST_F(WorkerTableTest, KeepsBeginningsTogetherUnlessTheLoadSaysOtherwise) {
  const std::string document(1000, 'd');
  const std::string home = Pick(Pool::kDecode, document);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Pick(Pool::kDecode, document + std::to_string(i)), home);
  table_.OnReport(home, Report(5));
  EXPECT_NE(Pick(Pool::kDecode, document), home);
}

TEST_F(WorkerTableTest, TheIllAndTheExcludedAreNotTaken) {
  table_.OnFailure("1.1.1.1:1");
  EXPECT_EQ(Pick(), "2.2.2.2:2");
  EXPECT_EQ(Pick(Pool::kDecode, "", {"2.2.2.2:2"}), "");
  table_.OnReport("1.1.1.1:1", Report());
  EXPECT_EQ(Pick(Pool::kDecode, "", {"2.2.2.2:2"}), "1.1.1.1:1");
  WorkerReport loading = Report();
  loading.ready = false;
  table_.OnReport("1.1.1.1:1", loading);
  table_.OnReport("2.2.2.2:2", absl::UnavailableError("no answer"));
  EXPECT_EQ(Pick(), "");
  EXPECT_EQ(table_.Count(Pool::kDecode).healthy, 0);
}

TEST_F(WorkerTableTest, PromptsGoToWhoHandsOver) {
  const auto claim = table_.Pick(Pool::kPrefill, "", {});
  ASSERT_NE(claim, nullptr);
  EXPECT_EQ(claim->grpc_address(), "3.3.3.3:9");
  WorkerReport report = Report();
  report.hands_over = false;
  table_.OnReport("3.3.3.3:3", report);
  EXPECT_EQ(Pick(Pool::kPrefill), "");
}

TEST_F(WorkerTableTest, AddressesComeAndGo) {
  auto claim = table_.Pick(Pool::kDecode, "", {"2.2.2.2:2"});
  table_.SetAddresses(Pool::kDecode, {"2.2.2.2:2", "4.4.4.4:4"});
  EXPECT_EQ(Pick(), "2.2.2.2:2");  // the new one has not reported yet
  EXPECT_EQ(table_.Count(Pool::kDecode).known, 2);
  EXPECT_EQ(table_.Count(Pool::kDecode).in_flight, 1);
  claim.reset();
  table_.OnReport("4.4.4.4:4", Report());
  EXPECT_EQ(Pick(), "4.4.4.4:4");
  EXPECT_EQ(table_.Count(Pool::kPrefill).known, 1);
}

TEST_F(WorkerTableTest, ItIsToldWhenAWorkerIsLost) {
  int lost = 0;
  auto claim = table_.Pick(Pool::kDecode, "", {"2.2.2.2:2"});
  claim->Watch([&] { ++lost; });
  const auto silence = [&] { table_.OnReport("1.1.1.1:1", absl::DeadlineExceededError("silence")); };
  for (int i = 1; i < WorkerTable::kLostAfter; ++i) silence();
  table_.OnReport("1.1.1.1:1", Report());
  for (int i = 1; i < WorkerTable::kLostAfter; ++i) silence();
  EXPECT_EQ(lost, 0);
  silence();
  EXPECT_EQ(lost, 1);
  silence();
  EXPECT_EQ(lost, 1);
  table_.OnReport("1.1.1.1:1", Report());
  claim.reset();
  for (int i = 0; i < 9; ++i) silence();
  EXPECT_EQ(lost, 1);
}

TEST(WorkerReport, IsReadWithChecks) {
  const auto good = ReadWorkerReport(R"({"ready":true,"grpc_port":5,"hands_over":true,"takes_over":false,"running":2,"waiting":3})");
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->load, 5);
  EXPECT_EQ(good->grpc_port, 5);
  EXPECT_TRUE(good->hands_over);
  EXPECT_FALSE(ReadWorkerReport(R"({"ready":false,"grpc_port":-1})")->ready);
  for (const char* bad : {"", "[]", "{}", R"({"ready":true,"grpc_port":70000,"running":0,"waiting":0})",
                          R"({"ready":true,"grpc_port":1,"running":-1,"waiting":0})", R"({"ready":true,"grpc_port":1,"running":0})",
                          R"({"ready":true,"grpc_port":1,"running":1e300,"waiting":0})"}) {
    EXPECT_FALSE(ReadWorkerReport(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace braid
