#pragma once
// A connection that was accepted, plain or under TLS, for a thread that waits: each step has a
// deadline, and a socket that somebody else shuts down ends the step that waits for it.
//
// Threading: one thread's. Ownership: borrows the socket.

#include <chrono>
#include <cstddef>
#include <memory>
#include <string_view>

#include "proxy/base/clock.h"

struct ssl_ctx_st;
struct ssl_st;

namespace handfast::serving {

using Deadline = std::chrono::steady_clock::time_point;

class Peer final {
 public:
  // `fd` doesn't block.
  explicit Peer(int fd) : fd_(fd) {}
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // False: it is no client of ours.
  [[nodiscard]] bool accept_tls(ssl_ctx_st* context, Deadline until);

  // The last second of the certificates by which the client was let in; of one without, the last
  // of all.
  [[nodiscard]] UnixSeconds let_in_until() const;

  enum class Got : unsigned char { Bytes, Late, End };
  // At most `most` bytes; of Bytes at least one, in `count`.
  [[nodiscard]] Got read(char* bytes, std::size_t most, std::size_t& count, Deadline until);
  // False: it was late, or is gone.
  [[nodiscard]] bool write(std::string_view bytes, Deadline until);
  // Nothing more is written; what the client still sends is taken for a moment, since a socket
  // that is closed over unread bytes takes the answer back.
  void finish(Deadline until);

 private:
  [[nodiscard]] bool wait(short events, Deadline until) const;
  [[nodiscard]] bool wait_for_tls(int result, Deadline until, bool& is_late);

  const int fd_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_{nullptr, nullptr};
};

}  // namespace handfast::serving
