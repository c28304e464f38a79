#include "server/http/tls_context.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <boost/asio/buffer.hpp>

#include "absl/strings/str_cat.h"

namespace braid {
namespace {

namespace asio = boost::asio;
using asio::ssl::context;

// The client's list of protocols is answered when HTTP/1.1 is on it, and passed over otherwise.
int SelectProtocol(SSL*, const unsigned char** chosen, unsigned char* chosen_bytes, const unsigned char* offered,
                   unsigned int offered_bytes, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* selected = nullptr;
  const int found = SSL_select_next_proto(&selected, chosen_bytes, kHttp11, sizeof kHttp11 - 1, offered, offered_bytes);
  *chosen = selected;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

absl::Status Wrong(const PemText& text, const char* what, const boost::system::error_code& error) {
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat(text.name, ": ", what, ": ", error.message()));
}

}  // namespace

TlsContext::TlsContext() : context_(context::tls_server) {
  SSL_CTX* native = context_.native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_alpn_select_cb(native, SelectProtocol, nullptr);
  // Without this OpenSSL asks for a password on the terminal.
  context_.set_password_callback([](size_t, context::password_purpose) { return std::string(); });
}

absl::StatusOr<std::shared_ptr<TlsContext>> TlsContext::FromPem(const PemText& chain, const PemText& key) {
  std::shared_ptr<TlsContext> tls(new TlsContext());  // shared: replaced while connections begin on it
  boost::system::error_code error;
  ERR_clear_error();
  tls->context_.use_certificate_chain(asio::buffer(chain.text), error);
  if (error) return Wrong(chain, "no certificate in PEM form that can be used", error);
  tls->context_.use_private_key(asio::buffer(key.text), context::pem, error);
  if (error) return Wrong(key, "no unencrypted private key in PEM form that fits the certificate", error);
  return tls;
}

}  // namespace braid
