#include "proxy/upstream/dial.h"

#include <string.h>
#include <sys/epoll.h>

#include <utility>

#include "proxy/pki/asn1_text.h"
#include "proxy/upstream/pool.h"

namespace handfast::upstream {

Dial::Dial(Pool& pool, const Target& target, std::string service, EndpointLoad::Place place)
    : pool_(pool), target_(target), timer_(pool.loop_.timers(), [this] { on_timeout(); }) {
  made_.peer.address = target_.address;
  made_.peer.policy = target_.policy;
  made_.wire = target_.wire;
  made_.connect_timeout = target_.connect_timeout;
  made_.service = std::move(service);
  made_.place = std::move(place);
  auto socket = net::Socket::connect(target_.address);
  if (!socket) {
    early_failure_ = socket.error();
    pool_.loop_.at_round_end(*this);
    return;
  }
  connecting_ = std::move(*socket);
  if (auto added = pool_.loop_.add(connecting_.fd(), *this); !added) {
    early_failure_ = Error{Reason::ConnectRefused, added.error().detail};
    pool_.loop_.at_round_end(*this);
    return;
  }
  timer_.set(pool_.loop_.now() + target_.connect_timeout);
}

Dial::~Dial() = default;

void Dial::add(ChannelUser& user) {
  user.dial_ = this;
  waiting_.push_back(user);
}

void Dial::remove(ChannelUser& user) {
  user.unlink();
  user.dial_ = nullptr;
  if (waiting_.empty()) pool_.close(*this);
}

void Dial::on_event(std::uint32_t events) {
  if (state_ == State::Connecting) {
    connecting_.note_events(events);
    advance_connect();
  } else if (state_ == State::Handshaking) {
    made_.stream->socket().note_events(events);
    advance_handshake();
  }
}

void Dial::on_round_end() {
  if (early_failure_ && state_ != State::Closed) fail(*std::exchange(early_failure_, std::nullopt));
}

void Dial::advance_connect() {
  if (!connecting_.writable()) return;
  if (const int error = connecting_.take_connect_error(); error != 0) {
    fail({error == ETIMEDOUT ? Reason::ConnectTimeout : Reason::ConnectRefused,
          target_.address.to_string() + ": " + ::strerror(error)});
    return;
  }
  if (!target_.prelude.empty() && !send_prelude()) return;
  if (target_.policy == nullptr) {
    made_.stream = std::make_unique<net::PlainStream>(std::move(connecting_), pool_.buffers_);
    made_.http2 = target_.wire == Wire::Http2;
    finish();
    return;
  }
  auto stream = pool_.tls_.connect(std::move(connecting_), pool_.buffers_, target_.address,
                                   target_.policy, alpn_of(target_.wire));
  if (!stream) {
    fail(stream.error());
    return;
  }
  made_.tls = stream->get();
  made_.stream = std::move(*stream);
  state_ = State::Handshaking;
  advance_handshake();
}

// A new connection's socket has room for it. False: failed.
bool Dial::send_prelude() {
  const net::IoResult sent = connecting_.send(target_.prelude);
  if (sent.state == net::IoState::Data && sent.bytes == target_.prelude.size()) return true;
  fail({Reason::ConnectRefused, target_.address.to_string() + ": it took no PROXY header"});
  return false;
}

void Dial::advance_handshake() {
  tls::TlsStream::State state = made_.tls->advance_handshake();
  const net::FlushState flushed = made_.stream->flush();
  if (state == tls::TlsStream::State::Failed) {
    fail(made_.tls->failure());
    return;
  }
  if (flushed == net::FlushState::Failed) {
    // The peer hung up; what it said before, an alert perhaps, is read first.
    made_.stream->socket().note_events(EPOLLIN | EPOLLRDHUP);
    state = made_.tls->advance_handshake();
    if (state != tls::TlsStream::State::Open) {
      fail(made_.tls->failure());
      return;
    }
  }
  if (state != tls::TlsStream::State::Open) return;
  made_.http2 = made_.tls->alpn() == "h2";
  if (target_.wire == Wire::Http2 && !made_.http2) {
    fail({Reason::Alpn, target_.address.to_string() + ": the backend doesn't speak HTTP/2"});
    return;
  }
  finish();
}

void Dial::note_peer() {
  if (made_.tls == nullptr) return;
  SSL* ssl = made_.tls->ssl();
  TlsFacts& facts = made_.peer.tls;
  facts.version = SSL_get_version(ssl);
  facts.cipher = SSL_get_cipher_name(ssl);
  facts.certificate_requested = made_.tls->certificate_requested();
  facts.resumed = made_.tls->resumed();
  if (const X509* peer = made_.tls->peer(); peer != nullptr) {
    // Not pki::describe(), which tells more, for three times as much.
    facts.peer_subject = pki::name_text(X509_get_subject_name(peer));
    facts.peer_serial = pki::serial_text(X509_get0_serialNumber(peer));
    if (target_.policy->verify) {
      made_.peer_not_after = pki::to_unix(X509_get0_notAfter(peer)).value_or(0);
    }
  }
  made_.valid_until = made_.tls->verdict().valid_until;
  facts.would_refuse = made_.would_refuse = made_.tls->verdict().would_refuse;
}

void Dial::finish() {
  note_peer();
  pool_.hooks_.on_handshake({&made_.service, &target_.address, made_.tls != nullptr,
                             made_.peer.tls.resumed, Reason::Ok,
                             made_.tls == nullptr ? nullptr : &made_.tls->verdict(),
                             policy_key_of(target_.policy.get())});
  pool_.on_dialled(*this);
}

void Dial::on_timeout() {
  const bool connected = state_ == State::Handshaking;
  fail({connected ? Reason::HandshakeTimeout : Reason::ConnectTimeout,
        target_.address.to_string() +
            (connected ? ": the TLS handshake took too long" : ": no connection in time")});
}

void Dial::fail(Error error) {
  if (state_ == State::Handshaking) note_peer();  // whom we refused, or who refused us
  pool_.hooks_.on_handshake({&made_.service, &target_.address, target_.policy != nullptr,
                             made_.peer.tls.resumed, error.reason, nullptr,
                             policy_key_of(target_.policy.get()), error.detail});
  pool_.close(*this);  // lives on until the end of the round
  while (!waiting_.empty()) {
    ChannelUser& user = waiting_.front();
    user.unlink();
    user.dial_ = nullptr;
    user.on_upstream_failed({error, /*unprocessed=*/true, false, false, &made_.peer});
  }
}

}  // namespace handfast::upstream
