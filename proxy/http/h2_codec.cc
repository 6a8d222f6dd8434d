#include "proxy/http/h2_codec.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "proxy/base/check.h"
#include "proxy/http/h2_floods.h"
#include "proxy/http/h2_head.h"
#include "proxy/http/h2_streams.h"

namespace handfast::http {
namespace {

// With its frame header a full payload fills one TLS record.
constexpr std::size_t kMaxPayload = 16'384 - 9;
constexpr std::size_t kPrefaceBytes = 24;
// nghttp2 counts a CONTINUATION again each time that its header comes in parts: ours decides.
constexpr std::size_t kLibraryContinuations = 10 * kMaxContinuations;

void must(int result) { check(result != NGHTTP2_ERR_NOMEM, "out of memory in nghttp2"); }

// Of a stream; its error codes and ours are the RFC's.
constexpr std::uint32_t code_of(H2Error error) { return static_cast<std::uint32_t>(error); }

// nghttp2 copies both and writes to neither.
nghttp2_nv make_nv(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::string_view text_of(nghttp2_rcbuf* buffer) {
  const nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes.base), bytes.len};
}

template <class Object, void (*kDelete)(Object*)>
struct Deleter {
  void operator()(Object* object) const { kDelete(object); }
};
using Session = std::unique_ptr<nghttp2_session, Deleter<nghttp2_session, nghttp2_session_del>>;
using Callbacks =
    std::unique_ptr<nghttp2_session_callbacks,
                    Deleter<nghttp2_session_callbacks, nghttp2_session_callbacks_del>>;
using Option = std::unique_ptr<nghttp2_option, Deleter<nghttp2_option, nghttp2_option_del>>;

}  // namespace

struct H2Codec::Impl {
  Impl(Role role, Events& to, const H2Limits& bounds);

  Events& events;
  const H2Limits limits;
  const H2HeadLimits head_limits;
  const bool server;
  Session session;
  H2StreamTable streams;
  H2FrameCutter cutter;
  H2Floods floods;
  H2ClosedStreams ended;        // by the peer: nothing may come after
  H2ClosedStreams abandoned;    // by us alone: frames may have been on their way
  H2StreamId newest = 0;        // of the peer's
  H2StreamId last = INT32_MAX;  // that our GOAWAY names: those behind it have no effect
  bool goaway_sent = false;
  bool goaway_received = false;
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
  [[nodiscard]] static Callbacks make_callbacks();
  [[nodiscard]] static Option make_option();
};

Callbacks H2Codec::Impl::make_callbacks() {
  nghttp2_session_callbacks* made = nullptr;
  must(nghttp2_session_callbacks_new(&made));
  nghttp2_session_callbacks_set_on_begin_headers_callback(made, begin_headers);
  nghttp2_session_callbacks_set_on_header_callback2(made, header);
  nghttp2_session_callbacks_set_on_invalid_header_callback2(made, invalid_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, data_chunk);
  nghttp2_session_callbacks_set_on_frame_recv_callback(made, frame_received);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(made, invalid_frame);
  nghttp2_session_callbacks_set_on_frame_send_callback(made, frame_sent);
  nghttp2_session_callbacks_set_on_frame_not_send_callback(made, frame_not_sent);
  nghttp2_session_callbacks_set_on_stream_close_callback(made, stream_closed);
  nghttp2_session_callbacks_set_send_data_callback(made, write_body);
  return Callbacks(made);
}

Option H2Codec::Impl::make_option() {
  nghttp2_option* made = nullptr;
  must(nghttp2_option_new(&made));
  nghttp2_option_set_no_auto_window_update(made, 1);
  nghttp2_option_set_no_closed_streams(made, 1);  // H2ClosedStreams costs less
  nghttp2_option_set_max_continuations(made, kLibraryContinuations);
  nghttp2_option_set_stream_reset_rate_limit(made, UINT64_MAX / 2, 1);  // H2Floods decides
  return Option(made);
}

H2Codec::Impl::Impl(Role role, Events& to, const H2Limits& bounds)
    : events(to),
      limits(bounds),
      head_limits{bounds.head_bytes, bounds.target_bytes},
      server(role == Role::Server),
      cutter(server ? kPrefaceBytes : 0) {
  const Callbacks callbacks = make_callbacks();
  const Option option = make_option();
  nghttp2_session* made = nullptr;
  must(server ? nghttp2_session_server_new2(&made, callbacks.get(), this, option.get())
              : nghttp2_session_client_new2(&made, callbacks.get(), this, option.get()));
  session.reset(made);
  submit_settings();
}

