#include "proxy/tls/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <string.h>

#include <utility>

#include "proxy/base/check.h"
#include "proxy/tls/failure.h"

namespace handfast::tls {
namespace {

// What OpenSSL reads at a time, of which it gives back what it doesn't need: six records of a bulk
// body in one call instead of one each. Below what malloc() would map anew each time (128 kB).
constexpr std::size_t kReadBuffer = 96 * 1024;

// What may come on an open connection without a byte for the application: some tickets, and a
// record that isn't whole yet. Of KeyUpdate it is 2,000 messages.
constexpr std::size_t kMaxBabble = 64 * 1024;

// Before each call that may fail: the queue is the thread's, and an old entry would be taken for
// the new failure. It is empty nearly always, and emptying it all the same frees 32 strings.
void clear_old_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace

TlsStream::TlsStream(net::Socket socket, BufferPool& pool, SslPtr ssl)
    : socket_(std::move(socket)), out_(pool), ssl_(std::move(ssl)) {
  BIO* bio = BIO_new(bio_method());
  check(bio != nullptr, "BIO_new");
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);  // owns it now
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_read_ahead(ssl_.get(), 1);
  SSL_set_default_read_buffer_len(ssl_.get(), kReadBuffer);
}

TlsStream::~TlsStream() {
  // Without this, SSL_free marks the session of a healthy connection as not resumable.
  if (state_ != State::Failed) {
    SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  }
  const bool failed = state_ == State::Failed || state_ == State::Handshaking;
  if (failed && resumption_ != nullptr) resumption_->on_failed();
}

TlsStream& TlsStream::of(const SSL* ssl) { return *static_cast<TlsStream*>(SSL_get_app_data(ssl)); }

std::string_view TlsStream::alpn() const noexcept {
  const unsigned char* name = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &length);
  return {reinterpret_cast<const char*>(name), length};
}

BIO_METHOD* TlsStream::bio_method() {
  // Made once, by whichever thread is first; lives as long as the process.
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "handfast socket");
    check(made != nullptr, "BIO_meth_new");
    BIO_meth_set_read_ex(made, bio_read);
    BIO_meth_set_write_ex(made, bio_write);
    BIO_meth_set_ctrl(made, bio_ctrl);
    return made;
  }();
  return method;
}

int TlsStream::bio_read(BIO* bio, char* space, std::size_t size, std::size_t* got) {
  auto& stream = *static_cast<TlsStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (stream.state_ == State::Open && stream.babble_ > kMaxBabble) {
    stream.babbled_ = true;
    return 0;
  }
  const net::IoResult result = stream.socket_.receive({space, size});
  *got = result.bytes;
  stream.babble_ += result.bytes;
  if (result.state == net::IoState::Data) return 1;
  if (result.state == net::IoState::WouldBlock) {
    BIO_set_retry_read(bio);
    return 0;
  }
  stream.socket_ended_ = true;
  return 0;
}

int TlsStream::bio_write(BIO* bio, const char* bytes, std::size_t size, std::size_t* taken) {
  auto& stream = *static_cast<TlsStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  stream.out_.append({bytes, size});
  *taken = size;
  return 1;
}

long TlsStream::bio_ctrl(BIO* bio, int command, long /*argument*/, void* /*pointer*/) {
  const auto& stream = *static_cast<TlsStream*>(BIO_get_data(bio));
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return stream.socket_ended_ ? 1 : 0;
  return 0;
}

void TlsStream::fail_with(int ssl_error) {
  if (state_ == State::Failed) return;
  FailureContext context;
  context.handshake_done = state_ == State::Open;
  const OSSL_HANDSHAKE_STATE at = SSL_get_state(ssl_.get());
  context.server_hello_seen = at != TLS_ST_BEFORE && at != TLS_ST_CW_CLNT_HELLO;
  context.certificate_requested = certificate_requested_;
  context.end_of_stream = socket_ended_;
  if (!verdict_.ok()) {
    ERR_clear_error();
    failure_ = Error{verdict_.reason, verdict_.detail};
  } else if (babbled_) {
    ERR_clear_error();
    failure_ = Error{Reason::BadResponse, "the peer sends TLS messages without end and no data"};
  } else {
    failure_ = name_failure(ssl_error, context);
  }
  state_ = State::Failed;
}

