#pragma once
// A client of the webhook's server, over loopback: it trusts what it is told to, and may show a
// certificate.

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/pki/openssl_ptr.h"

namespace handfast::admission::testing {

struct TlsClientOptions {
  std::string certificate, key;  // PEM; empty: none
  int most_version = 0;          // TLS1_1_VERSION; 0: the newest
};

class TlsClient {
 public:
  explicit TlsClient(const std::string& address, const TlsClientOptions& options = {})
      : context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free) {
    SSL_CTX_set_security_level(context_.get(), 0);
    if (options.most_version != 0) {
      SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
      SSL_CTX_set_max_proto_version(context_.get(), options.most_version);
    }
    use_pair(options);
    bio_.reset(BIO_new_ssl_connect(context_.get()));
    BIO_set_conn_hostname(bio_.get(), address.c_str());
    connected_ = BIO_do_connect(bio_.get()) == 1 && BIO_do_handshake(bio_.get()) == 1;
  }

  [[nodiscard]] bool connected() const { return connected_; }

  // What the server shows, PEM.
  [[nodiscard]] std::string certificate() const {
    SSL* ssl = nullptr;
    BIO_get_ssl(bio_.get(), &ssl);
    const pki::X509Ptr peer{SSL_get1_peer_certificate(ssl)};
    const pki::BioPtr out{BIO_new(BIO_s_mem())};
    if (!peer || PEM_write_bio_X509(out.get(), peer.get()) != 1) return {};
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(out.get(), &bytes);
    return {bytes, static_cast<std::size_t>(size)};
  }

  void send(std::string_view bytes) {
    std::size_t at = 0;
    while (at < bytes.size()) {
      const int sent =
          BIO_write(bio_.get(), bytes.data() + at, static_cast<int>(bytes.size() - at));
      if (sent <= 0) return;
      at += static_cast<std::size_t>(sent);
    }
  }

  // Until `end` stands in what came, or the server closes.
  [[nodiscard]] std::string receive(std::string_view end) {
    std::string got;
    std::array<char, 4096> part{};
    while (got.find(end) == std::string::npos) {
      const int size = BIO_read(bio_.get(), part.data(), static_cast<int>(part.size()));
      if (size <= 0) break;
      got.append(part.data(), static_cast<std::size_t>(size));
    }
    return got;
  }

 private:
  void use_pair(const TlsClientOptions& options) {
    if (options.certificate.empty()) return;
    const pki::BioPtr certificate{BIO_new_mem_buf(options.certificate.data(), -1)};
    const pki::BioPtr key{BIO_new_mem_buf(options.key.data(), -1)};
    const pki::X509Ptr leaf{PEM_read_bio_X509(certificate.get(), nullptr, nullptr, nullptr)};
    const pki::EvpPkeyPtr own{PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr)};
    SSL_CTX_use_certificate(context_.get(), leaf.get());
    SSL_CTX_use_PrivateKey(context_.get(), own.get());
  }

  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
  pki::BioPtr bio_;
  bool connected_ = false;
};

}  // namespace handfast::admission::testing