void H2Codec::Impl::submit_settings() {
  std::array<nghttp2_settings_entry, 4> settings{};
  std::size_t size = 0;
  const auto set = [&settings, &size](int id, std::size_t value) {
    settings[size++] = {id, static_cast<std::uint32_t>(value)};
  };
  set(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window);
  set(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.head_bytes);
  if (server) {
    set(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.max_streams);
    // No dependency tree that PRIORITY frames could make us work on (CVE-2019-9513).
    set(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1);
  } else {
    set(NGHTTP2_SETTINGS_ENABLE_PUSH, 0);
  }
  nghttp2_session* const s = session.get();
  must(nghttp2_submit_settings(s, NGHTTP2_FLAG_NONE, settings.data(), size));
  must(nghttp2_session_set_local_window_size(s, NGHTTP2_FLAG_NONE, 0,
                                             static_cast<std::int32_t>(limits.connection_window)));
}

void H2Codec::Impl::end_connection(std::uint32_t code, std::string_view why) {
  if (failed()) return;
  error = why;
  must(nghttp2_session_terminate_session(session.get(), code));
}

void H2Codec::Impl::end_by_flood() { end_connection(NGHTTP2_ENHANCE_YOUR_CALM, "flooded"); }

void H2Codec::Impl::reset(H2Stream& stream, std::uint32_t code) {
  if (stream.resetting) return;
  stream.resetting = true;
  must(nghttp2_submit_rst_stream(session.get(), NGHTTP2_FLAG_NONE, stream.id, code));
}

// A reset that the peer provoked. A backend has no use of it: it can't open streams.
void H2Codec::Impl::charge(H2Stream& stream) {
  if (!server || stream.charged) return;
  stream.charged = true;
  if (!floods.take_reset()) end_by_flood();
}

// Judges a frame whose header has come before nghttp2 sees it. False: the connection is over.
bool H2Codec::Impl::admit(const H2Frame& frame) {
  if (!floods.take_continuation(frame.type == H2Frame::Continuation)) return false;
  if (frame.type == H2Frame::Continuation) return true;
  if (server && frame.type == H2Frame::Headers && frame.stream > newest) {
    newest = frame.stream;
    floods.on_useful_frame();
    return true;
  }
  const bool of_stream = frame.type == H2Frame::Headers || frame.type == H2Frame::Data ||
                         frame.type == H2Frame::RstStream;
  if (frame.type == H2Frame::Priority && (frame.stream == 0 || frame.stream == frame.depends_on)) {
    // RFC 9113 6.3, RFC 7540 5.3.1. nghttp2 doesn't look at what is ignored.
    end_connection(NGHTTP2_PROTOCOL_ERROR, "PRIORITY of no stream, or on itself");
    return false;
  }
  if (!of_stream) return floods.take_control();
  H2Stream* const stream = streams.find(frame.stream);
  return stream != nullptr ? admit_on_open(frame, *stream) : admit_on_closed(frame);
}

bool H2Codec::Impl::admit_on_open(const H2Frame& frame, H2Stream& stream) {
  if (frame.type == H2Frame::RstStream) {
    stream.peer_reset = true;
    if (!server || stream.answered || stream.charged) return true;
    stream.charged = true;
    return floods.take_reset();
  }
  const bool padding = frame.length == 1 && (frame.flags & H2Frame::kPadded) != 0;
  const bool empty = frame.type == H2Frame::Data && (frame.length == 0 || padding);
  if (empty && !frame.ends_stream()) return floods.take_empty_frame();
  floods.on_useful_frame();
  return true;
}

bool H2Codec::Impl::admit_on_closed(const H2Frame& frame) {
  if (!floods.take_control()) return false;
  if (frame.type == H2Frame::RstStream || frame.stream == 0) return true;
  // RFC 9113 5.1: nothing comes behind an end. What we closed may have been on its way.
  if (ended.has(frame.stream)) {
    end_connection(NGHTTP2_STREAM_CLOSED, "frame for a closed stream");
    return false;
  }
  if (server && frame.type == H2Frame::Headers && !goaway_sent && !abandoned.has(frame.stream)) {
    end_connection(NGHTTP2_PROTOCOL_ERROR, "stream id out of order");
    return false;
  }
  return true;
}

