// The certificate and key that the doors show.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/http/tls_context.h"

namespace braid {

// Reads both PEM files. The error names the setting and the file that is at fault.
absl::StatusOr<std::shared_ptr<TlsContext>> ReadTlsFiles(const std::string& certificate_file,
                                                         const std::string& key_file);

}  // namespace braid
