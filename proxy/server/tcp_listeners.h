#pragma once
// The listening sockets of the TCP ports that a snapshot names: one for each address of ours, in
// each worker.
//
// A port that can't be had, because somebody else has it or it is one of our own, is told and tried
// again every second; it stands in nobody's way. A port that isn't wanted any more accepts what is
// queued and closes; connections that came in by it live on.
//
// TcpSockets is of the process, so that the first of our sockets on an address can make sure that
// nobody else listens there. Threading: TcpSockets any, TcpListeners one worker's.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/base/unique_fd.h"
#include "proxy/event/loop.h"
#include "proxy/net/address.h"
#include "proxy/net/listener.h"
#include "proxy/route/snapshot.h"

namespace handfast::server {

class TcpSockets {
 public:
  // Without ports: of the HTTP listeners. `own_ports`: theirs and those for metrics.
  TcpSockets(std::vector<net::Address> addresses, std::set<std::uint16_t> own_ports)
      : addresses_(std::move(addresses)), own_ports_(std::move(own_ports)) {}

  // One socket for each address, or the reason why there is none. close() for each success.
  [[nodiscard]] Result<std::vector<UniqueFd>> open(std::uint16_t port);
  void close(std::uint16_t port);

 private:
  const std::vector<net::Address> addresses_;
  const std::set<std::uint16_t> own_ports_;
  std::mutex mutex_;
  std::map<std::uint16_t, std::size_t> open_;  // port -> workers that listen
};

class TcpListeners {
 public:
  using Accept =
      std::function<void(std::uint16_t port, net::Socket socket, const net::Address& peer)>;

  // Borrows both.
  TcpListeners(event::Loop& loop, TcpSockets& sockets, Accept accept,
               std::function<void()> on_pause);
  ~TcpListeners();

  // Opens and closes what differs from before.
  void follow(const route::Snapshot& snapshot);
  // About once a second: those that couldn't be opened.
  void try_again();
  // Of a drain: after this nothing is opened any more.
  void close();

  // Ports that are wanted and can't be had.
  [[nodiscard]] std::size_t failed() const noexcept { return failed_.size(); }

 private:
  using OfPort = std::vector<std::unique_ptr<net::Listener>>;

  Status open(std::uint16_t port);
  void close_port(OfPort& listeners, std::uint16_t port);

  event::Loop& loop_;
  TcpSockets& sockets_;
  Accept accept_;
  std::function<void()> on_pause_;
  std::map<std::uint16_t, OfPort> open_;
  std::set<std::uint16_t> failed_;
  bool closed_ = false;
};

}  // namespace handfast::server
