#include "scheduler/sequence.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

SequenceArrival Arrival() {
  return {.id = 1, .prompt = {10, 11}, .max_tokens = 4, .min_tokens = 2, .stop_token_ids = {9, 3}};
}

TEST(Sequence, StopIdEndsItButNotBeforeMinTokens) {
  Sequence sequence(Arrival(), {}, 6);
  EndReason reason;
  EXPECT_FALSE(sequence.Append(9, &reason));
  EXPECT_TRUE(sequence.Append(3, &reason));
  EXPECT_EQ(reason, EndReason::kStop);
}

TEST(Sequence, MaxLengthEndsIt) {
  Sequence sequence(Arrival(), {}, 4);
  EndReason reason;
  EXPECT_FALSE(sequence.Append(1, &reason));
  EXPECT_TRUE(sequence.Append(2, &reason));
  EXPECT_EQ(reason, EndReason::kLength);
}

TEST(Sequence, StopIdAtMaxLengthIsAStop) {
  Sequence sequence(Arrival(), {}, 4);
  EndReason reason;
  sequence.Append(1, &reason);
  EXPECT_TRUE(sequence.Append(9, &reason));
  EXPECT_EQ(reason, EndReason::kStop);
}

TEST(Sequence, TokensInFlightMayFillIt) {
  Sequence sequence(Arrival(), {}, 4);
  sequence.num_in_flight = 1;
  EXPECT_FALSE(sequence.full());
  sequence.num_in_flight = 2;
  EXPECT_TRUE(sequence.full());
}

}  // namespace
}  // namespace braid
