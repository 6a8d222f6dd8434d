#pragma once
// HTTP/2 (RFC 9113) without I/O: bytes in, events out, the same for a client's connection to us and
// ours to a backend. The framing is nghttp2's, which only h2_codec* include; what a peer may cost
// us is ours.
//
//   stream: head -> data* -> end (with trailers or without) in each direction, then closed;
//           or closed with an error at any point.
//
// What comes in is as strict as HTTP/1.1 here: the same rules for names, values, authority and
// target, so that whatever goes on as HTTP/1.1 can be read in one way only. What goes out is queued
// per stream and drawn by produce() as the peer's windows allow. Windows for what comes in open
// only by consume(), so that whoever doesn't take what was received slows its sender, and nobody
// else: the connection's window is given back on receipt, the stream's on consume().
//
// Peers that make us work for nothing are cut off: more resets (theirs, and ours that they
// provoked), control frames, empty frames or CONTINUATIONs than limits allow end the connection
// with ENHANCE_YOUR_CALM, and flood() names which.
//
// Threading: one worker's. Ownership: owns the nghttp2 session and copies of heads; borrows Events.
// Errors: a failed feed() is final: produce() what is queued (a GOAWAY), then close.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "proxy/base/buffer.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/http/message.h"

namespace handfast::http {

using H2StreamId = std::int32_t;

// RFC 9113 section 7; those that the proxy names itself.
enum class H2Error : std::uint32_t {
  None = 0x0,
  Protocol = 0x1,
  Internal = 0x2,
  FlowControl = 0x3,
  RefusedStream = 0x7,
  Cancel = 0x8,
  EnhanceYourCalm = 0xb,
  Http11Required = 0xd,
};

// What flooded (h2_floods.h); the label of the metric.
enum class H2Flood : std::uint8_t { None, Resets, Continuations, Control, EmptyFrames, Headers };

struct H2Limits {
  std::uint32_t max_streams = 128;             // open at once, whoever opens them
  std::size_t head_bytes = 32 * 1024;          // decoded: 431 to a client, reset to a backend
  std::size_t target_bytes = 8 * 1024;         // 414
  std::uint32_t stream_window = 64 * 1024;     // bytes that we hold for one stream
  std::uint32_t connection_window = 16 << 20;  // > max_streams * stream_window: see above
};

class H2Codec {
 public:
  enum class Role : std::uint8_t { Server, Client };

  // A stream whose queue fell to this many bytes, from above, is drained.
  static constexpr std::size_t kLowMark = 16 * 1024;

  // Called from within feed() and produce(). Everything but these two and the destructor may be
  // called back from here. What the peer sent that no HTTP/2 message may hold (RFC 9113 8.1.1) ends
  // its stream with Protocol, without a word before; what no message for us may hold is a bad
  // request.
  class Events {
   public:
    virtual ~Events() = default;
    // Server: a request's head is whole. The head is good during the call, its views until
    // on_h2_closed() returns. Framing is None (no body; on_h2_end() follows all the same), Length,
    // or Chunked: length unknown.
    virtual void on_h2_request(H2StreamId stream, const RequestHead& head) = 0;
    // Server: a head that can't become a request: answer `status` (400, 414, 417, 431, 501), the
    // rest of the stream is ignored. `what` is wrong, a constant. Calls for it end with
    // on_h2_closed().
    virtual void on_h2_bad_request(H2StreamId stream, int status, std::string_view what) = 0;
    // Client: 1xx any number of times, then the final one. Views as above (1xx: during the call).
    // Framing as above; None: no body whatever the fields say (HEAD, 204, 304).
    virtual void on_h2_response(H2StreamId stream, const ResponseHead& head) = 0;
    virtual void on_h2_data(H2StreamId stream, std::string_view payload) = 0;
    // The peer's half is complete. `trailers` may be empty; hop-by-hop and framing ones are gone.
    virtual void on_h2_end(H2StreamId stream, const HeaderList& trailers) = 0;
    // Last call for the stream: both halves ended (None), or it was reset by either side. Client:
    // RefusedStream also for streams beyond the last one of a GOAWAY, which had no effect.
    virtual void on_h2_closed(H2StreamId stream, H2Error error) = 0;
    // What is queued on the stream fell to kLowMark, having been above: more is welcome.
    virtual void on_h2_drained(H2StreamId stream) = 0;
    // The peer opens no more (client: won't serve streams after `last`).
    virtual void on_h2_goaway(H2StreamId last, H2Error error) = 0;
    // The peer has said, or said anew, what it allows.
    virtual void on_h2_settings() {}
    // The answer to send_ping().
    virtual void on_h2_pong() {}
  };

  H2Codec(Role role, Events& events, const H2Limits& limits);
  ~H2Codec();
  H2Codec(const H2Codec&) = delete;
  H2Codec& operator=(const H2Codec&) = delete;

  // Lets the allowance of resets grow again; before feed(). Time only moves forward.
  void set_now(Monotonic now);
  // All of it is taken. Failure: the peer broke the protocol or flooded us. (Of some breaches only
  // produce() learns, as it writes the GOAWAY: then finished() is true, and the next feed() fails.)
  Status feed(std::string_view bytes);
  // Appends what is to be sent until `out` holds `mark` bytes or nothing is left for now.
  void produce(Buffer& out, std::size_t mark);
  [[nodiscard]] bool wants_produce() const;
  // For a connection that has been without streams for a while: what the next need is made anew.
  void release_memory();
  // Both sides are through: nothing more will be read or written.
  [[nodiscard]] bool finished() const;

  // Client: opens a stream. `fields` without pseudo fields, in any case; `end`: no body. Failure:
  // no more streams on this connection.
  Result<H2StreamId> send_request(const RequestHead& head, std::string_view scheme,
                                  std::span<const Header> fields, bool end);
  // Client: how many more streams the peer lets us open now; a guess before its settings have come.
  [[nodiscard]] std::size_t free_streams() const;
  // Client: how many streams the peer lets us have at once; nothing: it hasn't said yet.
  [[nodiscard]] std::optional<std::size_t> stream_limit() const;

  // Server: the head that came, whole or not, is a gRPC client's.
  [[nodiscard]] bool asks_in_grpc(H2StreamId stream) const;

  // Sending on a stream that is closed, or being reset, does nothing.
  // Server: a 1xx or the final head. After our half has ended and been drawn, a stream whose
  // request isn't whole is reset with None (RFC 9113 8.1).
  void send_head(H2StreamId stream, int status, std::span<const Header> fields, bool end);
  void send_body(H2StreamId stream, std::string_view payload);
  // Ends our half, with trailers if there are any. No more calls for sending after it.
  void send_end(H2StreamId stream, std::span<const Header> trailers);
  // Bytes of body queued and not drawn yet.
  [[nodiscard]] std::size_t queued(H2StreamId stream) const;
  // The same for all streams together.
  [[nodiscard]] std::size_t queued_in_all() const noexcept;

  // `bytes` of payload were delivered: the peer may send as many more on this stream.
  void consume(H2StreamId stream, std::size_t bytes);
  void reset(H2StreamId stream, H2Error error);

  // No new streams: first a notice (RFC 9113 section 6.8; server only), then with `last` the real
  // one.
  void send_goaway(bool last);
  void send_ping();

  // feed() has failed, or is going to.
  [[nodiscard]] bool failed() const noexcept;
  [[nodiscard]] H2Flood flood() const noexcept;
  [[nodiscard]] std::size_t open_streams() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// "nghttp2 1.52.0": the one that is loaded.
[[nodiscard]] std::string nghttp2_version();

}  // namespace handfast::http
