#include "controller/serving/peer.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include "proxy/pki/asn1_text.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::serving {
namespace {

constexpr std::size_t kMostTakenAtEnd = std::size_t{256} << 10;

bool is_would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

}  // namespace

Peer::~Peer() = default;

bool Peer::wait(short events, Deadline until) const {
  using std::chrono::milliseconds;
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd one{fd_, events, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(std::min<long>(left.count(), 60'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// Whether to try once more what OpenSSL answered `result` to.
bool Peer::wait_for_tls(int result, Deadline until, bool& is_late) {
  const int error = SSL_get_error(ssl_.get(), result);
  if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return false;
  is_late = !wait(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, until);
  return !is_late;
}

bool Peer::accept_tls(ssl_ctx_st* context, Deadline until) {
  ssl_ = {SSL_new(context), SSL_free};
  if (!ssl_ || SSL_set_fd(ssl_.get(), fd_) != 1) return false;
  // Else SSL_read goes on by itself, past any deadline, as long as records without data come.
  SSL_clear_mode(ssl_.get(), SSL_MODE_AUTO_RETRY);
  for (bool is_late = false;;) {
    const pki::CleanErrorQueue clean;
    const int result = SSL_accept(ssl_.get());
    if (result == 1) return true;
    if (!wait_for_tls(result, until, is_late)) return false;
  }
}

UnixSeconds Peer::let_in_until() const {
  UnixSeconds until = std::numeric_limits<UnixSeconds>::max();
  const STACK_OF(X509)* const chain = ssl_ ? SSL_get0_verified_chain(ssl_.get()) : nullptr;
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    // One whose end can't be read is over.
    const auto end = pki::to_unix(X509_get0_notAfter(sk_X509_value(chain, i)));
    until = std::min(until, end.value_or(0));
  }
  return until;
}

Peer::Got Peer::read(char* bytes, std::size_t most, std::size_t& count, Deadline until) {
  for (bool is_late = false;;) {
    if (ssl_) {
      const pki::CleanErrorQueue clean;
      const int result = SSL_read_ex(ssl_.get(), bytes, most, &count);
      if (result == 1) return Got::Bytes;
      if (!wait_for_tls(result, until, is_late)) return is_late ? Got::Late : Got::End;
      continue;
    }
    const ssize_t got = ::recv(fd_, bytes, most, 0);
    if (got > 0) {
      count = static_cast<std::size_t>(got);
      return Got::Bytes;
    }
    if (got == 0 || !is_would_block()) return Got::End;
    if (!wait(POLLIN, until)) return Got::Late;
  }
}

bool Peer::write(std::string_view bytes, Deadline until) {
  while (!bytes.empty()) {
    std::size_t sent = 0;
    if (ssl_) {
      const pki::CleanErrorQueue clean;
      bool is_late = false;
      const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &sent);
      if (result != 1 && !wait_for_tls(result, until, is_late)) return false;
      if (result != 1) continue;
    } else {
      const ssize_t done = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (done < 0 && (!is_would_block() || !wait(POLLOUT, until))) return false;
      if (done > 0) sent = static_cast<std::size_t>(done);
    }
    bytes.remove_prefix(sent);
  }
  return true;
}

void Peer::finish(Deadline until) {
  if (ssl_) {
    const pki::CleanErrorQueue clean;
    (void)SSL_shutdown(ssl_.get());
  }
  if (::shutdown(fd_, SHUT_WR) != 0) return;
  std::array<char, 16384> unread{};
  for (std::size_t taken = 0; taken < kMostTakenAtEnd;) {
    const ssize_t got = ::recv(fd_, unread.data(), unread.size(), 0);
    if (got == 0 || (got < 0 && !is_would_block())) return;
    if (got < 0 && !wait(POLLIN, until)) return;
    if (got > 0) taken += static_cast<std::size_t>(got);
  }
}

}  // namespace handfast::serving
