// A self-signed certificate for tests.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

#include "kernels/base/errors.h"

namespace braid {

struct TestCertificate {
  std::string certificate, key;  // PEM
};

inline std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

// A fresh P-256 key, encrypted if there is a `password`, and a certificate for `name` that lasts an hour.
inline TestCertificate MakeTestCertificate(const char* name, const char* password = nullptr) {
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
  CHECK(key != nullptr && certificate != nullptr);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  CHECK(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);
  BIO* certificate_text = BIO_new(BIO_s_mem());
  BIO* key_text = BIO_new(BIO_s_mem());
  CHECK(PEM_write_bio_X509(certificate_text, certificate.get()) == 1);
  const EVP_CIPHER* cipher = password != nullptr ? EVP_aes_256_cbc() : nullptr;
  CHECK(PEM_write_bio_PrivateKey(key_text, key.get(), cipher, nullptr, 0, nullptr, const_cast<char*>(password)) == 1);
  return {TextOf(certificate_text), TextOf(key_text)};
}

}  // namespace braid
