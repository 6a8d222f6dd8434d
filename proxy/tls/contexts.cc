#include "proxy/tls/contexts.h"

#include <openssl/err.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/tls/algorithms.h"
#include "proxy/tls/client_auth.h"

namespace handfast::tls {
namespace {

// Forward secret AEAD suites only, for TLS 1.2; those of TLS 1.3 are OpenSSL's three.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
// A chain of certificates larger than this is an attack on our memory.
constexpr long kMaxCertificateBytes = 100 * 1024;

void configure_common(SSL_CTX* context) {
  SSL_CTX_set_security_level(context, kSecurityLevel);
  check(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1, "TLS 1.2");
  check(SSL_CTX_set_max_proto_version(context, 0) == 1, "TLS maximum");
  check(SSL_CTX_set_cipher_list(context, kCiphers) == 1, "cipher list");
  SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION  // OpenSSL 3.2: unpacked past the limit of certificates
  SSL_CTX_set_options(context, SSL_OP_NO_RX_CERTIFICATE_COMPRESSION);
#endif
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_max_cert_list(context, kMaxCertificateBytes);
}

// RFC 6066 section 3: a list with one host_name entry. SSL_get_servername() isn't set yet.
std::string_view read_server_name(SSL* ssl) {
  const unsigned char* bytes = nullptr;
  std::size_t length = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &length) != 1) return {};
  if (length < 5) return {};
  const std::size_t list = static_cast<std::size_t>(bytes[0]) << 8 | bytes[1];
  const std::size_t name = static_cast<std::size_t>(bytes[3]) << 8 | bytes[4];
  if (list != length - 2 || bytes[2] != TLSEXT_NAMETYPE_host_name || name + 3 > list) return {};
  return {reinterpret_cast<const char*>(bytes + 5), name};
}

// OpenSSL counts its uses of what it is given.
bool use(SSL* ssl, const pki::Identity& identity) {
  const auto open = identity.open();
  return open != nullptr && SSL_use_cert_and_key(ssl, open->leaf.get(), open->key.get(),
                                                 open->intermediates.get(), 1) == 1;
}

int on_client_hello(SSL* ssl, int* alert, void* argument) {
  auto& selector = *static_cast<CertificateSelector*>(argument);
  std::string name(read_server_name(ssl));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  TlsStream& stream = TlsStream::of(ssl);
  const PortTls* const port = stream.port();
  const Identities identities =
      port != nullptr ? Identities(&port->identity, 1) : selector.select_certificates(name);
  ask_client(ssl, port != nullptr ? port->clients : selector.select_client_policy(name),
             identities);
  stream.set_server_name(std::move(name));
  SSL_certs_clear(ssl);  // a second ClientHello may come with another name
  for (const auto& identity : identities) {
    if (!use(ssl, *identity)) {
      *alert = SSL_AD_INTERNAL_ERROR;
      return SSL_CLIENT_HELLO_ERROR;
    }
  }
  return SSL_CLIENT_HELLO_SUCCESS;
}

// RFC 6066 section 8: a client that asks gets the response about the certificate that it sees.
int on_status_request(SSL* ssl, void* argument) {
  const auto& stapling = *static_cast<const ServerContext::Stapling*>(argument);
  const TlsStream& stream = TlsStream::of(ssl);
  const PortTls* const port = stream.port();
  const Identities identities = port != nullptr
                                    ? Identities(&port->identity, 1)
                                    : stapling.selector.select_certificates(stream.server_name());
  const X509* const shown = SSL_get_certificate(ssl);
  for (const auto& identity : identities) {
    const std::string_view response = identity->staple(stapling.clock.unix_now());
    if (response.empty() || shown == nullptr || !identity->is_leaf(*shown)) continue;
    void* const copy = OPENSSL_memdup(response.data(), response.size());
    check(copy != nullptr);
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(response.size()));  // owns it
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

int on_ticket_key(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                  EVP_MAC_CTX* mac, int encrypt) {
  const auto& keys = *static_cast<TicketKeys*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  return keys->apply(ssl, name, iv, cipher, mac, encrypt == 1);
}

// In the form of RFC 7301 section 3.1.
constexpr std::string_view kEither = "\x02h2\x08http/1.1";
constexpr std::string_view kHttp2 = kEither.substr(0, 3);
constexpr std::string_view kHttp1 = kEither.substr(3);

// RFC 7301 section 3.2: a client that offers only what we don't speak is told so. `argument`: what
// we speak.
int on_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_length,
            const unsigned char* offered, unsigned int offered_length, void* argument) {
  if (TlsStream::of(ssl).port() != nullptr) return SSL_TLSEXT_ERR_NOACK;
  const auto& ours = *static_cast<const std::string_view*>(argument);
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_length,
                            reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned int>(ours.size()), offered,
                            offered_length) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

