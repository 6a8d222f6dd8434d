#pragma once
// The other ends of the proxy's connections, scripted: plain sockets on loopback that never block.
// A test calls pump() once a round (LoopDriver::each_round).

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/check.h"
#include "proxy/base/unique_fd.h"
#include "proxy/net/address.h"
#include "proxy/net/listener.h"

namespace handfast::testing {

class Peer {
 public:
  explicit Peer(UniqueFd fd) : fd_(std::move(fd)) {
    const int on = 1;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
  }

  static std::unique_ptr<Peer> connect(const net::Address& address) {
    UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    check(::connect(fd.get(), address.data(), address.length()) == 0, "connect to loopback");
    return std::make_unique<Peer>(std::move(fd));
  }

  void send(std::string_view bytes) { unsent_.append(bytes); }
  // Ends the sending side once everything is out.
  void finish() { finishing_ = true; }
  void close() { fd_.reset(); }
  // Closes with a reset.
  void abort() {
    const linger now{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    fd_.reset();
  }

  void pump() {
    while (fd_ && !unsent_.empty()) {
      const ssize_t sent = ::send(fd_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      unsent_.erase(0, static_cast<std::size_t>(sent));
    }
    if (fd_ && finishing_ && unsent_.empty()) {
      ::shutdown(fd_.get(), SHUT_WR);
      finishing_ = false;
    }
    std::array<char, 16384> space;
    while (fd_ && reading && !ended) {
      const ssize_t got = ::recv(fd_.get(), space.data(), space.size(), 0);
      if (got < 0 && errno != EAGAIN) reset = true;
      if (got == 0 || reset) ended = true;
      if (got <= 0) break;
      received.append(space.data(), static_cast<std::size_t>(got));
    }
  }

  // What was received, taken out.
  std::string take() { return std::exchange(received, {}); }
  [[nodiscard]] bool open() const { return static_cast<bool>(fd_); }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] UniqueFd release() { return std::move(fd_); }
  [[nodiscard]] std::size_t unsent() const { return unsent_.size(); }

  std::string received;
  bool reading = true;
  bool ended = false;
  bool reset = false;

 private:
  UniqueFd fd_;
  std::string unsent_;
  bool finishing_ = false;
};

// Two ends of one TCP connection.
inline std::pair<UniqueFd, UniqueFd> tcp_pair() {
  UniqueFd listener =
      std::move(net::open_listener(net::Address::from_ip("127.0.0.1", 0).value()).value());
  const net::Address address = net::local_address(listener.get());
  UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  check(::connect(client.get(), address.data(), address.length()) == 0, "connect to loopback");
  UniqueFd server(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  check(static_cast<bool>(server), "accept on loopback");
  ::fcntl(client.get(), F_SETFL, ::fcntl(client.get(), F_GETFL) | O_NONBLOCK);
  const int on = 1;
  ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return {std::move(client), std::move(server)};
}

// A backend on a free port of loopback; keeps every connection that it was ever sent.
class TestBackend {
 public:
  TestBackend()
      : fd_(std::move(net::open_listener(net::Address::from_ip("127.0.0.1", 0).value()).value())),
        address_(net::local_address(fd_.get())) {}

  void pump() {
    while (fd_) {
      UniqueFd accepted(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!accepted) break;
      peers.push_back(std::make_unique<Peer>(std::move(accepted)));
      peers.back()->reading = reading;
    }
    for (auto& peer : peers) peer->pump();
  }

  // From now on connections are refused.
  void refuse() { fd_.reset(); }
  [[nodiscard]] const net::Address& address() const { return address_; }
  [[nodiscard]] Peer& last() { return *peers.back(); }

  std::vector<std::unique_ptr<Peer>> peers;
  bool reading = true;

 private:
  UniqueFd fd_;
  net::Address address_;
};

}  // namespace handfast::testing
