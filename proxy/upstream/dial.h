#pragma once
// An attempt to connect to a backend: TCP, then TLS and ALPN, within one deadline.
//
//   Connecting -> Handshaking (TLS) -> done: the pool gets what was established
//   any -> failed: everybody who waits is told
//
// Several users may wait for one attempt: as long as nobody knows whether a backend speaks HTTP/2,
// one attempt answers for all.
//
// Threading: one worker's. Ownership: the Pool's. An attempt that nobody waits for any more ends.

#include <memory>
#include <optional>
#include <string>

#include "proxy/base/intrusive_list.h"
#include "proxy/event/loop.h"
#include "proxy/net/socket.h"
#include "proxy/upstream/connection.h"

namespace handfast::upstream {

class Dial final : public event::Handler, public event::RoundEnd {
 public:
  Dial(Pool& pool, const Target& target, std::string service, EndpointLoad::Place place);
  ~Dial() override;

  void add(ChannelUser& user);
  void remove(ChannelUser& user);

  void on_event(std::uint32_t events) override;
  void on_round_end() override;

 private:
  friend class Pool;
  enum class State : std::uint8_t { Connecting, Handshaking, Closed };

  void advance_connect();
  bool send_prelude();
  void advance_handshake();
  void finish();
  void note_peer();
  void on_timeout();
  void fail(Error error);

  Pool& pool_;
  Target target_;
  Established made_;
  net::Socket connecting_;  // until the stream exists
  event::Timer timer_;
  State state_ = State::Connecting;
  IntrusiveList<ChannelUser> waiting_;
  std::optional<Error> early_failure_;  // found at once, told at the end of the round
  std::size_t slot_ = 0;                // index in the pool's list
};

}  // namespace handfast::upstream
