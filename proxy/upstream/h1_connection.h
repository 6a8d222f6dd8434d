#pragma once
// An HTTP/1.1 connection to a backend: a channel for one exchange at a time.
//
//   Ready (pooled, or just handed out) -> Busy -> Ready -> … -> Closed
//                                          \-> Tunnel (after 101, or at once) -> Closed
//
// It reads the response as far as its user has room for it, and sends what its user queues at the
// end of the round. What a backend sends is as suspect as what a client sends: bytes nobody asked
// for, or bytes after the end, close it and it is never pooled.
//
// Threading: one worker's. Ownership: the Pool's.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proxy/base/buffer.h"
#include "proxy/http/body.h"
#include "proxy/http/h1_parser.h"
#include "proxy/upstream/connection.h"

namespace handfast::upstream {

class H1Connection final : public Connection, public Channel {
 public:
  H1Connection(Pool& pool, Established established);
  ~H1Connection() override;

  void begin(const ChannelRequest& request) override;
  void begin_tunnel(std::chrono::milliseconds idle) override;
  void send_body(std::string_view payload) override;
  void end_body(const http::HeaderList& trailers) override;
  [[nodiscard]] bool has_room() const override;
  void resume() override { pump(); }
  void release() override;
  void abandon() override;
  [[nodiscard]] const PeerFacts& peer() const override { return facts_; }
  [[nodiscard]] bool reused() const override { return reused_; }

  [[nodiscard]] bool in_use() const override { return user_ != nullptr; }

  void on_event(std::uint32_t events) override;
  void on_round_end() override;

 private:
  friend class Pool;
  enum class Phase : std::uint8_t { Head, Body, Tunnel, Finished };

  [[nodiscard]] bool active() const noexcept { return busy_ && !closed_; }
  // What the pool does with it.
  void hand_to(ChannelUser& user);
  [[nodiscard]] bool may_be_pooled();

  void send(std::string_view bytes);
  void pump();
  bool pump_head();
  bool pump_body();
  bool pump_tunnel();
  bool read_more();
  void on_end_of_stream();
  void finish_response();
  void on_idle_event();
  void on_event_before_request();
  [[nodiscard]] bool was_refused_at_once(const Error& error) const;
  [[nodiscard]] bool is_silent();
  void on_timeout();
  void arm_for_progress();
  [[nodiscard]] std::vector<std::shared_ptr<const tls::UpstreamPolicy>> policies_today(
      const route::Snapshot& newest) const override;
  void fail(Error error) override;

  ChannelUser* user_ = nullptr;  // null while idle
  Buffer in_;
  http::H1ResponseParser parser_;
  http::BodyDecoder body_;
  http::ResponseHead head_;
  std::string method_;
  std::chrono::milliseconds read_timeout_{};
  std::chrono::milliseconds send_timeout_{};
  Phase phase_ = Phase::Finished;
  bool reused_ = false;
  bool busy_ = false;  // begin() was called, and the exchange isn't over
  bool keep_alive_ = false;
  bool pumping_ = false;
  bool above_mark_ = false;
  bool send_failed_ = false;
  bool chunked_request_ = false;
  bool upgrade_wanted_ = false;
  bool request_ended_ = false;
  bool malformed_ = false;
  bool tunnel_ = false;
  bool leaving_ = false;          // its user is gone; what is queued is still sent
  bool request_flushed_ = false;  // bytes of this request have gone out
  int informational_ = 0;         // 1xx heads of this response
  std::uint64_t requests_ = 0;
};

}  // namespace handfast::upstream
