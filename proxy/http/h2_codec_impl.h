#pragma once
// What is behind H2Codec: nghttp2's session, and our judgement of what comes before and after it.
//
// h2_codec.cc makes it and takes the caller's part; h2_codec_frames.cc has what frames do, received
// and sent. This header and h2_memory.h alone include nghttp2, and no header includes this one.
//
// Threading and ownership: the H2Codec's.

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "proxy/base/check.h"
#include "proxy/http/h2_codec.h"
#include "proxy/http/h2_floods.h"
#include "proxy/http/h2_head.h"
#include "proxy/http/h2_memory.h"
#include "proxy/http/h2_streams.h"

namespace handfast::http {

inline void must(int result) { check(result != NGHTTP2_ERR_NOMEM, "out of memory in nghttp2"); }

// nghttp2 copies both and writes to neither.
inline nghttp2_nv make_nv(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

template <class Object, void (*kDelete)(Object*)>
struct H2Deleter {
  void operator()(Object* object) const { kDelete(object); }
};
using H2Session = std::unique_ptr<nghttp2_session, H2Deleter<nghttp2_session, nghttp2_session_del>>;
using H2Callbacks =
    std::unique_ptr<nghttp2_session_callbacks,
                    H2Deleter<nghttp2_session_callbacks, nghttp2_session_callbacks_del>>;
using H2Option = std::unique_ptr<nghttp2_option, H2Deleter<nghttp2_option, nghttp2_option_del>>;

struct H2Codec::Impl {
  Impl(Role role, Events& to, const H2Limits& bounds);

  Events& events;
  const H2Limits limits;
  const H2HeadLimits head_limits;
  const bool server;
  H2Memory memory;
  H2Session session;
  H2StreamTable streams;
  H2FrameCutter cutter;
  H2Floods floods;
  H2ClosedStreams ended;        // by the peer: nothing may come after
  H2ClosedStreams abandoned;    // by us alone: frames may have been on their way
  H2StreamId newest = 0;        // of the peer's
  H2StreamId last = INT32_MAX;  // that our GOAWAY names: those behind it have no effect
  bool goaway_sent = false;
  bool goaway_received = false;
  bool settings_received = false;
  std::string_view error;  // why the connection is over; a constant
  std::size_t queued = 0;  // body bytes, of all streams
  std::vector<nghttp2_nv> fields;
  std::vector<H2StreamId> drained;
  Buffer* out = nullptr;  // while it is written to
  std::size_t mark = 0;

  [[nodiscard]] bool failed() const { return !error.empty(); }
  void end_connection(std::uint32_t code, std::string_view why);
  void end_by_flood();
  void reset(H2Stream& stream, std::uint32_t code);
  void charge(H2Stream& stream);
  [[nodiscard]] bool admit(const H2Frame& frame);
  [[nodiscard]] bool admit_on_open(const H2Frame& frame, H2Stream& stream);
  [[nodiscard]] bool admit_on_closed(const H2Frame& frame);
  void add_fields(std::span<const Header> from);
  void on_request(H2Stream& stream, bool ends);
  void on_response(H2Stream& stream, bool ends);
  void on_end(H2Stream& stream, bool with_trailers);
  void on_frame(const nghttp2_frame& frame);
  void on_sent(const nghttp2_frame& frame);
  void on_close(H2StreamId id, std::uint32_t code);
  void draw_frames();
  bool tell_drained();
  ssize_t draw_body(H2Stream& stream, std::size_t most, std::uint32_t& flags);
  void resume(H2Stream& stream);
  void submit_settings();

  // nghttp2's callbacks; `self` is the Impl.
  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int header(nghttp2_session*, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                    nghttp2_rcbuf* value, std::uint8_t flags, void* self);
  static int invalid_header(nghttp2_session*, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                            nghttp2_rcbuf* value, std::uint8_t flags, void* self);
  static int data_chunk(nghttp2_session*, std::uint8_t flags, std::int32_t id,
                        const std::uint8_t* bytes, std::size_t size, void* self);
  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int, void* self);
  static int frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static int frame_not_sent(nghttp2_session*, const nghttp2_frame* frame, int, void* self);
  static int stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t code, void* self);
  static ssize_t read_body(nghttp2_session*, std::int32_t id, std::uint8_t*, std::size_t most,
                           std::uint32_t* flags, nghttp2_data_source* source, void* self);
  static int write_body(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* frame_header,
                        std::size_t size, nghttp2_data_source* source, void* self);

  [[nodiscard]] static Impl& of(void* self) { return *static_cast<Impl*>(self); }
  [[nodiscard]] static H2Callbacks make_callbacks();
  [[nodiscard]] static H2Option make_option();
};

}  // namespace handfast::http
