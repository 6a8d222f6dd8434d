#include "proxy/net/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <utility>

namespace handfast::net {
namespace {

constexpr int kBacklog = 4096;
// How long accepting rests when there are no descriptors left: long enough not to spin, short
// enough for a client not to notice.
constexpr std::chrono::milliseconds kAcceptPause{100};

// accept() hands on what became of a connection that waited (accept(2), "Error handling"): the next
// one may be good.
bool concerns_one_connection(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EPERM:
      return true;
    default:
      return false;
  }
}

std::string errno_text(const std::string& what) { return what + ": " + ::strerror(errno); }

Result<UniqueFd> cannot_listen(const Address& address) {
  return fail(Reason::Io, errno_text("cannot listen on " + address.to_string()));
}

Result<UniqueFd> bind_socket(const Address& address, bool shared) {
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return cannot_listen(address);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // Linux hands it on to each connection that is accepted.
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (shared) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address.family() == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  if (::bind(fd.get(), address.data(), address.length()) != 0) return cannot_listen(address);
  return fd;
}

}  // namespace

Result<UniqueFd> open_listener(const Address& address, PortUse use) {
  if (use == PortUse::First && address.port() != 0) {
    // Without SO_REUSEPORT it fails where anybody listens; the socket goes again at once.
    if (auto probe = bind_socket(address, /*shared=*/false); !probe) return fail(probe.error());
  }
  auto fd = bind_socket(address, /*shared=*/true);
  if (fd && ::listen(fd->get(), kBacklog) != 0) return cannot_listen(address);
  return fd;
}

Result<UniqueFd> open_unix_listener(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(Reason::InvalidValue, "control socket path is longer than " +
                                          std::to_string(sizeof address.sun_path - 1) +
                                          " bytes: " + path);
  }
  path.copy(address.sun_path, path.size());
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);

  UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (probe && ::connect(probe.get(), generic, sizeof address) == 0) {
    return fail(Reason::Io, "another process listens on " + path);
  }
  struct stat info{};
  if (::lstat(path.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) ::unlink(path.c_str());

  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const mode_t mask = ::umask(0177);
  const bool bound = fd && ::bind(fd.get(), generic, sizeof address) == 0;
  const int bind_error = errno;
  ::umask(mask);
  errno = bind_error;
  if (!bound || ::listen(fd.get(), 16) != 0)
    return fail(Reason::Io, errno_text("cannot listen on " + path));
  return fd;
}

Address local_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length);
  return Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage), length);
}

Result<std::unique_ptr<Listener>> Listener::create(event::Loop& loop, UniqueFd fd, Accept accept,
                                                   std::function<void()> on_pause) {
  std::unique_ptr<Listener> listener(
      new Listener(loop, std::move(fd), std::move(accept), std::move(on_pause)));
  if (auto added = loop.add(listener->fd_.get(), *listener); !added) return fail(added.error());
  return listener;
}

Listener::Listener(event::Loop& loop, UniqueFd fd, Accept accept, std::function<void()> on_pause)
    : loop_(loop),
      fd_(std::move(fd)),
      accept_(std::move(accept)),
      on_pause_(std::move(on_pause)),
      retry_(loop.timers(), [this] { accept_all(); }) {}

Listener::~Listener() {
  if (fd_) loop_.remove(fd_.get());
}

// In a pause more arrivals change nothing: they wait with the others.
void Listener::on_event(std::uint32_t /*events*/) {
  if (!retry_.armed()) accept_all();
}

void Listener::close() {
  if (!fd_) return;
  accept_all();
  retry_.cancel();
  loop_.remove(fd_.get());
  fd_.reset();
}

void Listener::accept_all() {
  while (fd_) {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    auto* peer = reinterpret_cast<sockaddr*>(&storage);
    UniqueFd client(::accept4(fd_.get(), peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!client) {
      if (concerns_one_connection(errno)) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      // EMFILE, ENFILE, ENOBUFS, ENOMEM. No event tells when it is over.
      retry_.set(loop_.now() + kAcceptPause);
      if (on_pause_ != nullptr) on_pause_();
      return;
    }
    accept_(Socket(std::move(client)), Address::from_sockaddr(peer, length));
  }
}

}  // namespace handfast::net
