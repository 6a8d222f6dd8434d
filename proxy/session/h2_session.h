#pragma once
// One HTTP/2 client connection, plain or TLS: many exchanges at once, each a stream.
//
//   Open -> Noticed (GOAWAY that names no last stream) -> Leaving (GOAWAY that does) -> Lingering
//     \-> Lingering (the client broke the protocol, or flooded us) -> Closed
//
// A drain begins with a notice, so that what the client sent meanwhile is served, and goes on after
// a round trip. All that a round brings is written at its end in as few records as it takes. When
// the client takes too little, each stream has room for less: what waits for one client is bounded.
//
// A connection without streams gives back the memory for them, not at once, since clients ask for
// one thing after another, but after a moment.
//
// After the last byte the connection lingers: it ends its own side and reads on for a moment, so
// that what was said isn't lost to a reset.
//
// Threading: one worker's. Ownership: the SessionOwner's; ends itself through it.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/buffer.h"
#include "proxy/base/clock.h"
#include "proxy/event/loop.h"
#include "proxy/http/h2_codec.h"
#include "proxy/net/stream.h"
#include "proxy/session/context.h"
#include "proxy/session/h2_client_stream.h"
#include "proxy/session/session.h"

namespace handfast::session {

class H2Session final : public Session, public event::RoundEnd, private http::H2Codec::Events {
 public:
  H2Session(Context& context, SessionOwner& owner, ClientConnection connection);
  ~H2Session() override;

  // Once its owner has it and the loop knows it.
  void start();
  void drain() override;
  void cut() override { close(); }
  [[nodiscard]] tls::TlsStream* tls() override { return tls_; }
  void add_guarded_hosts(std::vector<std::string_view>& hosts) const override {
    for (const auto& stream : streams_) stream->add_guarded_host(hosts);
  }

  void on_event(std::uint32_t events) override;
  void on_round_end() override;

 private:
  friend class H2ClientStream;
  enum class State : std::uint8_t { Open, Noticed, Leaving, Lingering, Closed };

  void on_h2_request(http::H2StreamId stream, const http::RequestHead& head) override;
  void on_h2_bad_request(http::H2StreamId stream, int status, std::string_view what) override;
  void on_h2_response(http::H2StreamId, const http::ResponseHead&) override {}
  void on_h2_data(http::H2StreamId stream, std::string_view payload) override;
  void on_h2_end(http::H2StreamId stream, const http::HeaderList& trailers) override;
  void on_h2_closed(http::H2StreamId stream, http::H2Error error) override;
  void on_h2_drained(http::H2StreamId stream) override;
  void on_h2_goaway(http::H2StreamId last, http::H2Error error) override;
  void on_h2_pong() override;

  [[nodiscard]] std::vector<std::unique_ptr<H2ClientStream>>::iterator position(
      http::H2StreamId stream);
  [[nodiscard]] H2ClientStream* find(http::H2StreamId stream);
  H2ClientStream& open(http::H2StreamId stream);
  // "Trailers-Only": all of it in a head.
  void send_grpc_error(http::H2StreamId stream, int code);
  void read_all();
  bool feed(std::string_view bytes);
  void read_out();
  void push_out();
  void leave();
  void linger();
  void schedule();
  // No stream is open: it ends after `limit` unless one is opened.
  void rest(std::chrono::milliseconds limit);
  void on_timeout();
  void abort_all();
  void close();

  Context& context_;
  SessionOwner& owner_;
  std::unique_ptr<net::Stream> stream_;
  tls::TlsStream* tls_;  // stream_, if it is TLS
  std::string peer_address_;
  ClientFacts facts_;
  event::Timer timer_;       // idle, the round trip of a drain, or lingering: by state
  Monotonic rests_until_{};  // while no stream is open
  event::Timer send_timer_;  // while the socket takes nothing
  http::H2Codec codec_;
  Buffer in_;                                             // read before the session began
  Buffer out_;                                            // frames of this round, before the stream
  std::vector<std::unique_ptr<H2ClientStream>> streams_;  // by id, which grow
  std::vector<std::unique_ptr<H2ClientStream>> spares_;
  std::vector<http::Header> fields_;  // of the head being sent
  std::string storage_;
  std::uint64_t requests_ = 0;
  std::size_t lingered_ = 0;  // bytes read since
  State state_ = State::Open;
  bool reading_ = false;
};

}  // namespace handfast::session
