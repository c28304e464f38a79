#include "server/peer_key.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <random>

namespace braid {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;

TEST(PeerKey, AcceptsItsOwnSignatureOnce) {
  PeerKey key("sixteen bytes or more");
  const std::string signature = key.SignAt("fetch", "content", kNow);
  EXPECT_TRUE(key.VerifyAt("fetch", "content", signature, kNow + 100).ok());
  EXPECT_EQ(key.VerifyAt("fetch", "content", signature, kNow + 200).message(), "peer: the signature was used before");
  EXPECT_TRUE(key.Verify("a", "b", key.Sign("a", "b")).ok());
}

TEST(PeerKey, RefusesOtherSecretsPurposesContentsAndTimes) {
  PeerKey key("sixteen bytes or more"), other("sixteen bytes and more");
  const auto verify = [&](std::string_view purpose, std::string_view content, const std::string& signature, int64_t now) {
    return key.VerifyAt(purpose, content, signature, now).code();
  };
  const auto kUnauthenticated = absl::StatusCode::kUnauthenticated;
  EXPECT_EQ(verify("fetch", "content", other.SignAt("fetch", "content", kNow), kNow), kUnauthenticated);
  EXPECT_EQ(verify("prefill", "content", key.SignAt("fetch", "content", kNow), kNow), kUnauthenticated);
  EXPECT_EQ(verify("fetch", "contents", key.SignAt("fetch", "content", kNow), kNow), kUnauthenticated);
  EXPECT_EQ(verify("fetchc", "ontent", key.SignAt("fetch", "content", kNow), kNow), kUnauthenticated);
  EXPECT_EQ(verify("fetch", "content", key.SignAt("fetch", "content", kNow), kNow + 60'001), kUnauthenticated);
  EXPECT_EQ(verify("fetch", "content", key.SignAt("fetch", "content", kNow), kNow - 60'001), kUnauthenticated);
  EXPECT_EQ(verify("fetch", "content", key.SignAt("fetch", "content", kNow), kNow + 59'999), absl::StatusCode::kOk);
}

TEST(PeerKey, NoChangedSignatureIsAccepted) {
  PeerKey key("sixteen bytes or more");
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string signature = key.SignAt("fetch", "content", kNow);
    const std::string whole = signature;
    const size_t place = random() % signature.size();
    switch (random() % 3) {
      case 0: signature[place] = static_cast<char>(random()); break;
      case 1: signature.resize(place); break;
      default: signature.insert(place, 1, static_cast<char>(random()));
    }
    if (signature == whole) continue;
    EXPECT_FALSE(key.VerifyAt("fetch", "content", signature, kNow).ok()) << signature;
  }
}

TEST(PeerKey, AProofBelongsToOneQuestionAndOneAnswer) {
  const PeerKey key("sixteen bytes or more"), other("sixteen bytes and more");
  const std::string proof = key.Proof("signature", "answer");
  EXPECT_TRUE(key.CheckProof("signature", "answer", proof).ok());
  EXPECT_FALSE(key.CheckProof("signatura", "answer", proof).ok());
  EXPECT_FALSE(key.CheckProof("signature", "answers", proof).ok());
  EXPECT_FALSE(other.CheckProof("signature", "answer", proof).ok());
  EXPECT_FALSE(key.CheckProof("signature", "answer", "").ok());
}

TEST(PeerKey, IsReadFromAFile) {
  const std::string path = ::testing::TempDir() + "peer_key";
  std::ofstream(path) << "  0123456789abcdef\n";
  const auto key = PeerKey::Read(path);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_TRUE((*key)->Verify("a", "b", PeerKey("0123456789abcdef").Sign("a", "b")).ok());
  std::ofstream(path) << "short\n";
  EXPECT_EQ(PeerKey::Read(path).status().message(), "--handover-key-file: " + path + ": 5 bytes; 16..512 are wanted");
  std::remove(path.c_str());
  EXPECT_EQ(PeerKey::Read(path).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace braid
