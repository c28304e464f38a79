// A certificate chain and its key, ready for connections.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace braid {

// A PEM text and what errors call it.
struct PemText {
  std::string name, text;
};

// TLS 1.2 and later; offers http/1.1. Connections keep what they need of it. Thread: any.
class TlsContext {
 public:
  // The chain has the certificate first, then what leads up to the root; the key must not be encrypted. InvalidArgument
  // begins with the name of the one that is at fault.
  static absl::StatusOr<std::shared_ptr<TlsContext>> FromPem(const PemText& chain, const PemText& key);

  boost::asio::ssl::context& context() { return context_; }

 private:
  TlsContext();
  boost::asio::ssl::context context_;
};

}  // namespace braid
