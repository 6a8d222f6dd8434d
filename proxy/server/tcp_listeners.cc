#include "proxy/server/tcp_listeners.h"

#include "proxy/base/log.h"

namespace handfast::server {

Result<std::vector<UniqueFd>> TcpSockets::open(std::uint16_t port) {
  if (own_ports_.contains(port)) {
    return fail(Reason::InvalidValue, "the proxy itself listens on port " + std::to_string(port));
  }
  if (addresses_.empty()) {
    return fail(Reason::InvalidValue, "there is no listener for HTTP whose address could be used");
  }
  const std::lock_guard lock(mutex_);
  const auto known = open_.find(port);
  const auto use = known == open_.end() ? net::PortUse::First : net::PortUse::Shared;
  std::vector<UniqueFd> sockets;
  for (const net::Address& address : addresses_) {
    const auto place = net::Address::from_ip(address.ip(), port);
    if (!place) return fail(place.error());
    auto socket = net::open_listener(*place, use);
    if (!socket) return fail(socket.error());
    sockets.push_back(std::move(*socket));
  }
  ++open_[port];
  return sockets;
}

void TcpSockets::close(std::uint16_t port) {
  const std::lock_guard lock(mutex_);
  const auto known = open_.find(port);
  if (known != open_.end() && --known->second == 0) open_.erase(known);
}

TcpListeners::TcpListeners(event::Loop& loop, TcpSockets& sockets, Accept accept,
                           std::function<void()> on_pause)
    : loop_(loop), sockets_(sockets), accept_(std::move(accept)), on_pause_(std::move(on_pause)) {}

TcpListeners::~TcpListeners() = default;

void TcpListeners::follow(const route::Snapshot& snapshot) {
  if (closed_) return;
  std::erase_if(failed_, [&](std::uint16_t port) { return !snapshot.tcp_ports.contains(port); });
  for (auto port = open_.begin(); port != open_.end();) {
    if (snapshot.tcp_ports.contains(port->first)) {
      ++port;
      continue;
    }
    close_port(port->second, port->first);
    port = open_.erase(port);
  }
  for (const auto& [port, entry] : snapshot.tcp_ports) {
    if (open_.contains(port) || failed_.contains(port)) continue;
    const Status opened = open(port);
    if (opened) continue;
    failed_.insert(port);
    log(LogLevel::Error, "a TCP port can't be opened, and is tried again",
        {{"port", std::to_string(port)}, {"detail", opened.error().detail}});
  }
}

Status TcpListeners::open(std::uint16_t port) {
  auto sockets = sockets_.open(port);
  if (!sockets) return fail(sockets.error());
  OfPort listeners;
  for (UniqueFd& socket : *sockets) {
    auto listener = net::Listener::create(
        loop_, std::move(socket),
        [this, port](net::Socket client, const net::Address& peer) {
          accept_(port, std::move(client), peer);
        },
        on_pause_);
    if (!listener) {
      sockets_.close(port);
      return fail(listener.error());
    }
    listeners.push_back(std::move(*listener));
  }
  open_.emplace(port, std::move(listeners));
  return {};
}

void TcpListeners::try_again() {
  std::erase_if(failed_, [this](std::uint16_t port) {
    if (!open(port)) return false;
    log(LogLevel::Info, "a TCP port is open now", {{"port", std::to_string(port)}});
    return true;
  });
}

void TcpListeners::close_port(OfPort& listeners, std::uint16_t port) {
  for (const auto& listener : listeners) listener->close();
  listeners.clear();
  sockets_.close(port);
}

void TcpListeners::close() {
  closed_ = true;
  for (auto& [port, listeners] : open_) close_port(listeners, port);
  open_.clear();
  failed_.clear();
}

}  // namespace handfast::server
