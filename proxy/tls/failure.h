#pragma once
// From what OpenSSL says went wrong to the one word of the product's list.

#include "proxy/base/result.h"

namespace handfast::tls {

// What was known about the connection when it failed: the same alert means different things.
struct FailureContext {
  bool server_hello_seen = false;      // the peer has spoken TLS
  bool handshake_done = false;         // by our side; under TLS 1.3 the peer may still refuse us
  bool certificate_requested = false;  // the peer asked for our certificate
  bool end_of_stream = false;          // the peer's TCP side ended or was reset
};

// Takes this thread's OpenSSL error queue and names it. `ssl_error` is SSL_get_error()'s answer.
[[nodiscard]] Error name_failure(int ssl_error, const FailureContext& context);

}  // namespace handfast::tls