bool offer(SSL* ssl, Alpn alpn) {
  if (alpn == Alpn::None) return true;
  const std::string_view names = alpn == Alpn::Http2 ? kHttp2 : kEither;
  return SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(names.data()),
                             static_cast<unsigned int>(names.size())) == 0;
}

// Instead of X509_verify_cert: the one verifier judges.
int on_verify(X509_STORE_CTX* context, void* argument) {
  const auto& clock = *static_cast<const Clock*>(argument);
  const auto* ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  TlsStream& stream = TlsStream::of(ssl);
  X509* leaf = X509_STORE_CTX_get0_cert(context);
  pki::Verdict verdict =
      stream.policy()->judge_chain(leaf, X509_STORE_CTX_get0_untrusted(context), clock.unix_now());
  const bool ok = verdict.ok();
  X509_STORE_CTX_set_error(
      context, ok ? X509_V_OK
                  : (verdict.openssl_error != X509_V_OK ? verdict.openssl_error
                                                        : X509_V_ERR_APPLICATION_VERIFICATION));
  X509_up_ref(leaf);
  stream.note_shown_chain(X509_STORE_CTX_get0_untrusted(context));
  stream.set_verdict(std::move(verdict), pki::X509Ptr(leaf));
  return ok ? 1 : 0;
}

constexpr std::size_t kPolicyKeyLength = 64;

// The server's messages are complete, the stapled response among them, and nothing of ours has been
// sent since: not our certificate either. 0: an alert.
int on_staple(SSL* ssl, void* argument) {
  const auto& clock = *static_cast<const Clock*>(argument);
  TlsStream& stream = TlsStream::of(ssl);
  const UpstreamPolicy& policy = *stream.policy();
  if (stream.resumed()) return 1;  // was judged when its session was made
  const unsigned char* bytes = nullptr;
  const long size = SSL_get_tlsext_status_ocsp_resp(ssl, &bytes);
  if (size > 0) {
    stream.set_stapled(std::make_shared<const std::string>(reinterpret_cast<const char*>(bytes),
                                                           static_cast<std::size_t>(size)));
  }
  pki::X509Ptr leaf(SSL_get1_peer_certificate(ssl));
  pki::Verdict verdict = policy.judge(leaf.get(), SSL_get_peer_cert_chain(ssl),
                                      stream.stapled().get(), clock.unix_now());
  const bool ok = verdict.ok();
  stream.set_verdict(std::move(verdict), std::move(leaf));
  stream.note_staple_judged();
  return ok ? 1 : 0;
}

// Everything that decides whether a session may serve; names of policies are no part of it.
std::string session_key(const net::Address& address, Alpn alpn, const UpstreamPolicy& policy) {
  std::string key(reinterpret_cast<const char*>(address.data()), address.length());
  key.push_back(static_cast<char>(alpn));
  return key.append(policy.key);
}

// 1: the reference is ours now.
int on_new_session(SSL* ssl, SSL_SESSION* session) {
  if (SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION) return 0;
  const TlsStream& stream = TlsStream::of(ssl);
  if (stream.resumption() == nullptr) return 0;  // not asked for, and sent all the same
  stream.resumption()->on_ticket(stream, SslSessionPtr(session));
  return 1;
}

// A backend that doesn't ask, a resumed one among them, costs nothing here. 0: a fatal alert.
int on_certificate_request(SSL* ssl, void* /*argument*/) {
  TlsStream& stream = TlsStream::of(ssl);
  stream.note_certificate_request();
  const pki::Identity* identity = stream.policy()->identity.get();
  if (identity == nullptr) return 1;
  return use(ssl, *identity) ? 1 : 0;
}

}  // namespace

ServerContext::ServerContext(CertificateSelector& selector, TicketKeys tickets, const Clock& clock)
    : selector_(selector),
      tickets_(std::make_unique<TicketKeys>(std::move(tickets))),
      stapling_(std::make_unique<Stapling>(Stapling{selector, clock})),
      clock_(clock),
      context_(make_context()) {}

