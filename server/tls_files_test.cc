#include "server/tls_files.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/http/test_certificate.h"

namespace braid {
namespace {

using testing::HasSubstr;

std::string Write(const char* name, const std::string& text) {
  const std::string path = testing::TempDir() + name;
  std::ofstream(path) << text;
  return path;
}

std::string WordsOf(const std::string& certificate, const std::string& key) {
  return std::string(ReadTlsFiles(certificate, key).status().message());
}

TEST(TlsFiles, ErrorsNameTheSettingAndTheFile) {
  const TestCertificate pair = MakeTestCertificate("a"), other = MakeTestCertificate("b");
  const std::string certificate = Write("braid_tls_cert", pair.certificate), key = Write("braid_tls_key", pair.key);
  const std::string other_key = Write("braid_tls_other", other.key), nothing = Write("braid_tls_nothing", "nothing\n");
  EXPECT_EQ(WordsOf(certificate, key), "");
  EXPECT_THAT(WordsOf("/no/such", key), HasSubstr("--tls-cert: /no/such: No such file or directory"));
  EXPECT_THAT(WordsOf(certificate, testing::TempDir()),
              HasSubstr("--tls-key: " + testing::TempDir() + ": is a directory, want a regular file"));
  EXPECT_THAT(WordsOf(nothing, key), HasSubstr("--tls-cert: " + nothing + ": "));
  EXPECT_THAT(WordsOf(certificate, nothing), HasSubstr("--tls-key: " + nothing + ": "));
  EXPECT_THAT(WordsOf(certificate, other_key), HasSubstr("--tls-key: " + other_key + ": "));
}

}  // namespace
}  // namespace braid
