#include "models/tokenizer/text_stream.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "kernels/base/errors.h"
#include "models/tokenizer/unicode.h"

namespace braid {
namespace {

// One token a byte: 'a' is the token of byte 'a', and so on; 256 is the special token <end>.
std::unique_ptr<Tokenizer> ByteTokenizer() {
  GgufVocabulary v;
  v.model = "llama";
  v.add_space_prefix = false;
  for (int b = 0; b < 256; ++b) {
    constexpr char kHex[] = "0123456789ABCDEF";
    v.tokens.push_back(std::string("<0x") + kHex[b >> 4] + kHex[b & 15] + ">");
    v.token_types.push_back(6);
  }
  v.tokens.push_back("<end>");
  v.token_types.push_back(3);
  for (const char* piece : {"a", "b", "c", "ab", "cab", "\u00E9", "\u2581"}) {
    v.tokens.push_back(piece);
    v.token_types.push_back(1);
  }
  v.scores.assign(v.tokens.size(), 0);
  auto tokenizer = Tokenizer::FromGguf(v);
  CHECK(tokenizer.ok()) << tokenizer.status().ToString();
  return *std::move(tokenizer);
}

struct Streamed {
  std::vector<std::string> chunks;
  std::string finish;
  std::optional<std::string> stop;
};

Streamed Stream(const std::vector<std::string>& tokens, std::vector<std::string> stops, bool include = false) {
  const auto tokenizer = ByteTokenizer();
  TextStream stream(*tokenizer, true, std::move(stops), include);
  Streamed result;
  for (const std::string& token : tokens) result.chunks.push_back(stream.Push(tokenizer->IdOf(token).value()));
  result.finish = stream.Finish();
  result.stop = stream.matched_stop();
  return result;
}

using Chunks = std::vector<std::string>;

TEST(TextStream, GivesOutTextAtOnceWhereNothingCanChangeIt) {
  const Streamed s = Stream({"a", "b", "cab"}, {"x"});
  EXPECT_EQ(s.chunks, (Chunks{"a", "b", "cab"}));
  EXPECT_EQ(s.finish, "");
  EXPECT_FALSE(s.stop.has_value());
}

TEST(TextStream, HoldsBackBytesUntilTheirRunEnds) {
  const Streamed s = Stream({"<0xC3>", "<0xA9>", "a"}, {});
  EXPECT_EQ(s.chunks, (Chunks{"", "", "\u00E9a"}));
  EXPECT_EQ(Stream({"a", "<0xC3>"}, {}).finish, "\uFFFD");
}

TEST(TextStream, HoldsBackOnlyWhatMayBecomeAStop) {
  const Streamed s = Stream({"a", "b", "a", "c"}, {"bab"});
  EXPECT_EQ(s.chunks, (Chunks{"a", "", "", "bac"}));
}

TEST(TextStream, CutsBeforeAStopThatSpansTokens) {
  const Streamed s = Stream({"c", "a", "b", "c", "a"}, {"abc"});
  EXPECT_EQ(s.chunks, (Chunks{"c", "", "", "", ""}));
  EXPECT_EQ(s.finish, "");
  EXPECT_EQ(s.stop, "abc");
}

TEST(TextStream, CutsBehindAStopThatIsIncluded) {
  const Streamed s = Stream({"c", "cab", "c"}, {"a"}, true);
  EXPECT_EQ(s.chunks, (Chunks{"c", "ca", ""}));
  EXPECT_EQ(s.stop, "a");
}

TEST(TextStream, TheStopThatEndsFirstWinsAndTheLongestOfThose) {
  EXPECT_EQ(Stream({"cab", "c"}, {"bc", "ab"}).stop, "ab");
  EXPECT_EQ(Stream({"cab"}, {"b", "cab", "ab"}).stop, "cab");
}

TEST(TextStream, GivesBackAnUnfinishedStopAtTheEnd) {
  const Streamed s = Stream({"a", "b"}, {"abc"});
  EXPECT_EQ(s.chunks, (Chunks{"", ""}));
  EXPECT_EQ(s.finish, "ab");
}

TEST(TextStream, FindsAStopInTextThatOnlyTheEndMakesCertain) {
  const Streamed s = Stream({"a", "<0x62>"}, {"b"});
  EXPECT_EQ(s.chunks, (Chunks{"a", ""}));
  EXPECT_EQ(s.finish, "");
  EXPECT_EQ(s.stop, "b");
}

TEST(TextStream, SkipsSpecialTokensAndUnknownIds) {
  const auto tokenizer = ByteTokenizer();
  TextStream stream(*tokenizer, true), plain(*tokenizer, false);
  EXPECT_EQ(stream.Push(256), "");
  EXPECT_EQ(plain.Push(256), "<end>");
  EXPECT_EQ(stream.Push(-1), "");
  EXPECT_EQ(stream.Push(1'000'000), "");
}

TEST(TextStream, JoinedChunksAreTheDecodedTextCutAtTheFirstStop) {
  const auto tokenizer = ByteTokenizer();
  std::mt19937 random(3);
  for (int round = 0; round < 3000; ++round) {
    std::vector<int32_t> ids;
    for (size_t n = random() % 20; n > 0; --n)
      ids.push_back(static_cast<int32_t>(random() % 4 == 0 ? random() % 264 : 256 + random() % 8));
    std::vector<std::string> stops;
    for (size_t n = random() % 3; n > 0; --n) {
      std::string stop;
      for (size_t m = random() % 4 + 1; m > 0; --m) stop.push_back("abc "[random() % 4]);
      stops.push_back(stop);
    }
    TextStream stream(*tokenizer, true, stops);
    std::string text;
    for (const int32_t id : ids) {
      const std::string chunk = stream.Push(id);
      ASSERT_TRUE(IsWellFormed(chunk));
      text += chunk;
    }
    text += stream.Finish();
    const std::string whole = tokenizer->Decode(ids, true);
    size_t best_end = std::string::npos, begin = whole.size();
    for (const std::string& stop : stops) {
      const size_t at = whole.find(stop);
      if (at == std::string::npos) continue;
      const size_t end = at + stop.size();
      if (end < best_end || (end == best_end && at < begin)) best_end = end, begin = at;
    }
    ASSERT_EQ(text, whole.substr(0, begin));
    ASSERT_EQ(stream.matched_stop().has_value(), best_end != std::string::npos);
  }
}

}  // namespace
}  // namespace braid