SslCtxPtr ServerContext::make_context() const {
  SslCtxPtr made(SSL_CTX_new(TLS_server_method()));
  check(made != nullptr, "SSL_CTX_new");
  SSL_CTX* const context = made.get();
  configure_common(context);
  check(SSL_CTX_set_min_proto_version(context, offer_.min_version) == 1 &&
            SSL_CTX_set_max_proto_version(context, offer_.max_version) == 1,
        "TLS versions");
  if (!offer_.ciphers.empty()) {
    check(SSL_CTX_set_cipher_list(context, offer_.ciphers.c_str()) == 1, "ciphers were looked at");
  }
  if (!offer_.groups.empty()) {
    check(SSL_CTX_set1_groups_list(context, offer_.groups.c_str()) == 1, "groups were looked at");
  }
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  if (!offer_.session_tickets) SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_app_data(context, tickets_.get());
  check(SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket_key) == 1, "ticket keys");
  install_client_auth(context, clock_);
  SSL_CTX_set_tlsext_status_cb(context, on_status_request);
  SSL_CTX_set_tlsext_status_arg(context, stapling_.get());
  SSL_CTX_set_client_hello_cb(context, on_client_hello, &selector_);
  // OpenSSL only hands the pointer back; on_alpn reads through it.
  SSL_CTX_set_alpn_select_cb(context, on_alpn,
                             const_cast<std::string_view*>(offer_.http2 ? &kEither : &kHttp1));
  return made;
}

void ServerContext::set_offer(const FrontOffer& offer) {
  if (offer == offer_) return;
  offer_ = offer;
  context_ = make_context();
}

std::unique_ptr<TlsStream> ServerContext::accept(net::Socket socket, BufferPool& pool,
                                                 std::optional<PortTls> port) {
  SslPtr ssl(SSL_new(context_.get()));
  check(ssl != nullptr, "SSL_new");
  SSL_set_accept_state(ssl.get());
  auto stream = std::make_unique<TlsStream>(std::move(socket), pool, std::move(ssl));
  stream->set_port(std::move(port));
  return stream;
}

ClientContext::ClientContext(const Clock& clock, SessionStore* sessions)
    : clock_(clock), sessions_(sessions), context_(SSL_CTX_new(TLS_client_method())) {
  check(context_ != nullptr, "SSL_CTX_new");
  SSL_CTX* context = context_.get();
  configure_common(context);
  if (sessions != nullptr) {
    // OpenSSL's own cache knows nothing of our trust.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_new_session);
  } else {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  }
  // OpenSSL only hands the pointer back; on_verify reads through it.
  SSL_CTX_set_cert_verify_callback(context, on_verify, const_cast<Clock*>(&clock));
  SSL_CTX_set_cert_cb(context, on_certificate_request, nullptr);
  SSL_CTX_set_tlsext_status_cb(context, on_staple);
  SSL_CTX_set_tlsext_status_arg(context, const_cast<Clock*>(&clock));
}

Result<std::unique_ptr<TlsStream>> ClientContext::connect(
    net::Socket socket, BufferPool& pool, const net::Address& address,
    std::shared_ptr<const UpstreamPolicy> policy, Alpn alpn) {
  ERR_clear_error();
  SslPtr ssl(SSL_new(context_.get()));
  check(ssl != nullptr, "SSL_new");
  SSL* raw = ssl.get();
  SSL_set_connect_state(raw);
  bool set = SSL_set_min_proto_version(raw, policy->min_version) == 1 &&
             SSL_set_max_proto_version(raw, policy->max_version) == 1;
  if (!policy->ciphers.empty()) set = set && SSL_set_cipher_list(raw, policy->ciphers.c_str()) == 1;
  if (!policy->cipher_suites.empty()) {
    set = set && SSL_set_ciphersuites(raw, policy->cipher_suites.c_str()) == 1;
  }
  if (!policy->groups.empty()) set = set && SSL_set1_groups_list(raw, policy->groups.c_str()) == 1;
  SSL_set_security_level(raw, kSecurityLevel);  // "@SECLEVEL=" in a list would have lowered it
  if (policy->sni) set = set && SSL_set_tlsext_host_name(raw, policy->sni->c_str()) == 1;
  if (policy->asks_for_staple()) {
    set = set && SSL_set_tlsext_status_type(raw, TLSEXT_STATUSTYPE_ocsp) == 1;
  }
  set = set && offer(raw, alpn);
  if (!set) return fail(Reason::Protocol, "cannot set up TLS: " + pki::drain_openssl_errors());
  SSL_set_verify(raw, policy->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  auto stream = std::make_unique<TlsStream>(std::move(socket), pool, std::move(ssl));
  if (!policy->resumption) SSL_set_options(raw, SSL_OP_NO_TICKET);
  if (sessions_ != nullptr && policy->resumption) {
    auto resumption =
        std::make_unique<Resumption>(*sessions_, clock_, session_key(address, alpn, *policy));
    resumption->offer(raw, *policy);
    stream->set_resumption(std::move(resumption));
  }
  stream->set_policy(std::move(policy));
  return stream;
}

std::string_view policy_key_in(std::string_view session_key) {
  return session_key.substr(session_key.size() - std::min(session_key.size(), kPolicyKeyLength));
}

}  // namespace handfast::tls
