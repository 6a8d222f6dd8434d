#pragma once
// The byte layer under a protocol: plain TCP or TLS, the same to whoever is above.
//
// Reading fills the caller's space as far as bytes are at hand. Writing always takes everything: it
// queues, and flush() sends; whoever produces watches queued() and stops above its mark, which
// makes the queue the one place of backpressure and lets SSL_write never half-succeed.
//
// Threading: one worker's. Errors: the first failure is final and kept in failure().

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "proxy/base/buffer.h"
#include "proxy/base/result.h"
#include "proxy/net/socket.h"

namespace handfast::net {

enum class FlushState : std::uint8_t { Done, WouldBlock, Failed };

class Stream {
 public:
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  virtual ~Stream() = default;

  // Data, WouldBlock, End (the peer ended in order), Failed.
  virtual IoResult read(std::span<char> space) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual FlushState flush() = 0;
  [[nodiscard]] virtual std::size_t queued() const = 0;
  // Ends our direction once everything is sent (close_notify, FIN). Call flush() after.
  virtual void end_write() = 0;
  // Gives memory back while nothing is in flight.
  virtual void release_memory() = 0;
  [[nodiscard]] virtual Socket& socket() = 0;
  [[nodiscard]] virtual const Error& failure() const = 0;
};

class PlainStream final : public Stream {
 public:
  PlainStream(Socket socket, BufferPool& pool) : socket_(std::move(socket)), out_(pool) {}

  IoResult read(std::span<char> space) override;
  void write(std::string_view bytes) override { out_.append(bytes); }
  FlushState flush() override;
  [[nodiscard]] std::size_t queued() const override { return out_.size(); }
  void end_write() override { end_wanted_ = true; }
  void release_memory() override { out_.release_if_empty(); }
  [[nodiscard]] Socket& socket() override { return socket_; }
  [[nodiscard]] const Error& failure() const override { return failure_; }

 private:
  Socket socket_;
  Buffer out_;
  Error failure_;
  bool end_wanted_ = false;
};

// Sends from the front of `out` until it is empty or the socket takes no more.
FlushState flush_queue(Socket& socket, Buffer& out);

}  // namespace handfast::net