void H2Codec::Impl::add_fields(std::span<const Header> from) {
  for (const Header& field : from) fields.push_back(make_nv(field.name, field.value));
}

void H2Codec::Impl::on_request(H2Stream& stream, bool ends) {
  if (stream.id > last) {  // came before the GOAWAY was written
    stream.refused = true;
    reset(stream, NGHTTP2_REFUSED_STREAM);
    return;
  }
  stream.announced = true;
  stream.final_head = true;
  stream.remote_ended = ends;
  RequestHead head;
  const Refusal refusal = stream.head.read_request(head_limits, ends, head);
  if (refusal) {
    stream.refused = true;
    events.on_h2_bad_request(stream.id, refusal.status, refusal.what);
    return;
  }
  const H2StreamId id = stream.id;
  events.on_h2_request(id, head);
  if (ends) on_end(stream, false);
}

void H2Codec::Impl::on_response(H2Stream& stream, bool ends) {
  ResponseHead head;
  if (stream.head.read_response(stream.to_head, ends, head)) {
    reset(stream, NGHTTP2_PROTOCOL_ERROR);
    return;
  }
  stream.final_head = head.status >= 200;
  events.on_h2_response(stream.id, head);
  if (ends) on_end(stream, false);
}

void H2Codec::Impl::on_end(H2Stream& stream, bool with_trailers) {
  stream.remote_ended = true;
  HeaderList trailers;
  if (with_trailers && stream.trailers.read_trailers(trailers)) {
    charge(stream);
    reset(stream, NGHTTP2_PROTOCOL_ERROR);
    return;
  }
  if (!stream.refused && !stream.resetting) events.on_h2_end(stream.id, trailers);
}

void H2Codec::Impl::on_frame(const nghttp2_frame& frame) {
  const bool ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  H2Stream* const stream = streams.find(frame.hd.stream_id);
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      if (stream == nullptr || stream->resetting) return;
      if (stream->final_head) {
        on_end(*stream, true);
      } else {
        server ? on_request(*stream, ends) : on_response(*stream, ends);
      }
      return;
    case NGHTTP2_DATA:
      if (stream != nullptr && ends) on_end(*stream, false);
      return;
    case NGHTTP2_GOAWAY:
      goaway_received = true;
      events.on_h2_goaway(frame.goaway.last_stream_id,
                          static_cast<H2Error>(frame.goaway.error_code));
      return;
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0) events.on_h2_pong();
      return;
    default:
      return;
  }
}

void H2Codec::Impl::on_sent(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_GOAWAY) {
    if (frame.goaway.error_code != NGHTTP2_NO_ERROR && !failed()) error = "protocol error";
    return;
  }
  H2Stream* const stream = streams.find(frame.hd.stream_id);
  if (stream == nullptr) return;
  if (frame.hd.type == NGHTTP2_RST_STREAM) {
    // nghttp2 found the reason.
    if (!stream->resetting) charge(*stream);
    return;
  }
  if (frame.hd.type != NGHTTP2_HEADERS && frame.hd.type != NGHTTP2_DATA) return;
  floods.on_useful_frame();
  stream->answered = stream->answering;
  if ((frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return;
  stream->end_drawn = true;
  if (server && !stream->remote_ended) reset(*stream, NGHTTP2_NO_ERROR);
}

void H2Codec::Impl::on_close(H2StreamId id, std::uint32_t code) {
  std::unique_ptr<H2Stream> stream = streams.take(id);
  if (stream == nullptr) return;
  (stream->remote_ended || stream->peer_reset ? ended : abandoned).add(id);
  const bool whole = server ? stream->end_drawn : stream->remote_ended;
  if (code == NGHTTP2_NO_ERROR && !whole) code = NGHTTP2_CANCEL;
  if (code == NGHTTP2_NO_ERROR) floods.on_answered_stream();
  queued -= stream->out.size();
  if (stream->announced) events.on_h2_closed(id, static_cast<H2Error>(code));
  streams.give_back(std::move(stream));
}

void H2Codec::Impl::draw_frames() {
  while (out->size() < mark) {
    const std::uint8_t* bytes = nullptr;
    const std::size_t before = out->size();
    const ssize_t size = nghttp2_session_mem_send(session.get(), &bytes);
    if (size < 0) must(static_cast<int>(size));
    check(size >= 0, "nghttp2 can't send");
    out->append({reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)});
    if (size == 0 && out->size() == before) return;
  }
}

