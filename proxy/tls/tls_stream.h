#pragma once
// TLS over a socket that never blocks.
//
// OpenSSL reads through a BIO of ours straight from the socket and writes into a queue that always
// has room, so SSL_write never half-succeeds and flush() sends all records of an event in one call.
//
//   Handshaking -> Open -> Closed (both ended in order)
//   any -> Failed; the first failure is final, and failure() keeps its reason.
//
// Threading: one worker's. Ownership: owns socket and SSL. Not movable: OpenSSL holds its address.

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/net/stream.h"
#include "proxy/pki/identity.h"
#include "proxy/pki/openssl_ptr.h"
#include "proxy/tls/client_certificate.h"
#include "proxy/tls/resumption.h"
#include "proxy/tls/upstream_policy.h"

namespace handfast::tls {

using SslPtr = std::unique_ptr<SSL, pki::OpensslDeleter<SSL_free>>;
using SslCtxPtr = std::unique_ptr<SSL_CTX, pki::OpensslDeleter<SSL_CTX_free>>;

// TLS of a port that isn't HTTP's: the same whatever name the client gives, and nothing is agreed
// on by ALPN.
struct PortTls {
  std::uint16_t number = 0;
  std::shared_ptr<const pki::Identity> identity;          // never null
  std::shared_ptr<const ClientPolicy> clients = nullptr;  // whom they must be; null: anybody
};

class TlsStream final : public net::Stream {
 public:
  enum class State : std::uint8_t { Handshaking, Open, Closed, Failed };

  // Used by ServerContext and ClientContext, which configure `ssl`.
  TlsStream(net::Socket socket, BufferPool& pool, SslPtr ssl);
  ~TlsStream() override;

  // Goes on with the handshake as far as the bytes at hand allow; queues what must be sent, so call
  // flush() after. Open: done. Handshaking: wait for the socket. Failed: see failure().
  State advance_handshake();

  // An end without close_notify is Failed, not End: a cut response must never pass for a whole one.
  // So is a peer that sends TLS messages on and on (KeyUpdate, tickets) without data: OpenSSL would
  // read them for as long as they come, and the worker's other connections would wait.
  net::IoResult read(std::span<char> space) override;
  void write(std::string_view bytes) override;
  net::FlushState flush() override;
  [[nodiscard]] std::size_t queued() const override { return out_.size(); }
  void end_write() override;
  void release_memory() override { out_.release_if_empty(); }
  [[nodiscard]] net::Socket& socket() override { return socket_; }
  [[nodiscard]] const Error& failure() const override { return failure_; }

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] SSL* ssl() const noexcept { return ssl_.get(); }

  // Downstream, once open: the client has all that it needs for its side of the handshake. Before
  // TLS 1.3 the server's Finished is the last message and must be sent (RFC 5246 section 7.3); in
  // it only a ticket may be left to send.
  [[nodiscard]] bool peer_is_done() const { return SSL_version(ssl_.get()) >= TLS1_3_VERSION; }
  // The protocol that ALPN agreed on, or empty.
  [[nodiscard]] std::string_view alpn() const noexcept;
  // Downstream: the SNI as the client sent it, lower case; empty without one.
  [[nodiscard]] const std::string& server_name() const noexcept { return server_name_; }
  // Downstream: what the client showed, if it was asked for a certificate; else null.
  [[nodiscard]] ClientCertificate* client_certificate() const noexcept { return client_.get(); }
  // Upstream: the session of an earlier connection was taken up, with what was verified then.
  [[nodiscard]] bool resumed() const noexcept { return SSL_session_reused(ssl_.get()) == 1; }
  // Upstream: what the verifier said; whether the backend asked for our certificate. Of a resumed
  // connection: then, when its session was made.
  [[nodiscard]] const pki::Verdict& verdict() const noexcept { return verdict_; }
  [[nodiscard]] bool certificate_requested() const noexcept { return certificate_requested_; }
  // Upstream: the OCSP response that came with the certificate, or null; of a resumed connection,
  // then.
  [[nodiscard]] const std::shared_ptr<const std::string>& stapled() const noexcept {
    return stapled_;
  }
  // Upstream: the certificate that the verifier saw, refused or not; null before. Borrowed.
  [[nodiscard]] const X509* peer() const noexcept { return peer_.get(); }
  // Upstream: keeps all that the peer shows, for whoever explains the verdict; before the
  // handshake.
  void keep_shown_chain() noexcept { keeps_shown_chain_ = true; }
  // The peer's certificate first, refused or not; null unless kept, or before. Borrowed.
  [[nodiscard]] const STACK_OF(X509) * shown_chain() const noexcept { return shown_chain_.get(); }

