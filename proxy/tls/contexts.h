#pragma once
// The few SSL_CTX of a worker: one for clients that connect to us, one for our connections to
// backends. Everything that differs between connections is set per connection from shared immutable
// objects (certificate and key per SNI; trust and rules per policy, and its identity once a backend
// asks for one).
//
// Threading: one worker's. Off, explicitly: renegotiation, compression, early data, kTLS,
// SSL_OP_IGNORE_UNEXPECTED_EOF. Versions and security level are set here: openssl.cnf is ignored.

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "proxy/base/result.h"
#include "proxy/net/address.h"
#include "proxy/pki/identity.h"
#include "proxy/tls/client_policy.h"
#include "proxy/tls/front_offer.h"
#include "proxy/tls/session_store.h"
#include "proxy/tls/ticket_keys.h"
#include "proxy/tls/tls_stream.h"
#include "proxy/tls/upstream_policy.h"

namespace handfast::tls {

// Certificates of one host, each with a key of another type: what the client offers in its
// ClientHello (signature algorithms, ciphers) decides which one it sees.
using Identities = std::span<const std::shared_ptr<const pki::Identity>>;

// Answers which certificates a client may get to see. Called in the ClientHello callback, before
// the decision to resume.
class CertificateSelector {
 public:
  virtual ~CertificateSelector() = default;
  // `server_name`: lower case, empty without SNI. At least one; borrowed until the next snapshot.
  virtual Identities select_certificates(std::string_view server_name) = 0;
  // Whom this client must be; null: it isn't asked for a certificate.
  virtual std::shared_ptr<const ClientPolicy> select_client_policy(
      std::string_view /*server_name*/) {
    return nullptr;
  }
};

// Shared by the workers, so that any of them resumes.
using TicketKeys = std::shared_ptr<const TicketKeyRing>;

class ServerContext {
 public:
  // `clock` judges certificates of clients. It and `selector` must outlive the context and its
  // streams.
  ServerContext(CertificateSelector& selector, TicketKeys tickets, const Clock& clock);
  // From now on.
  void set_ticket_keys(TicketKeys tickets) { *tickets_ = std::move(tickets); }
  // To connections that come; those that are there, in their handshake too, keep what they have.
  void set_offer(const FrontOffer& offer);
  // `port`: of a TCP port; none: the selector decides.
  [[nodiscard]] std::unique_ptr<TlsStream> accept(net::Socket socket, BufferPool& pool,
                                                  std::optional<PortTls> port = std::nullopt);

  // For its callbacks.
  struct Stapling {
    CertificateSelector& selector;
    const Clock& clock;
  };

 private:
  [[nodiscard]] SslCtxPtr make_context() const;

  CertificateSelector& selector_;
  std::unique_ptr<TicketKeys> tickets_;  // OpenSSL holds its address
  std::unique_ptr<Stapling> stapling_;   // and this one's
  const Clock& clock_;
  FrontOffer offer_;
  SslCtxPtr context_;
};

// What we offer to a backend (RFC 7301). None: no extension at all, as nginx.
enum class Alpn : std::uint8_t { None, Http2, Either };

class ClientContext {
 public:
  // `clock` judges certificates. `sessions`: of all workers; null: no resumption. Both must outlive
  // the context and its streams.
  explicit ClientContext(const Clock& clock, SessionStore* sessions = nullptr);
  // `address`: where `socket` leads. Precondition: policy->usable().
  [[nodiscard]] Result<std::unique_ptr<TlsStream>> connect(
      net::Socket socket, BufferPool& pool, const net::Address& address,
      std::shared_ptr<const UpstreamPolicy> policy, Alpn alpn = Alpn::None);

 private:
  const Clock& clock_;
  SessionStore* sessions_;
  SslCtxPtr context_;
};

// The part of a session's key that is UpstreamPolicy::key.
[[nodiscard]] std::string_view policy_key_in(std::string_view session_key);

// A self-signed certificate for clients that name no host of ours; made in memory at start, P-256,
// one year. Its key is never written.
[[nodiscard]] Result<std::shared_ptr<const pki::Identity>> make_default_certificate();

}  // namespace handfast::tls