// False: nothing to tell. Those who are told may queue more.
bool H2Codec::Impl::tell_drained() {
  if (drained.empty()) return false;
  std::vector<H2StreamId> told;
  told.swap(drained);
  for (const H2StreamId id : told) events.on_h2_drained(id);
  return true;
}

ssize_t H2Codec::Impl::draw_body(H2Stream& stream, std::size_t most, std::uint32_t& flags) {
  const std::size_t size = std::min({stream.out.size(), most, kMaxPayload});
  if (size == 0 && !stream.ended) {
    stream.deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (stream.ended && size == stream.out.size()) {
    flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!stream.out_trailers.empty()) {
      flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      fields.clear();
      add_fields(stream.out_trailers);
      must(nghttp2_submit_trailer(session.get(), stream.id, fields.data(), fields.size()));
    }
  }
  return static_cast<ssize_t>(size);
}

void H2Codec::Impl::resume(H2Stream& stream) {
  if (!stream.deferred) return;
  stream.deferred = false;
  must(nghttp2_session_resume_data(session.get(), stream.id));
}

int H2Codec::Impl::begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* self) {
  Impl& impl = of(self);
  if (frame->hd.type != NGHTTP2_HEADERS) return 0;
  H2Stream* stream = impl.streams.find(frame->hd.stream_id);
  if (stream == nullptr) {
    if (impl.server) impl.streams.open(frame->hd.stream_id);
    return 0;
  }
  (stream->final_head ? stream->trailers : stream->head).clear();
  return 0;
}

int H2Codec::Impl::header(nghttp2_session*, const nghttp2_frame* frame, nghttp2_rcbuf* name,
                          nghttp2_rcbuf* value, std::uint8_t, void* self) {
  Impl& impl = of(self);
  H2Stream* const stream = impl.streams.find(frame->hd.stream_id);
  if (stream == nullptr || stream->resetting) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  H2Head& head = stream->final_head ? stream->trailers : stream->head;
  head.add(text_of(name), text_of(value), impl.head_limits);
  if (head.decoded_bytes() <= kHeadBombFactor * impl.limits.head_bytes) return 0;
  impl.floods.set(H2Flood::Headers);
  impl.end_by_flood();
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // decodes no more of it
}

int H2Codec::Impl::invalid_header(nghttp2_session*, const nghttp2_frame*, nghttp2_rcbuf*,
                                  nghttp2_rcbuf*, std::uint8_t, void*) {
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // resets the stream; 0 would drop the field
}

int H2Codec::Impl::data_chunk(nghttp2_session*, std::uint8_t, std::int32_t id,
                              const std::uint8_t* bytes, std::size_t size, void* self) {
  Impl& impl = of(self);
  must(nghttp2_session_consume_connection(impl.session.get(), size));
  const H2Stream* const stream = impl.streams.find(id);
  if (stream == nullptr || stream->refused || stream->resetting) return 0;
  impl.events.on_h2_data(id, {reinterpret_cast<const char*>(bytes), size});
  return 0;
}

int H2Codec::Impl::frame_received(nghttp2_session*, const nghttp2_frame* frame, void* self) {
  of(self).on_frame(*frame);
  return 0;
}

int H2Codec::Impl::invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int, void* self) {
  Impl& impl = of(self);
  H2Stream* const stream = impl.streams.find(frame->hd.stream_id);
  if (stream != nullptr) {
    impl.charge(*stream);
    return 0;
  }
  if (frame->hd.stream_id == 0) return 0;
  // Refused before it was opened: more streams than we allow.
  impl.abandoned.add(frame->hd.stream_id);
  if (impl.server && !impl.floods.take_reset()) impl.end_by_flood();
  return 0;
}

int H2Codec::Impl::frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* self) {
  of(self).on_sent(*frame);
  return 0;
}

// A head that is too large for nghttp2 to write: whoever waits for it would wait forever.
int H2Codec::Impl::frame_not_sent(nghttp2_session*, const nghttp2_frame* frame, int, void* self) {
  Impl& impl = of(self);
  if (frame->hd.type != NGHTTP2_HEADERS) return 0;
  if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) return 0;  // nghttp2 closes the stream
  H2Stream* const stream = impl.streams.find(frame->hd.stream_id);
  if (stream != nullptr) impl.reset(*stream, NGHTTP2_INTERNAL_ERROR);
  return 0;
}

