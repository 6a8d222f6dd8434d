#pragma once
// What all clients are offered alike, whatever host they name: the run-time form of config::Front
// but for the ticket keys, which change more often.

#include <openssl/tls1.h>

#include <string>

namespace handfast::tls {

struct FrontOffer {
  int min_version = TLS1_2_VERSION;
  int max_version = TLS1_3_VERSION;
  std::string ciphers = {};  // OpenSSL list for TLS 1.2, known to be usable; empty: the default
  std::string groups = {};   // the same of key exchange groups
  bool http2 = true;         // in ALPN
  bool session_tickets = true;
  friend bool operator==(const FrontOffer&, const FrontOffer&) = default;
};

}  // namespace handfast::tls
