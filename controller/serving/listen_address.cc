#include "controller/serving/listen_address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <memory>
#include <system_error>

namespace handfast::serving {
namespace {

constexpr int kBacklog = 128;

Result<UniqueFd> listen_on(const addrinfo& one, bool takes_both) {
  UniqueFd fd{::socket(one.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  const int on = 1;
  const int off = 0;
  if (fd && one.ai_family == AF_INET6 && takes_both) {
    (void)::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  }
  if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::bind(fd.get(), one.ai_addr, one.ai_addrlen) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    return fail(Reason::Io, std::strerror(errno));
  }
  return fd;
}

}  // namespace

std::optional<ListenAddress> try_listen_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  unsigned port = 0;
  const char* end = port_text.data() + port_text.size();
  const auto [stop, error] = std::from_chars(port_text.data(), end, port);
  if (error != std::errc{} || stop != end || port == 0 || port > 65535) return std::nullopt;
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) return std::nullopt;
  } else if (host.find_first_of(":/@?#[] ") != std::string_view::npos) {
    return std::nullopt;
  }
  return ListenAddress{std::string(host), std::string(port_text)};
}

Result<UniqueFd> listen_on(const ListenAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const bool all = address.host.empty();
  const int error =
      ::getaddrinfo(all ? "::" : address.host.c_str(), address.port.c_str(), &hints, &found);
  if (error != 0) return fail(Reason::Io, ::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned{found, ::freeaddrinfo};
  auto socket = listen_on(*found, all);
  // A machine without IPv6.
  if (!socket && all) return listen_on(ListenAddress{"0.0.0.0", address.port});
  return socket;
}

}  // namespace handfast::serving