int H2Codec::Impl::stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t code,
                                 void* self) {
  of(self).on_close(id, code);
  return 0;
}

ssize_t H2Codec::Impl::read_body(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t most,
                                 std::uint32_t* flags, nghttp2_data_source* source, void* self) {
  return of(self).draw_body(*static_cast<H2Stream*>(source->ptr), most, *flags);
}

int H2Codec::Impl::write_body(nghttp2_session*, nghttp2_frame*, const std::uint8_t* frame_header,
                              std::size_t size, nghttp2_data_source* source, void* self) {
  constexpr std::size_t kFrameHeader = 9;
  Impl& impl = of(self);
  H2Stream& stream = *static_cast<H2Stream*>(source->ptr);
  const std::span<char> room = impl.out->prepare(kFrameHeader + size);
  std::memcpy(room.data(), frame_header, kFrameHeader);
  stream.out.front(size).copy(room.data() + kFrameHeader, size);
  impl.out->commit(kFrameHeader + size);
  stream.out.consume(size);
  impl.queued -= size;
  if (stream.above_mark && stream.out.size() <= kLowMark) {
    stream.above_mark = false;
    if (!stream.ended) impl.drained.push_back(stream.id);
  }
  return impl.out->size() >= impl.mark ? NGHTTP2_ERR_PAUSE : 0;
}

H2Codec::H2Codec(Role role, Events& events, const H2Limits& limits)
    : impl_(std::make_unique<Impl>(role, events, limits)) {}

H2Codec::~H2Codec() = default;

Status H2Codec::feed(std::string_view bytes) {
  Impl& impl = *impl_;
  impl.floods.on_read();
  while (!bytes.empty() && !impl.failed()) {
    const H2FrameCutter::Piece piece = impl.cutter.take(bytes);
    if (piece.frame != nullptr && !impl.admit(*piece.frame)) {
      impl.end_by_flood();  // unless it ended for another reason
      break;
    }
    const auto* const at = reinterpret_cast<const std::uint8_t*>(bytes.data());
    const ssize_t taken = nghttp2_session_mem_recv(impl.session.get(), at, piece.size);
    if (taken == NGHTTP2_ERR_FLOODED) {
      // Answers to PING and SETTINGS that it doesn't read.
      impl.floods.set(H2Flood::Control);
      impl.end_by_flood();
    } else if (taken < 0) {
      must(static_cast<int>(taken));
      impl.end_connection(NGHTTP2_PROTOCOL_ERROR, "not HTTP/2");
    }
    bytes.remove_prefix(piece.size);
  }
  if (!impl.failed()) return {};
  return fail(impl.server ? Reason::Protocol : Reason::BadResponse,
              "HTTP/2: " + std::string(impl.error));
}

void H2Codec::produce(Buffer& out, std::size_t mark) {
  Impl& impl = *impl_;
  impl.out = &out;
  impl.mark = mark;
  do {
    impl.draw_frames();
  } while (impl.tell_drained() && out.size() < mark);
  impl.out = nullptr;
}

bool H2Codec::wants_produce() const {
  return nghttp2_session_want_write(impl_->session.get()) != 0;
}

bool H2Codec::finished() const {
  return nghttp2_session_want_read(impl_->session.get()) == 0 && !wants_produce();
}

Result<H2StreamId> H2Codec::send_request(const RequestHead& head, std::string_view scheme,
                                         std::span<const Header> fields, bool end) {
  Impl& impl = *impl_;
  if (free_streams() == 0) return fail(Reason::BadResponse, "HTTP/2: no more streams");
  impl.fields.clear();
  impl.fields.push_back(make_nv(":method", head.method));
  impl.fields.push_back(make_nv(":scheme", scheme));
  if (!head.authority.empty()) impl.fields.push_back(make_nv(":authority", head.authority));
  impl.fields.push_back(make_nv(":path", head.target));
  impl.add_fields(fields);
  // The id is known only afterwards, the stream must be there before.
  const auto id = static_cast<H2StreamId>(nghttp2_session_get_next_stream_id(impl.session.get()));
  H2Stream& stream = impl.streams.open(id);
  nghttp2_data_provider body{{.ptr = &stream}, Impl::read_body};
  const std::int32_t result =
      nghttp2_submit_request(impl.session.get(), nullptr, impl.fields.data(), impl.fields.size(),
                             end ? nullptr : &body, nullptr);
  must(result);
  check(result == id, "stream id");
  stream.announced = true;
  stream.to_head = head.method == "HEAD";
  stream.ended = end;
  return id;
}

