#pragma once
// A listening socket of one worker: SO_REUSEPORT lets each worker have its own on the same address.
//
// When descriptors or memory run out it pauses for a moment instead of spinning, and goes on by
// itself; who waits in the backlog is not lost.
// Threading: one loop's. Errors: open() says what the operator can change.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "proxy/base/result.h"
#include "proxy/event/loop.h"
#include "proxy/net/address.h"
#include "proxy/net/socket.h"

namespace handfast::net {

// Whether another of our own sockets listens on the same address already. If not, nobody may: a
// second process would silently get its share of the connections.
enum class PortUse : std::uint8_t { First, Shared };

// Opens a socket to listen on; port 0 takes a free one. Non-blocking, backlog 4096. An IPv6 address
// takes IPv6 alone, [::] too: each address means what it says whatever the system's default is,
// both families can be told apart, and no peer comes as a mapped address.
[[nodiscard]] Result<UniqueFd> open_listener(const Address& address, PortUse use = PortUse::First);
// A Unix socket at `path`, mode 0600; one that nobody listens on any more is replaced.
[[nodiscard]] Result<UniqueFd> open_unix_listener(const std::string& path);
// Where a listening socket is bound.
[[nodiscard]] Address local_address(int fd);

class Listener final : public event::Handler {
 public:
  using Accept = std::function<void(Socket socket, const Address& peer)>;

  // `on_pause`: once for each pause.
  static Result<std::unique_ptr<Listener>> create(event::Loop& loop, UniqueFd fd, Accept accept,
                                                  std::function<void()> on_pause = {});
  ~Listener() override;

  void on_event(std::uint32_t events) override;
  // Accepts what is queued, then closes: nobody in the backlog is reset. (New ones go to others.)
  void close();

 private:
  Listener(event::Loop& loop, UniqueFd fd, Accept accept, std::function<void()> on_pause);
  void accept_all();

  event::Loop& loop_;
  UniqueFd fd_;
  Accept accept_;
  std::function<void()> on_pause_;
  event::Timer retry_;  // armed: in a pause
};

}  // namespace handfast::net
