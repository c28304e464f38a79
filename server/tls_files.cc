#include "server/tls_files.h"

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "models/weights/regular_file.h"

namespace braid {
namespace {

constexpr int64_t kMaxPemBytes = 1 << 20;

absl::StatusOr<std::string> Read(const char* setting, const std::string& path) {
  auto text = ReadWholeFile(path, kMaxPemBytes);
  if (text.ok()) return text;
  return absl::InvalidArgumentError(absl::StrCat(setting, ": ", text.status().message()));
}

}  // namespace

absl::StatusOr<std::shared_ptr<TlsContext>> ReadTlsFiles(const std::string& certificate_file,
                                                         const std::string& key_file) {
  ASSIGN_OR_RETURN(const std::string certificate, Read("--tls-cert", certificate_file));
  ASSIGN_OR_RETURN(const std::string key, Read("--tls-key", key_file));
  return TlsContext::FromPem({absl::StrCat("--tls-cert: ", certificate_file), certificate},
                             {absl::StrCat("--tls-key: ", key_file), key});
}

}  // namespace braid
