#include "server/router/router_config.h"

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/address.h"

namespace braid {
namespace {

absl::Status CheckAddresses(const char* flag, const std::vector<std::string>& addresses) {
  for (const std::string& address : addresses) {
    const absl::Status status = ParseAddress(address).status();
    if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(flag, ": ", status.message()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RouterConfig::Validate() const {
  RETURN_IF_ERROR(CheckAddresses("--workers", workers));
  RETURN_IF_ERROR(CheckAddresses("--prefill", prefill));
  RETURN_IF_ERROR(CheckAddresses("--decode", decode));
  if (workers.empty() && decode.empty()) {
    return absl::InvalidArgumentError("--workers or --decode: at least one address to send requests to is needed");
  }
  if (!prefill.empty() && handover_key_file.empty()) {
    return absl::InvalidArgumentError("--prefill: --handover-key-file is needed beside it");
  }
  return absl::OkStatus();
}

}  // namespace braid
