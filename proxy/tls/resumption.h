#pragma once
// One connection's part in resumption: which session it may use, and which of its own are kept.
//
//   offer() -> (handshake) -> on_open() -> on_ticket()*
//   a failure at any point -> on_failed()
//
// A resumed handshake verifies nothing, so a session is offered only if what was verified when it
// was made still holds: the same key (session_key() in contexts.cc), before the earliest expiry,
// and under the policy's present trust. If that trust has another epoch, the chain that the peer
// showed then is judged again here, on the event loop: that is a part of what the full handshake
// would cost on this very loop, it happens once per session and change, and only to sessions that
// are wanted. What fails is dropped, and the full handshake finds the same fault or none.
//
// A TLS 1.3 session is used once (RFC 8446 appendix C.4); one of TLS 1.2 stays for others.
// Threading: one worker's.

#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <string>

#include "proxy/base/clock.h"
#include "proxy/tls/session_store.h"
#include "proxy/tls/upstream_policy.h"

namespace handfast::tls {

class TlsStream;

class Resumption {
 public:
  // `store` and `clock` must outlive it. `key`: everything that decides.
  Resumption(SessionStore& store, const Clock& clock, std::string key);

  // Gives OpenSSL a session to try, if there is one that holds under `policy` now.
  void offer(SSL* ssl, const UpstreamPolicy& policy);
  // The handshake is done. If it was resumed, tells the stream what no callback could. Keeps the
  // session of TLS 1.2: OpenSSL's callback tells of no ticket that renews one, and comes too early
  // to ask for the extended master secret.
  void on_open(TlsStream& stream);
  // TLS 1.3: the peer gave a ticket.
  void on_ticket(const TlsStream& stream, SslSessionPtr session);
  // The connection failed: neither what it tried nor what it was given is tried again (RFC 8446
  // section 6.2).
  void on_failed();

 private:
  [[nodiscard]] bool holds(StoredSession& stored, const UpstreamPolicy& policy) const;
  void restore(TlsStream& stream) const;
  // What couldn't be used safely isn't kept.
  void keep(const TlsStream& stream, SslSessionPtr session);
  [[nodiscard]] UnixSeconds use_until(const TlsStream& stream, const SSL_SESSION& session) const;

  SessionStore& store_;
  const Clock& clock_;
  std::string key_;
  StoredSession offered_;  // without a session: none
  // What was put into the store, to know it again by; the last ones, in turn.
  std::array<const SSL_SESSION*, 4> kept_{};  // servers send one or two
  std::size_t next_kept_ = 0;
};

}  // namespace handfast::tls
