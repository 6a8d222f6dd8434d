#include "proxy/net/socket.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace handfast::net {

Result<Socket> Socket::connect(const Address& address) {
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail(Reason::ConnectRefused, std::string("socket: ") + ::strerror(errno));
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd.get(), address.data(), address.length()) != 0 && errno != EINPROGRESS) {
    return fail(Reason::ConnectRefused, std::string("connect: ") + ::strerror(errno));
  }
  Socket socket(std::move(fd));
  socket.writable_ = false;
  return socket;
}

void Socket::note_events(std::uint32_t events) noexcept {
  if ((events & EPOLLIN) != 0) readable_ = true;
  if ((events & EPOLLOUT) != 0) writable_ = true;
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    hung_up_ = readable_ = writable_ = true;
  }
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) reset_ = true;
}

IoResult Socket::receive(std::span<char> space) noexcept {
  const IoResult result = receive(space, 0);
  if (result.state == IoState::Data && result.bytes < space.size() && !hung_up_) readable_ = false;
  return result;
}

IoResult Socket::peek(std::span<char> space) noexcept { return receive(space, MSG_PEEK); }

IoResult Socket::receive(std::span<char> space, int flags) noexcept {
  if (!readable_) return {IoState::WouldBlock, 0};
  for (;;) {
    const ssize_t got = ::recv(fd_.get(), space.data(), space.size(), flags);
    if (got > 0) return {IoState::Data, static_cast<std::size_t>(got)};
    if (got == 0) {
      readable_ = false;
      return {IoState::End, 0};
    }
    if (errno == EINTR) continue;
    readable_ = false;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoState::WouldBlock, 0};
    last_error_ = errno;
    return {IoState::Failed, 0};
  }
}

IoResult Socket::send(std::string_view bytes) noexcept {
  if (!writable_) return {IoState::WouldBlock, 0};
  for (;;) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      const auto taken = static_cast<std::size_t>(sent);
      if (taken < bytes.size()) writable_ = false;
      return {IoState::Data, taken};
    }
    if (errno == EINTR) continue;
    writable_ = false;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoState::WouldBlock, 0};
    last_error_ = errno;
    return {IoState::Failed, 0};
  }
}

int Socket::take_connect_error() noexcept {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

std::size_t Socket::unconfirmed() const noexcept {
  int bytes = 0;
  return ::ioctl(fd_.get(), SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::size_t>(bytes)
                                                                : 0;
}

void Socket::reset_on_close() noexcept {
  const linger now{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void Socket::shutdown_write() noexcept { ::shutdown(fd_.get(), SHUT_WR); }

}  // namespace handfast::net
