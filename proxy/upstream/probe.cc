#include "proxy/upstream/probe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "proxy/net/socket.h"
#include "proxy/net/stream.h"
#include "proxy/pki/asn1_text.h"
#include "proxy/pki/openssl_ptr.h"
#include "proxy/pki/trust.h"
#include "proxy/tls/tls_stream.h"
#include "proxy/upstream/connection.h"

namespace handfast::upstream {
namespace {

constexpr std::chrono::seconds kConfirmation{1};
constexpr int kMostIssuers = 20;

using tls::TlsStream;

// How long to wait, and whether it was called off.
struct Limit {
  Monotonic deadline;
  const Clock& clock;
  const std::atomic<bool>* stopped;
};

// How soon a stop is noticed.
constexpr long kSlice = 100;

// Waits until the socket can do what is wanted. False: the deadline has passed.
bool await(net::Socket& socket, bool to_write, const Limit& limit) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(limit.deadline - limit.clock.now()).count();
    if (left <= 0 || (limit.stopped != nullptr && *limit.stopped)) return false;
    pollfd one{};
    one.fd = socket.fd();
    one.events = static_cast<short>((to_write ? POLLOUT : POLLIN) | POLLRDHUP);
    const int ready = ::poll(&one, 1, static_cast<int>(std::min<long>(left, kSlice)));
    if (ready < 0 && errno != EINTR) return false;
    if (ready <= 0) continue;
    std::uint32_t events = 0;
    if ((one.revents & POLLIN) != 0) events |= EPOLLIN;
    if ((one.revents & POLLOUT) != 0) events |= EPOLLOUT;
    if ((one.revents & POLLRDHUP) != 0) events |= EPOLLRDHUP;
    if ((one.revents & POLLHUP) != 0) events |= EPOLLHUP;
    if ((one.revents & POLLERR) != 0) events |= EPOLLERR;
    socket.note_events(events);
    return true;
  }
}

// Nothing when the handshake is done; the failure as Dial names it.
Error shake_hands(TlsStream& stream, const Limit& limit) {
  for (;;) {
    const TlsStream::State state = stream.advance_handshake();
    const net::FlushState flushed = stream.flush();
    if (state == TlsStream::State::Failed) return stream.failure();
    if (flushed == net::FlushState::Failed) {
      // What the peer said before it hung up, an alert perhaps, is read first.
      stream.socket().note_events(EPOLLIN | EPOLLRDHUP);
      if (stream.advance_handshake() != TlsStream::State::Open) return stream.failure();
      return {Reason::Ok, {}};
    }
    const bool unsent = flushed == net::FlushState::WouldBlock;
    if (state == TlsStream::State::Open && !unsent) return {Reason::Ok, {}};
    if (!await(stream.socket(), unsent, limit)) {
      return {Reason::HandshakeTimeout, "the TLS handshake took too long"};
    }
  }
}

void on_message(int write, int /*version*/, int type, const void* bytes, std::size_t size,
                SSL* /*ssl*/, void* argument) {
  if (write == 0 && type == SSL3_RT_HANDSHAKE && size > 0 &&
      *static_cast<const unsigned char*>(bytes) == SSL3_MT_NEWSESSION_TICKET) {
    *static_cast<bool*>(argument) = true;
  }
}

// After the handshake, of a backend that asked for our certificate.
Acceptance await_confirmation(TlsStream& stream, const bool& ticket, ProbeResult& result,
                              const Limit& limit) {
  // Before TLS 1.3 a server's Finished answers ours.
  if (SSL_version(stream.ssl()) < TLS1_3_VERSION) return Acceptance::Finished;
  std::array<char, 4096> space{};
  for (;;) {
    const net::IoResult got = stream.read(space);
    if (got.state == net::IoState::Data) return Acceptance::Heard;
    if (got.state == net::IoState::Failed) {
      result.verdict = stream.failure();
      return result.verdict.reason == Reason::ClientCertificateRejected ? Acceptance::Rejected
                                                                        : Acceptance::NotConfirmed;
    }
    if (ticket) return Acceptance::Finished;
    if (got.state == net::IoState::End) return Acceptance::NotConfirmed;
    if (!await(stream.socket(), false, limit)) return Acceptance::NotConfirmed;
  }
}

// Whoever signed `certificate`, of those that were shown or are trusted; null: nobody.
X509* find_issuer(X509* certificate, const STACK_OF(X509) * shown,
                  const tls::UpstreamPolicy& policy) {
  const auto signed_it = [certificate](X509* issuer) {
    const bool yes =
        X509_NAME_cmp(X509_get_issuer_name(certificate), X509_get_subject_name(issuer)) == 0 &&
        X509_verify(certificate, X509_get0_pubkey(issuer)) == 1;
    if (!yes) (void)pki::drain_openssl_errors();
    return yes;
  };
  for (const auto& bundle : policy.trust) {
    for (const auto& anchor : bundle->anchors()) {
      if (signed_it(anchor.get())) return anchor.get();
    }
  }
  for (int i = 0; i < sk_X509_num(shown); ++i) {
    if (signed_it(sk_X509_value(shown, i))) return sk_X509_value(shown, i);
  }
  return nullptr;
}