// What only the whole handshake tells. Nothing of a request has been sent yet.
std::optional<Error> TlsStream::judge_opened() const {
  if (policy_ == nullptr) return std::nullopt;
  if (policy_->asks_for_staple() && !resumed() && !staple_judged_) {
    return Error{Reason::Ocsp, "the stapled OCSP response wasn't judged"};  // never to be seen
  }
  if (policy_->require_certificate_request && !certificate_requested_) {
    return Error{Reason::ClientCertificateNotRequested,
                 "the backend didn't ask for our certificate, so it can't know who we are"};
  }
  return std::nullopt;
}

TlsStream::State TlsStream::advance_handshake() {
  if (state_ != State::Handshaking) return state_;
  clear_old_errors();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    state_ = State::Open;
    babble_ = 0;
    if (client_ != nullptr) client_->settle(resumed());
    if (resumption_ != nullptr) resumption_->on_open(*this);
    if (auto error = judge_opened()) {
      failure_ = std::move(*error);
      state_ = State::Failed;
    }
    return state_;
  }
  const int error = SSL_get_error(ssl_.get(), result);
  if (error != SSL_ERROR_WANT_READ) fail_with(error);
  return state_;
}

net::IoResult TlsStream::read(std::span<char> space) {
  if (state_ == State::Closed) return {net::IoState::End, 0};
  if (state_ != State::Open) {
    return {state_ == State::Failed ? net::IoState::Failed : net::IoState::WouldBlock, 0};
  }
  // Nothing in the socket and not even a part of a record here: OpenSSL would find that out too,
  // but dearly. (SSL_has_pending() is true for a part of a record: then it must be asked.)
  if (!socket_.readable() && SSL_has_pending(ssl_.get()) == 0) return {net::IoState::WouldBlock, 0};
  clear_old_errors();
  std::size_t got = 0;
  if (SSL_read_ex(ssl_.get(), space.data(), space.size(), &got) == 1) {
    babble_ = 0;
    return {net::IoState::Data, got};
  }
  const int error = SSL_get_error(ssl_.get(), 0);
  if (error == SSL_ERROR_WANT_READ) return {net::IoState::WouldBlock, 0};
  if (error == SSL_ERROR_ZERO_RETURN) {
    state_ = State::Closed;
    return {net::IoState::End, 0};
  }
  fail_with(error);
  return {net::IoState::Failed, 0};
}

void TlsStream::write(std::string_view bytes) {
  if (bytes.empty() || (state_ != State::Open && state_ != State::Closed)) return;
  clear_old_errors();
  std::size_t taken = 0;
  if (SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &taken) != 1) {
    fail_with(SSL_get_error(ssl_.get(), 0));
    return;
  }
  check(taken == bytes.size(), "the output queue always has room");
}

net::FlushState TlsStream::flush() {
  const net::FlushState sent = net::flush_queue(socket_, out_);
  if (sent == net::FlushState::Failed) {
    // The peer may have said why before it closed: the reader finds the alert, so the state stays.
    if (failure_.detail.empty()) {
      failure_ = Error{state_ == State::Handshaking ? Reason::HandshakeClosed : Reason::BadResponse,
                       ::strerror(socket_.last_error())};
    }
    return sent;
  }
  if (state_ == State::Failed && out_.empty()) return net::FlushState::Failed;
  if (sent == net::FlushState::Done && end_wanted_) {
    end_wanted_ = false;
    socket_.shutdown_write();
  }
  return sent;
}

void TlsStream::end_write() {
  if (state_ == State::Open || state_ == State::Closed) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());  // queues our close_notify
    ERR_clear_error();
  }
  end_wanted_ = true;
}

}  // namespace handfast::tls
