#include "server/http/gzip.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <random>

namespace braid {
namespace {

std::string Inflate(const std::string& bytes, size_t size) {
  std::string out(size + 1, '\0');
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

TEST(Gzip, ComesBackAsItWas) {
  std::mt19937 random(3);
  for (size_t size : {0, 1, 1000, 70'000, 1 << 20}) {
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(size % 2 == 0 ? random() : 'a' + random() % 3);
    EXPECT_EQ(Inflate(Gzip(text), size), text) << size;
  }
}

TEST(Gzip, IsSentWhereItIsAllowedAndNotLessWanted) {
  for (const char* yes :
       {"gzip", "GZIP", "x-gzip", "deflate, gzip", "gzip, deflate, br, zstd", "gzip;q=0.5", " gzip ; q=1.000 ", "*",
        "*;q=0.1", "br, *", "identity;q=0.5, gzip", "identity, gzip", "identity;q=0, *", ",gzip,", "gzip;Q=1"}) {
    EXPECT_TRUE(AcceptsGzip(yes)) << yes;
  }
  for (const char* no :
       {"", "identity", "deflate", "br", "gzip;q=0", "gzip;q=0.000", "gzip;q=0, *", "*;q=0", "identity;q=1, gzip;q=0.5",
        "gzip;q=2", "gzip;q=1.5", "gzip;q=x", "gzip;level=9", "gzip;q=0.1234", "gzip;q=", "gzipped", "gzip;q=-1"}) {
    EXPECT_FALSE(AcceptsGzip(no)) << no;
  }
}

TEST(Gzip, ReadsAnyHeader) {
  std::mt19937 random(5);
  const std::string letters = "gzip;q=01.5,* identyx\t\xff";
  for (int round = 0; round < 20'000; ++round) {
    std::string header(random() % 40, ' ');
    for (char& c : header) c = letters[random() % letters.size()];
    AcceptsGzip(header);
  }
}

}  // namespace
}  // namespace braid
