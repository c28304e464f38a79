#include "server/openai/response_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/serving.h"

namespace braid {
namespace {

class CountedCall : public ApiCall {
 public:
  void Cancel() override { ++cancels; }
  std::atomic<int> cancels{0};
};

std::string Items(const std::string& id) { return absl::StrCat(R"([{"type":"message","id":"in_)", id, R"("}])"); }
std::string Answer(const std::string& id, size_t padding = 0) {
  return absl::StrCat(R"({"id":")", id, R"(","status":"completed","output":[{"type":"message","id":"out_)", id, R"("}],"x":")",
                      std::string(padding, 'x'), "\"}");
}

class ResponseStoreTest : public testing::Test {
 protected:
  void Keep(const std::string& owner, const std::string& id, Conversation earlier = {}, size_t padding = 0) {
    store.Keep({.id = id, .owner = owner, .earlier = std::move(earlier), .input = Items(id)}, "completed", Answer(id, padding));
  }
  absl::Status Begin(const std::string& id) {
    return store.Begin({.id = id, .owner = "a", .input = Items(id)}, R"({"status":"queued","output":[]})", call);
  }
  bool Has(const std::string& id) { return store.Find("a", id).ok(); }

  FakeClock clock;
  ResponseStore store{{.max_count = 4, .max_bytes = 100'000, .max_idle_ms = 1000}, &clock};
  std::shared_ptr<CountedCall> call = std::make_shared<CountedCall>();
};

TEST_F(ResponseStoreTest, EachOwnerSeesItsOwnOnly) {
  Keep("a", "r");
  EXPECT_EQ(*store.Find("a", "r"), Answer("r"));
  const absl::Status foreign = store.Find("b", "r").status(), unknown = ResponseStore({}, &clock).Find("b", "r").status();
  EXPECT_TRUE(absl::IsNotFound(foreign));
  EXPECT_EQ(foreign, unknown);
  EXPECT_EQ(store.GoOn("b", "r").status(), unknown);
  EXPECT_EQ(store.InputItems("b", "r").status(), unknown);
  EXPECT_EQ(store.Cancel("b", "r").status(), unknown);
  EXPECT_EQ(store.Delete("b", "r"), unknown);
  EXPECT_TRUE(Has("r"));
}

TEST_F(ResponseStoreTest, ConversationsOutliveTheResponsesTheyWentOnFrom) {
  Keep("a", "1");
  Keep("a", "2", *store.GoOn("a", "1"));
  EXPECT_TRUE(store.Delete("a", "1").ok());
  EXPECT_FALSE(Has("1"));
  Keep("a", "3", *store.GoOn("a", "2"));
  std::vector<std::string> ids;
  for (const Json& item : ItemsOf(*store.GoOn("a", "3"))) ids.push_back(item["id"]);
  EXPECT_EQ(ids, (std::vector<std::string>{"in_1", "out_1", "in_2", "out_2", "in_3", "out_3"}));
  ids.clear();
  const Json given = *store.InputItems("a", "2");
  for (const Json& item : given) ids.push_back(item["id"]);
  EXPECT_EQ(ids, (std::vector<std::string>{"in_1", "out_1", "in_2"}));
}

TEST_F(ResponseStoreTest, TheLeastRecentlyUsedGoesFirst) {
  for (const char* id : {"1", "2", "3", "4"}) Keep("a", id);
  EXPECT_TRUE(Has("1"));
  Keep("a", "5");
  EXPECT_FALSE(Has("2"));
  EXPECT_TRUE(Has("1"));
  EXPECT_EQ(store.Stats().responses, 4);
  EXPECT_EQ(store.Stats().evicted_for_space, 1u);
}

TEST_F(ResponseStoreTest, BytesAreBoundedAndSharedTurnsCountOnce) {
  Keep("a", "1", {}, 40'000);
  const int64_t one = store.Stats().bytes;
  EXPECT_GT(one, 40'000);
  Keep("a", "2", *store.GoOn("a", "1"), 100);
  EXPECT_LT(store.Stats().bytes, one + 3000);
  EXPECT_TRUE(store.Delete("a", "1").ok());
  EXPECT_GT(store.Stats().bytes, 40'000) << "the second holds the first's turn";
  Keep("a", "3", {}, 60'000);
  EXPECT_FALSE(Has("2"));
  EXPECT_TRUE(Has("3"));
  Keep("a", "4", {}, 200'000);  // larger than all
  EXPECT_FALSE(Has("4"));
  EXPECT_TRUE(Has("3"));
  EXPECT_TRUE(store.Delete("a", "3").ok());
  EXPECT_EQ(store.Stats().bytes, 0);
  EXPECT_EQ(store.Stats().evicted_for_space, 2u);
}

TEST_F(ResponseStoreTest, WhatIsNotUsedIsForgotten) {
  Keep("a", "1");
  Keep("a", "2");
  clock.AdvanceNs(900'000'000);
  EXPECT_TRUE(Has("1"));
  clock.AdvanceNs(900'000'000);
  EXPECT_FALSE(Has("2"));
  EXPECT_TRUE(Has("1"));
  clock.AdvanceNs(2'000'000'000);
  EXPECT_EQ(store.Stats().responses, 0);
  EXPECT_EQ(store.Stats().bytes, 0);
  EXPECT_EQ(store.Stats().evicted_by_age, 2u);
}

TEST_F(ResponseStoreTest, WhatRunsIsSettledOnce) {
  ASSERT_TRUE(Begin("1").ok());
  EXPECT_TRUE(absl::StrContains(store.GoOn("a", "1").status().message(), "queued"));
  store.Update("1", "in_progress", R"({"status":"in_progress"})");
  EXPECT_EQ(*store.Find("a", "1"), R"({"status":"in_progress"})");
  store.Update("1", "completed", Answer("1"));
  store.Update("1", "failed", "{}");
  EXPECT_EQ(*store.Find("a", "1"), Answer("1"));
  EXPECT_TRUE(store.GoOn("a", "1").ok());
  EXPECT_EQ(*store.Cancel("a", "1"), Answer("1"));
  EXPECT_EQ(call->cancels, 0);
  EXPECT_EQ(call.use_count(), 1);
}

TEST_F(ResponseStoreTest, CancellingAndDeletingEndTheCall) {
  ASSERT_TRUE(Begin("1").ok());
  ASSERT_TRUE(Begin("2").ok());
  Keep("a", "3");
  EXPECT_EQ(*store.Cancel("a", "1"), R"({"status":"cancelled","output":[]})");
  EXPECT_EQ(*store.Cancel("a", "1"), R"({"status":"cancelled","output":[]})");
  EXPECT_EQ(call->cancels, 1);
  store.Update("1", "completed", Answer("1"));
  EXPECT_TRUE(absl::StrContains(store.GoOn("a", "1").status().message(), "cancelled"));
  EXPECT_TRUE(store.Delete("a", "2").ok());
  EXPECT_EQ(call->cancels, 2);
  store.Update("2", "completed", Answer("2"));
  EXPECT_FALSE(Has("2"));
  EXPECT_TRUE(absl::IsInvalidArgument(store.Cancel("a", "3").status()));
}

TEST_F(ResponseStoreTest, WhatRunsIsNotEvicted) {
  for (const char* id : {"1", "2", "3", "4"}) ASSERT_TRUE(Begin(id).ok());
  EXPECT_TRUE(absl::IsUnavailable(Begin("5")));
  Keep("a", "6");
  EXPECT_FALSE(Has("6")) << "there is no room";
  clock.AdvanceNs(5'000'000'000);
  EXPECT_EQ(store.Stats().responses, 4);
  store.Update("1", "completed", Answer("1"));
  EXPECT_TRUE(Begin("5").ok());
  EXPECT_FALSE(Has("1"));
}

TEST_F(ResponseStoreTest, ManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 500; ++i) {
        const std::string id = absl::StrCat(i % 7);
        auto earlier = store.GoOn("a", id);
        if (t % 2 == 0) Keep("a", absl::StrCat(t, "-", i), earlier.ok() && earlier->size() < 5 ? *earlier : Conversation());
        if (t % 2 == 1 && !Has(id)) (void)Begin(absl::StrCat(t, "_", id));
        if (i % 3 == 0) store.Update(absl::StrCat(t, "_", id), "completed", Answer(id));
        if (i % 5 == 0) store.Delete("a", absl::StrCat(t, "_", id)).IgnoreError();
        EXPECT_LE(store.Stats().responses, 4);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(store.Stats().bytes, 100'000);
}

}  // namespace
}  // namespace braid
