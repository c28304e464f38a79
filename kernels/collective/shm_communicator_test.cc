#include "kernels/collective/shm_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <random>
#include <thread>

#include "kernels/collective/solo_communicator.h"

namespace braid {
namespace {

using ::testing::HasSubstr;

// A segment that closes itself.
class SegmentFd {
 public:
  explicit SegmentFd(int ranks, size_t slot_bytes = 256) : fd_(*MakeRankSegment(ranks, slot_bytes)) {}
  ~SegmentFd() { close(fd_); }
  std::unique_ptr<ShmCommunicator> Join(int rank) const { return *ShmCommunicator::Join(fd_, rank); }
  int fd() const { return fd_; }

 private:
  const int fd_;
};

// Each rank as a thread with a team of `members`.
void RunThreads(int ranks, int members, const std::function<void(Communicator&, Team&)>& body) {
  const SegmentFd segment(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      const auto communicator = segment.Join(rank);
      Team team(members, false);
      body(*communicator, team);
      EXPECT_TRUE(communicator->status().ok()) << communicator->status();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// What rank `rank` brings to call `call`.
std::vector<float> Part(int rank, int call, int64_t count) {
  std::mt19937 random(static_cast<uint32_t>(1000 * call + rank));
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = std::normal_distribution<float>()(random);
  return values;
}

std::vector<float> SumInOrder(int ranks, int call, int64_t count, const std::vector<float>& onto) {
  std::vector<float> sum = Part(0, call, count);
  for (int rank = 1; rank < ranks; ++rank) {
    const std::vector<float> part = Part(rank, call, count);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
  }
  for (size_t i = 0; i < onto.size(); ++i) sum[i] = onto[i] + sum[i];
  return sum;
}

// Calls of every size around a slot's 64 floats; the first wrong one, or -1.
int FirstWrongSum(Communicator& communicator, Team& team, int calls) {
  const int ranks = communicator.place().size;
  for (int call = 0; call < calls; ++call) {
    const int64_t rows = 1 + call % 3, cols = 1 + 17 * call % 90, count = rows * cols;
    const bool add = call % 2 == 1;
    std::vector<float> x = Part(communicator.place().rank, call, count);
    std::vector<float> y = add ? Part(-1, call, count) : x;
    const std::vector<float> wanted = SumInOrder(ranks, call, count, add ? y : std::vector<float>());
    const TensorView into = TensorView::Of(y.data(), rows, cols);
    const AllReduceArgs args{.x = add ? TensorView::Of(x.data(), rows, cols) : into, .y = into, .add = add};
    team.Run([&](const Share& share) { communicator.AllReduce(args, share); });
    if (y != wanted) return call;
  }
  return -1;
}

TEST(ShmCommunicator, AllReduceSumsInTheOrderOfRanksForThreads) {
  for (int ranks : {1, 2, 3, 4}) {
    for (int members : {1, 2}) {
      RunThreads(ranks, members, [&](Communicator& communicator, Team& team) {
        EXPECT_EQ(FirstWrongSum(communicator, team, 60), -1) << ranks << " ranks of " << members;
      });
    }
  }
}

TEST(ShmCommunicator, AllReduceSumsInTheOrderOfRanksForProcesses) {
  const SegmentFd segment(4);
  std::vector<pid_t> children;
  for (int rank = 1; rank < 4; ++rank) {
    children.push_back(fork());
    if (children.back() == 0) {
      const auto communicator = segment.Join(rank);
      Team alone(1, false);
      _exit(FirstWrongSum(*communicator, alone, 500) == -1 ? 0 : 1);
    }
  }
  const auto communicator = segment.Join(0);
  Team alone(1, false);
  EXPECT_EQ(FirstWrongSum(*communicator, alone, 500), -1);
  for (const pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

TEST(ShmCommunicator, AllGatherFillsInUnevenColumnsOfStridedRows) {
  const std::vector<int64_t> borders = {0, 100, 101, 190};  // more than a slot's 64, one, more
  for (const bool to_first_only : {false, true}) {
    RunThreads(3, 2, [&](Communicator& communicator, Team& team) {
      const int rank = communicator.place().rank;
      for (int64_t rows : {1, 2, 5}) {
        std::vector<float> memory(static_cast<size_t>(rows * 200), -1.0f);
        const TensorView y = TensorView::Of(memory.data(), rows, 200).Columns(3, 190);
        const auto value = [](int64_t t, int64_t c) { return static_cast<float>(1000 * t + c); };
        for (int64_t t = 0; t < rows; ++t) {
          for (int64_t c = borders[rank]; c < borders[rank + 1]; ++c) y.row(t)[c] = value(t, c);
        }
        team.Run([&](const Share& share) { communicator.AllGather({y, borders, to_first_only}, share); });
        for (int64_t t = 0; t < rows; ++t) {
          for (int64_t c = 0; c < 190; ++c) {
            const bool has = rank == 0 || !to_first_only || (c >= borders[rank] && c < borders[rank + 1]);
            ASSERT_EQ(y.row(t)[c], has ? value(t, c) : -1.0f) << rank << " " << t << " " << c;
          }
          ASSERT_EQ(memory[static_cast<size_t>(200 * t + 2)], -1.0f);
          ASSERT_EQ(memory[static_cast<size_t>(200 * t + 193)], -1.0f);
        }
      }
    });
  }
}

TEST(ShmCommunicator, BroadcastBringsTheBytesOfTheFirst) {
  RunThreads(3, 1, [](Communicator& communicator, Team&) {
    for (const size_t size : {0u, 1u, 256u, 257u, 5000u}) {
      std::vector<std::byte> bytes(size, static_cast<std::byte>(communicator.place().rank == 0 ? 7 : 0));
      communicator.Broadcast(bytes);
      EXPECT_EQ(bytes, std::vector<std::byte>(size, std::byte{7}));
    }
  });
}

TEST(ShmCommunicator, TellsOfAPeerWhoseProcessIsKilled) {
  const SegmentFd segment(3);
  std::vector<pid_t> children;
  for (int rank = 1; rank < 3; ++rank) {
    children.push_back(fork());
    if (children.back() == 0) {
      const auto communicator = segment.Join(rank);
      Team alone(1, false);
      if (FirstWrongSum(*communicator, alone, 20) != -1) _exit(2);
      if (rank == 2) pause();
      FirstWrongSum(*communicator, alone, 1);  // waits for rank 2, in vain
      _exit(absl::IsUnavailable(communicator->status()) ? 0 : 3);
    }
  }
  const auto communicator = segment.Join(0);
  Team alone(1, false);
  ASSERT_EQ(FirstWrongSum(*communicator, alone, 20), -1);
  EXPECT_TRUE(communicator->status().ok());
  kill(children[1], SIGKILL);
  FirstWrongSum(*communicator, alone, 3);  // returns
  EXPECT_TRUE(absl::IsUnavailable(communicator->status()));
  EXPECT_THAT(std::string(communicator->status().message()),
              HasSubstr(absl::StrCat("rank 2 of 3 (process ", children[1], ") has ended")));
  int status = -1;
  waitpid(children[0], &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "the other peer noticed too";
  waitpid(children[1], &status, 0);
}

TEST(ShmCommunicator, ARankSaidToBeLostWakesTheWaiting) {
  const SegmentFd segment(2);
  const auto first = segment.Join(0), teller = segment.Join(1);
  std::thread waits([&] {
    std::byte byte{};
    first->Broadcast({&byte, 1});
  });
  teller->MarkLost(1);
  waits.join();
  EXPECT_TRUE(absl::IsUnavailable(first->status()));
  EXPECT_TRUE(absl::IsUnavailable(teller->status()));
}

TEST(ShmCommunicator, RefusesWhatIsNoSegmentAndNoRankOfIt) {
  const SegmentFd segment(2);
  EXPECT_TRUE(absl::IsInvalidArgument(ShmCommunicator::Join(segment.fd(), 2).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ShmCommunicator::Join(segment.fd(), -1).status()));
  FILE* const other = std::tmpfile();
  ASSERT_EQ(ftruncate(fileno(other), 8192), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(ShmCommunicator::Join(fileno(other), 0).status()));
  std::fclose(other);
}

TEST(SoloCommunicator, AddsItsOwnPart) {
  SoloCommunicator solo;
  std::vector<float> x = {1, 2}, y = {10, 20};
  solo.AllReduce({TensorView::Of(x.data(), 1, 2), TensorView::Of(y.data(), 1, 2), true}, Share{});
  EXPECT_EQ(y, (std::vector<float>{11, 22}));
}

}  // namespace
}  // namespace braid