std::size_t H2Codec::free_streams() const {
  const Impl& impl = *impl_;
  if (impl.failed() || impl.goaway_sent || impl.goaway_received ||
      nghttp2_session_check_request_allowed(impl.session.get()) == 0) {
    return 0;
  }
  // 100 before the peer's SETTINGS have come.
  const std::uint32_t of_peer = nghttp2_session_get_remote_settings(
      impl.session.get(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  const std::size_t most = std::min(of_peer, impl.limits.max_streams);
  return most - std::min(most, impl.streams.size());
}

void H2Codec::send_head(H2StreamId id, int status, std::span<const Header> fields, bool end) {
  Impl& impl = *impl_;
  H2Stream* const stream = impl.streams.find(id);
  if (stream == nullptr || !stream->takes_sends() || stream->answered) return;
  std::array<char, 16> digits;
  const auto digits_end = std::to_chars(digits.data(), digits.data() + digits.size(), status);
  impl.fields.clear();
  impl.fields.push_back(make_nv(":status", {digits.data(), digits_end.ptr}));
  impl.add_fields(fields);
  int result = 0;
  if (status < 200) {
    result = nghttp2_submit_headers(impl.session.get(), NGHTTP2_FLAG_NONE, id, nullptr,
                                    impl.fields.data(), impl.fields.size(), nullptr);
  } else {
    nghttp2_data_provider body{{.ptr = stream}, Impl::read_body};
    result = nghttp2_submit_response(impl.session.get(), id, impl.fields.data(), impl.fields.size(),
                                     end ? nullptr : &body);
    stream->answering = true;
    stream->ended = end;
  }
  must(result);
  check(result == 0, "nghttp2 refuses a head of ours");
}

void H2Codec::send_body(H2StreamId id, std::string_view payload) {
  H2Stream* const stream = impl_->streams.find(id);
  if (stream == nullptr || !stream->takes_sends() || payload.empty()) return;
  stream->out.append(payload);
  impl_->queued += payload.size();
  if (stream->out.size() > kLowMark) stream->above_mark = true;
  impl_->resume(*stream);
}

void H2Codec::send_end(H2StreamId id, std::span<const Header> trailers) {
  H2Stream* const stream = impl_->streams.find(id);
  if (stream == nullptr || !stream->takes_sends()) return;
  stream->keep_trailers(trailers);
  stream->ended = true;
  impl_->resume(*stream);
}

std::size_t H2Codec::queued(H2StreamId id) const {
  const H2Stream* const stream = impl_->streams.find(id);
  return stream == nullptr ? 0 : stream->out.size();
}

std::size_t H2Codec::queued_in_all() const noexcept { return impl_->queued; }

void H2Codec::consume(H2StreamId id, std::size_t bytes) {
  const H2Stream* const stream = impl_->streams.find(id);
  if (stream == nullptr || stream->remote_ended) return;
  must(nghttp2_session_consume_stream(impl_->session.get(), id, bytes));
}

void H2Codec::reset(H2StreamId id, H2Error error) {
  H2Stream* const stream = impl_->streams.find(id);
  if (stream != nullptr) impl_->reset(*stream, code_of(error));
}

void H2Codec::send_goaway(bool last) {
  Impl& impl = *impl_;
  nghttp2_session* const session = impl.session.get();
  if (!last) {
    if (impl.server) must(nghttp2_submit_shutdown_notice(session));
    return;
  }
  if (std::exchange(impl.goaway_sent, true)) return;
  impl.last = nghttp2_session_get_last_proc_stream_id(session);
  must(nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, impl.last, NGHTTP2_NO_ERROR, nullptr, 0));
}

void H2Codec::send_ping() {
  must(nghttp2_submit_ping(impl_->session.get(), NGHTTP2_FLAG_NONE, nullptr));
}

H2Flood H2Codec::flood() const noexcept { return impl_->floods.flood(); }

std::size_t H2Codec::open_streams() const noexcept { return impl_->streams.size(); }

std::string nghttp2_version() {
  return std::string("nghttp2 ") + ::nghttp2_version(0)->version_str;
}

}  // namespace handfast::http