  // Downstream: of a TCP port; null: the selector is asked.
  [[nodiscard]] const PortTls* port() const noexcept { return port_ ? &*port_ : nullptr; }
  void set_port(std::optional<PortTls> port) { port_ = std::move(port); }

  // For the callbacks of the contexts.
  void set_server_name(std::string name) { server_name_ = std::move(name); }
  void set_client_certificate(std::unique_ptr<ClientCertificate> client) {
    client_ = std::move(client);
  }
  void set_policy(std::shared_ptr<const UpstreamPolicy> policy) { policy_ = std::move(policy); }
  [[nodiscard]] const UpstreamPolicy* policy() const noexcept { return policy_.get(); }
  void set_resumption(std::unique_ptr<Resumption> resumption) {
    resumption_ = std::move(resumption);
  }
  [[nodiscard]] Resumption* resumption() const noexcept { return resumption_.get(); }
  // `leaf`: what was judged; OpenSSL itself forgets a certificate that was refused.
  void set_verdict(pki::Verdict verdict, pki::X509Ptr leaf) {
    verdict_ = std::move(verdict);
    peer_ = std::move(leaf);
  }
  // Upstream: the peer passed under newer trust, by the same rules; tickets that come now say so.
  void move_to(std::shared_ptr<const UpstreamPolicy> policy, const pki::Verdict& verdict) {
    policy_ = std::move(policy);
    verdict_ = verdict;
  }
  void note_shown_chain(STACK_OF(X509) * chain) {
    if (keeps_shown_chain_) shown_chain_.reset(X509_chain_up_ref(chain));
  }
  void note_certificate_request() noexcept { certificate_requested_ = true; }
  void note_staple_judged() noexcept { staple_judged_ = true; }
  void set_stapled(std::shared_ptr<const std::string> response) { stapled_ = std::move(response); }
  [[nodiscard]] static TlsStream& of(const SSL* ssl);

 private:
  static BIO_METHOD* bio_method();
  static int bio_read(BIO* bio, char* space, std::size_t size, std::size_t* got);
  static int bio_write(BIO* bio, const char* bytes, std::size_t size, std::size_t* taken);
  static long bio_ctrl(BIO* bio, int command, long argument, void* pointer);

  void fail_with(int ssl_error);
  [[nodiscard]] std::optional<Error> judge_opened() const;

  net::Socket socket_;
  Buffer out_;
  SslPtr ssl_;
  State state_ = State::Handshaking;
  bool socket_ended_ = false;
  bool babbled_ = false;
  std::size_t babble_ = 0;  // bytes received since the application was last given some
  bool certificate_requested_ = false;
  bool staple_judged_ = false;
  bool end_wanted_ = false;
  std::string server_name_;
  std::optional<PortTls> port_;
  std::unique_ptr<ClientCertificate> client_;  // null: not asked for
  std::shared_ptr<const UpstreamPolicy> policy_;
  std::unique_ptr<Resumption> resumption_;  // null: none
  pki::Verdict verdict_;
  pki::X509Ptr peer_;
  std::shared_ptr<const std::string> stapled_;
  bool keeps_shown_chain_ = false;
  pki::X509StackPtr shown_chain_;
  Error failure_;
};

}  // namespace handfast::tls
