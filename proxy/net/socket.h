#pragma once
// A connected (or connecting) TCP or Unix stream socket under edge-triggered epoll.
//
// It remembers what the last event and the last call told about readiness, so that no call is made
// which can only answer EAGAIN: a receive that came back shorter than asked means drained until the
// next event; an event with RDHUP, HUP or ERR lifts that, and then reading goes on to the end.
//
// Threading: one worker's.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "proxy/base/result.h"
#include "proxy/base/unique_fd.h"
#include "proxy/net/address.h"

namespace handfast::net {

enum class IoState : std::uint8_t { Data, WouldBlock, End, Failed };

struct IoResult {
  IoState state = IoState::WouldBlock;
  std::size_t bytes = 0;  // Data: more than 0
};

class Socket {
 public:
  Socket() = default;
  explicit Socket(UniqueFd fd) : fd_(std::move(fd)) {}

  // Starts a non-blocking connect. Failure: out of descriptors, no route, refused at once.
  static Result<Socket> connect(const Address& address);

  // Notes what epoll said. Before read or write in an event.
  void note_events(std::uint32_t events) noexcept;

  IoResult receive(std::span<char> space) noexcept;
  // The same bytes as receive(), which takes them after this, still has. Data: all there are now.
  IoResult peek(std::span<char> space) noexcept;
  // Data: some of the bytes were taken. Failed: see last_error().
  IoResult send(std::string_view bytes) noexcept;

  // SO_ERROR once writable after connect(): 0 or an errno.
  [[nodiscard]] int take_connect_error() noexcept;
  void shutdown_write() noexcept;
  // Bytes that the peer's system hasn't confirmed: a reset would destroy them.
  [[nodiscard]] std::size_t unconfirmed() const noexcept;
  // close() will reset the connection: the peer can't take what it has for the whole.
  void reset_on_close() noexcept;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool readable() const noexcept { return readable_; }
  [[nodiscard]] bool writable() const noexcept { return writable_; }
  // The peer closed its side or the connection broke (RDHUP, HUP, ERR seen).
  [[nodiscard]] bool hung_up() const noexcept { return hung_up_; }
  [[nodiscard]] bool reset() const noexcept { return reset_; }
  [[nodiscard]] int last_error() const noexcept { return last_error_; }

  void close() noexcept { fd_.reset(); }

 private:
  IoResult receive(std::span<char> space, int flags) noexcept;

  UniqueFd fd_;
  bool readable_ = false;
  bool writable_ = true;
  bool hung_up_ = false;
  bool reset_ = false;
  int last_error_ = 0;
};

}  // namespace handfast::net
