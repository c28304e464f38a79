#include "server/address.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace braid {
namespace {

TEST(Address, ReadsNamesAndBothKindsOfIp) {
  for (const std::string text : {"worker-0.workers_b:8000", "10.0.0.1:1", "[::1]:65535"}) {
    const absl::StatusOr<Address> address = ParseAddress(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->ToText(), text);
  }
  EXPECT_EQ(ParseAddress("[fe80::2]:80")->host, "fe80::2");
  EXPECT_EQ(ParseAddress("[fe80::2]:80")->port, 80);
}

TEST(Address, RefusesAllElseByItsText) {
  for (const std::string text : {"", "host", ":80", "host:", "host:0", "host:65536", "host:80x", "::1:80", "[]:80", "a b:80",
                                  "http://host:80", "[::1]", "host:-1"}) {
    const absl::StatusOr<Address> address = ParseAddress(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_EQ(address.status().message(), "'" + text + "' is not HOST:PORT");
  }
  EXPECT_FALSE(ParseAddress(absl::StrCat(std::string(400, 'a'), ":80")).ok());
}

}  // namespace
}  // namespace braid