std::string revocation_text(X509* certificate, const STACK_OF(X509) * shown,
                            const tls::UpstreamPolicy& policy, UnixSeconds now) {
  const X509* issuer = find_issuer(certificate, shown, policy);
  if (issuer == nullptr) return "";
  const auto coverage = pki::CrlSet::check(policy.crls, *certificate, *issuer, now);
  if (coverage.answer != pki::CrlSet::Answer::Good) return coverage.detail;
  return coverage.next_update == 0 ? "not revoked"
                                   : "not revoked, until " + pki::rfc3339(coverage.next_update);
}

// Revocation is judged last, on a chain that holds.
bool tells_of_revocation(Reason reason) {
  return reason == Reason::Ok || reason == Reason::Revoked || reason == Reason::CrlMissing ||
         reason == Reason::CrlExpired || reason == Reason::CrlNotYetValid;
}

void note_peer(const TlsStream& stream, const tls::UpstreamPolicy& policy, UnixSeconds now,
               ProbeResult& result) {
  SSL* ssl = stream.ssl();
  const char* cipher = SSL_get_cipher_name(ssl);
  if (SSL_get_current_cipher(ssl) != nullptr) {
    result.version = SSL_get_version(ssl);
    result.cipher = cipher;
  }
  result.alpn = stream.alpn();
  result.stapled = stream.stapled() != nullptr;
  result.certificate_requested = stream.certificate_requested();
  const STACK_OF(X509_NAME)* names = SSL_get0_peer_CA_list(ssl);
  for (int i = 0; i < std::min(sk_X509_NAME_num(names), kMostIssuers); ++i) {
    result.accepted_issuers.push_back(pki::name_text(sk_X509_NAME_value(names, i)));
  }
  const STACK_OF(X509)* shown = stream.shown_chain();
  const pki::Verdict& verdict = stream.verdict();
  if (verdict.would_refuse != Reason::Ok) {
    result.but_for = {verdict.would_refuse, verdict.detail};
  } else if (verdict.crl_skipped != Reason::Ok) {
    result.but_for = {verdict.crl_skipped, "a certificate that no valid CRL covers is let through"};
  }
  const Reason found = verdict.ok() ? verdict.would_refuse : verdict.reason;
  const bool judged =
      policy.verify && policy.rules.crl_scope != pki::CrlScope::Off && tells_of_revocation(found);
  const auto is_anchor = [&policy](X509* certificate) {
    for (const auto& bundle : policy.trust) {
      for (const auto& anchor : bundle->anchors()) {
        if (X509_cmp(anchor.get(), certificate) == 0) return true;
      }
    }
    return false;
  };
  for (int i = 0; i < sk_X509_num(shown); ++i) {
    X509* certificate = sk_X509_value(shown, i);
    // An anchor is believed as it stands.
    const bool asked =
        judged &&
        (i == 0 || (policy.rules.crl_scope != pki::CrlScope::Leaf && !is_anchor(certificate)));
    result.chain.push_back(
        {pki::describe(*certificate),
         asked ? revocation_text(certificate, shown, policy, now) : std::string()});
  }
  if (verdict.ok()) result.valid_until = verdict.valid_until;
}

}  // namespace

ProbeResult Prober::run(const net::Address& address,
                        const std::shared_ptr<const tls::UpstreamPolicy>& policy, Wire wire,
                        std::chrono::milliseconds timeout) {
  ProbeResult result;
  const Monotonic begin = clock_.now();
  const Limit limit{begin + timeout, clock_, stopped_};
  const auto end = [this, begin, &result](Error verdict) {
    result.verdict = std::move(verdict);
    result.took = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - begin);
    return std::move(result);
  };
  auto socket = net::Socket::connect(address);
  if (!socket) return end(socket.error());
  if (!await(*socket, true, limit)) {
    return end({Reason::ConnectTimeout, "no connection in time"});
  }
  if (const int error = socket->take_connect_error(); error != 0) {
    return end(
        {error == ETIMEDOUT ? Reason::ConnectTimeout : Reason::ConnectRefused, ::strerror(error)});
  }
  auto made = context_.connect(std::move(*socket), buffers_, address, policy, alpn_of(wire));
  if (!made) return end(made.error());
  TlsStream& stream = **made;
  stream.keep_shown_chain();
  bool ticket = false;
  SSL_set_msg_callback(stream.ssl(), on_message);
  SSL_set_msg_callback_arg(stream.ssl(), &ticket);

  Error failure = shake_hands(stream, limit);
  note_peer(stream, *policy, clock_.unix_now(), result);
  if (failure.reason == Reason::Ok && wire == Wire::Http2 && stream.alpn() != "h2") {
    failure = {Reason::Alpn, "the backend doesn't speak HTTP/2"};
  }
  if (failure.reason != Reason::Ok) {
    if (failure.reason == Reason::ClientCertificateRejected) {
      result.acceptance = Acceptance::Rejected;
    }
    return end(std::move(failure));
  }
  result.took = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - begin);
  result.acceptance = result.certificate_requested
                          ? await_confirmation(stream, ticket, result,
                                               {clock_.now() + kConfirmation, clock_, stopped_})
                          : Acceptance::Unasked;
  stream.end_write();
  (void)stream.flush();
  return result;
}

}  // namespace handfast::upstream
