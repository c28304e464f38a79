#include "kernels/cpu_backend.h"

#include <atomic>

#include "kernels/testing/op_test.h"

namespace braid {
namespace {

TEST(CpuBackend, NamesInstructionSetAndThreads) {
  testing::ForEachIsa([](const std::string& isa) {
    EXPECT_EQ(testing::MakeCpu(isa, 2)->Name(), absl::StrCat("cpu-", isa));
  });
}

TEST(CpuBackend, AutoTakesTheBest) {
  if (CpuIsas().empty()) GTEST_SKIP() << "this machine lacks avx2";
  EXPECT_EQ(testing::MakeCpu("auto", 1)->Name(), absl::StrCat("cpu-", CpuIsas().back()));
}

TEST(CpuBackend, RefusesUnknownInstructionSetsAndListsItsOwn) {
  const auto backend = MakeCpuBackend("mmx", 1, false);
  ASSERT_EQ(backend.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(backend.status().message().find("\"mmx\""), std::string::npos);
  for (const std::string& isa : CpuIsas()) EXPECT_NE(backend.status().message().find(isa), std::string::npos);
}

TEST(CpuBackend, RefusesThreadCountsOutOfRange) {
  for (int threads : {-1, 0, 5000}) {
    const auto backend = MakeCpuBackend("auto", threads, false);
    EXPECT_EQ(backend.status().code(), absl::StatusCode::kInvalidArgument) << threads;
  }
}

TEST(CpuBackend, WalksOnEveryMemberOverTheSameStepMemory) {
  if (CpuIsas().empty()) GTEST_SKIP() << "this machine lacks avx2";
  const auto backend = testing::MakeCpu("auto", 3);
  const auto walk = [](Ops& ops) { ops.scratch().Matrix(10, 16); };
  EXPECT_EQ(backend->MeasureScratch(walk), 640u);
  ASSERT_TRUE(backend->ReserveScratch(640).ok());
  std::atomic<int> members{0};
  std::atomic<float*> place{nullptr};
  backend->Run([&](Ops& ops) {
    float* const data = ops.scratch().Matrix(10, 16).f32(), *expected = nullptr;
    if (!place.compare_exchange_strong(expected, data)) {
      EXPECT_EQ(expected, data);
    }
    ++members;
  });
  EXPECT_EQ(members, 3);
}

}  // namespace
}  // namespace braid
