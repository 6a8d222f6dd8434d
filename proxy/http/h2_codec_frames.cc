// What frames do, received and sent: judged, told to Events, drawn from the streams' queues.

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "proxy/http/h2_codec_impl.h"

namespace handfast::http {
namespace {

// With its frame header a full payload fills one TLS record.
constexpr std::size_t kMaxPayload = 16'384 - 9;
std::string_view text_of(nghttp2_rcbuf* buffer) {
  const nghttp2_vec bytes = nghttp2_rcbuf_get_buf(buffer);
  return {reinterpret_cast<const char*>(bytes.base), bytes.len};
}

}  // namespace

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
    case NGHTTP2_SETTINGS:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0) return;
      settings_received = true;
      events.on_h2_settings();
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

}  // namespace handfast::http
