#include "proxy/net/stream.h"

#include <string.h>

namespace handfast::net {

FlushState flush_queue(Socket& socket, Buffer& out) {
  while (!out.empty()) {
    const IoResult result = socket.send(out.view());
    if (result.state == IoState::WouldBlock) return FlushState::WouldBlock;
    if (result.state == IoState::Failed) return FlushState::Failed;
    out.consume(result.bytes);
  }
  return FlushState::Done;
}

IoResult PlainStream::read(std::span<char> space) {
  const IoResult result = socket_.receive(space);
  if (result.state == IoState::Failed) {
    failure_ = Error{Reason::BadResponse, ::strerror(socket_.last_error())};
  }
  return result;
}

FlushState PlainStream::flush() {
  const FlushState state = flush_queue(socket_, out_);
  if (state == FlushState::Failed) {
    failure_ = Error{Reason::BadResponse, ::strerror(socket_.last_error())};
  }
  if (state == FlushState::Done && end_wanted_) {
    end_wanted_ = false;
    socket_.shutdown_write();
  }
  return state;
}

}  // namespace handfast::net
