#pragma once
// A TLS server or client that isn't ours, over a socket that never blocks, driven by pump().

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/tls/contexts.h"
#include "tests/support/test_authority.h"
#include "tests/unit/proxy/net/peer.h"

namespace handfast::testing {

using SslCtx = std::shared_ptr<SSL_CTX>;

inline SslCtx make_ctx(const SSL_METHOD* method) {
  SslCtx ctx(SSL_CTX_new(method), SSL_CTX_free);
  check(ctx != nullptr, "SSL_CTX_new");
  return ctx;
}

// Presents `certificate`; `client_ca`: asks for a client certificate and insists on one of it.
inline SslCtx make_server_ctx(const TestCertificate& certificate,
                              const TestAuthority* client_ca = nullptr) {
  SslCtx ctx = make_ctx(TLS_server_method());
  check(SSL_CTX_use_certificate(ctx.get(), certificate.x509()) == 1, "certificate");
  check(SSL_CTX_use_PrivateKey(ctx.get(), certificate.key()) == 1, "key");
  if (client_ca != nullptr) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx.get()), client_ca->certificate().x509());
    SSL_CTX_set_verify(ctx.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  return ctx;
}

// Staples `*response` from now on, whatever it is then; empty: nothing.
inline void staple(const SslCtx& ctx, const std::string* response) {
  const auto answer = [](SSL* ssl, void* argument) {
    const auto& bytes = *static_cast<const std::string*>(argument);
    if (bytes.empty()) return SSL_TLSEXT_ERR_NOACK;
    auto* copy = static_cast<unsigned char*>(OPENSSL_memdup(bytes.data(), bytes.size()));
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(bytes.size()));
    return SSL_TLSEXT_ERR_OK;
  };
  SSL_CTX_set_tlsext_status_cb(ctx.get(), +answer);
  SSL_CTX_set_tlsext_status_arg(ctx.get(), const_cast<std::string*>(response));
}

inline SslCtx make_client_ctx() { return make_ctx(TLS_client_method()); }

class TlsPeer {
 public:
  TlsPeer(UniqueFd fd, const SslCtx& ctx, bool server, const char* sni = nullptr)
      : fd_(std::move(fd)), ssl_(SSL_new(ctx.get()), SSL_free) {
    ::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
    ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
    SSL_set_fd(ssl_.get(), fd_.get());
    if (sni != nullptr) SSL_set_tlsext_host_name(ssl_.get(), sni);
    server ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
  }

  void send(std::string_view bytes) { unsent_.append(bytes); }

  void pump() {
    if (!fd_ || failed) return;
    ERR_clear_error();
    if (!done) {
      const int result = SSL_do_handshake(ssl_.get());
      done = result == 1;
      if (!done) return note(result);
    }
    while (!unsent_.empty()) {
      std::size_t taken = 0;
      const std::size_t piece = std::min<std::size_t>(unsent_.size(), 16384);
      if (SSL_write_ex(ssl_.get(), unsent_.data(), piece, &taken) != 1) break;
      unsent_.erase(0, taken);
    }
    char space[16384];
    std::size_t got = 0;
    while (reading && SSL_read_ex(ssl_.get(), space, sizeof space, &got) == 1) {
      received.append(space, got);
    }
    if (reading) note(0);
  }

  // Ends with a close_notify, or without.
  void shutdown() { SSL_shutdown(ssl_.get()); }
  void close() { fd_.reset(); }
  std::string take() { return std::exchange(received, {}); }
  [[nodiscard]] SSL* ssl() const { return ssl_.get(); }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool open() const { return static_cast<bool>(fd_); }

  std::string received;
  bool reading = true;
  bool done = false;
  bool failed = false;
  bool ended = false;  // by close_notify

 private:
  void note(int result) {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_ZERO_RETURN) {
      ended = true;
    } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      failed = true;
    }
    ERR_clear_error();
  }

  UniqueFd fd_;
  std::shared_ptr<SSL> ssl_;
  std::string unsent_;
};

inline std::shared_ptr<const pki::Identity> load_identity(const TestCertificate& certificate) {
  auto identity = pki::Identity::load(certificate.chain_pem(), certificate.key_pem());
  check(identity.has_value(), "identity");
  return *identity;
}

inline std::shared_ptr<tls::UpstreamPolicy> make_policy(const TestAuthority& trust,
                                                        std::vector<std::string> names) {
  auto policy = std::make_shared<tls::UpstreamPolicy>();
  policy->name = "shop/shop/orders:443";
  policy->key = "key-1";
  policy->epoch = "epoch-1";
  auto ca = pki::CaBundle::load(trust.cert_pem(), kYear2026);
  check(ca.has_value(), "CA");
  policy->trust.push_back(*ca);
  policy->trust_sources.push_back("Secret/shop/ca");
  policy->rules.names = std::move(names);
  policy->min_version = TLS1_2_VERSION;
  policy->max_version = TLS1_3_VERSION;
  return policy;
}

inline void add_crl(tls::UpstreamPolicy& policy, const std::string& pem) {
  auto crl = pki::CrlSet::load(pem);
  check(crl.has_value(), "CRL");
  policy.crls.push_back(*crl);
  policy.crl_sources.push_back("Secret/shop/crl");
  policy.rules.crl_scope = pki::CrlScope::Chain;
}

}  // namespace handfast::testing
