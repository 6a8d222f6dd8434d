#pragma once
// An HTTP/2 connection to a backend: many exchanges at once, each a stream.
//
//   Greeted (the peer hasn't said what it allows) -> Open -> spent (no new streams) -> closed
//
// Until the peer's SETTINGS have come, a connection carries as many streams as the one before it to
// the same peer was allowed; the first of all carries one, and who comes meanwhile waits for the
// SETTINGS, as long as a connect may take. So no request is refused for a limit that is told a
// moment later.
//
// Each stream holds at most its window of response bytes that its user has no room for, and the
// connection's window never closes: a slow client slows its own stream and no other. A connection
// takes new streams until the peer says GOAWAY, its identity or trust is replaced, or it has
// carried enough, resets of ours too: whoever cancels often must not have the peer take us for an
// attacker (CVE-2023-44487) and end the streams of all others. Then it ends with its last stream.
// Streams that the peer refused, or that lie beyond its GOAWAY, are told as unprocessed. Answers
// that were whole when the connection ended are still handed on, as fast as their users take them.
//
// Threading: one worker's. Ownership: the Pool's; it owns its channels.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/base/buffer.h"
#include "proxy/base/clock.h"
#include "proxy/http/h2_codec.h"
#include "proxy/http/trailers.h"
#include "proxy/upstream/connection.h"

namespace handfast::upstream {

class H2Connection;

class H2Channel final : public Channel, public event::Deletable {
 public:
  H2Channel(H2Connection& connection, ChannelUser& user);
  ~H2Channel() override;

  void begin(const ChannelRequest& request) override;
  void begin_tunnel(std::chrono::milliseconds idle) override;
  void send_body(std::string_view payload) override;
  void end_body(const http::HeaderList& trailers) override;
  [[nodiscard]] bool has_room() const override;
  void resume() override { pump(); }
  void release() override;
  void abandon() override;
  [[nodiscard]] const PeerFacts& peer() const override;
  [[nodiscard]] bool reused() const override { return reused_; }

 private:
  friend class H2Connection;

  void on_data(std::string_view payload);
  void on_end(const http::HeaderList& trailers);
  // Hands on what was received and not taken yet.
  void pump();
  void arm();
  [[nodiscard]] std::uint64_t drawn() const;
  void on_timeout();
  void fail(Error error, bool unprocessed, bool cancelled = false);

  H2Connection& connection_;
  ChannelUser* user_;
  http::H2StreamId stream_ = 0;  // 0: not begun
  std::size_t slot_ = 0;
  Buffer in_;  // received, not taken
  std::unique_ptr<http::TrailerSection> trailers_;
  event::Timer timer_;
  std::chrono::milliseconds read_timeout_{};
  std::chrono::milliseconds send_timeout_{};
  std::uint64_t sent_ = 0;        // bytes of the request's body given to the codec
  std::uint64_t drawn_then_ = 0;  // of them taken by the backend, when the timer fired last
  int informational_ = 0;         // 1xx heads
  bool reused_;
  bool refused_ = false;  // no stream could be opened
  bool head_seen_ = false;
  bool ended_ = false;  // the peer's half is complete
  bool end_told_ = false;
  bool request_ended_ = false;
  bool pumping_ = false;
  bool above_mark_ = false;
};

class H2Connection final : public Connection, private http::H2Codec::Events {
 public:
  // `guess`: how many streams the peer allowed on the connection before; nothing: there was none.
  H2Connection(Pool& pool, Established established, std::optional<std::size_t> guess);
  ~H2Connection() override;

  [[nodiscard]] bool in_use() const override { return !channels_.empty() || !waiting_.empty(); }
  // How many more requests it takes now.
  [[nodiscard]] std::size_t room() const;
  // It will be known soon how many more it takes.
  [[nodiscard]] bool may_be_waited_for() const;

  void on_event(std::uint32_t events) override;
  void on_round_end() override;

 private:
  friend class Pool;
  friend class H2Channel;

  H2Channel& open(ChannelUser& user);
  void wait(ChannelUser& user);
  void fail_waiting(const Error& error);
  void close_channel(H2Channel& channel);
  [[nodiscard]] H2Channel* find(http::H2StreamId stream);
  // Nothing is read or written any more.
  [[nodiscard]] bool over() const noexcept { return closed_ || lost_; }
  // It ends with its last stream.
  [[nodiscard]] bool spent() const noexcept;
  void reset(http::H2StreamId stream, http::H2Error error);
  void schedule();
  void read_all();
  void fail_refused();
  void on_timeout();
  void on_settings_timeout();
  [[nodiscard]] std::vector<std::shared_ptr<const tls::UpstreamPolicy>> policies_today(
      const route::Snapshot& newest) const override;
  void fail(Error error) override;

  void on_h2_request(http::H2StreamId, const http::RequestHead&) override {}
  void on_h2_bad_request(http::H2StreamId, int, std::string_view) override {}
  void on_h2_response(http::H2StreamId stream, const http::ResponseHead& head) override;
  void on_h2_data(http::H2StreamId stream, std::string_view payload) override;
  void on_h2_end(http::H2StreamId stream, const http::HeaderList& trailers) override;
  void on_h2_closed(http::H2StreamId stream, http::H2Error error) override;
  void on_h2_drained(http::H2StreamId stream) override;
  void on_h2_goaway(http::H2StreamId last, http::H2Error error) override;
  void on_h2_settings() override;

  http::H2Codec codec_;
  Buffer plain_;  // frames of this round, before the stream
  std::vector<std::unique_ptr<H2Channel>> channels_;
  IntrusiveList<ChannelUser> waiting_;  // for the peer's SETTINGS
  event::Timer settings_timer_;
  const std::optional<std::size_t> guess_;
  std::vector<http::Header> fields_;  // of the head being sent
  std::string storage_;
  std::uint64_t requests_ = 0;
  int resets_ = 0;                // that we have sent
  Monotonic heard_;               // when anything came last
  http::H2StreamId begun_ = 0;    // the newest stream
  http::H2StreamId written_ = 0;  // the newest of which something may have left us
  bool answered_ = false;         // a head has come, for any request
  bool going_away_ = false;
  bool lost_ = false;  // users of whole answers are left
  bool reading_ = false;
};

}  // namespace handfast::upstream
