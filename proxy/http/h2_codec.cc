#include "proxy/http/h2_codec.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

#include "proxy/http/h2_codec_impl.h"

namespace handfast::http {
namespace {

constexpr std::size_t kPrefaceBytes = 24;
// nghttp2 counts a CONTINUATION again each time that its header comes in parts: ours decides.
constexpr std::size_t kLibraryContinuations = 10 * kMaxContinuations;

// Of a stream; its error codes and ours are the RFC's.
constexpr std::uint32_t code_of(H2Error error) { return static_cast<std::uint32_t>(error); }

}  // namespace

H2Callbacks H2Codec::Impl::make_callbacks() {
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
  return H2Callbacks(made);
}

H2Option H2Codec::Impl::make_option() {
  nghttp2_option* made = nullptr;
  must(nghttp2_option_new(&made));
  nghttp2_option_set_no_auto_window_update(made, 1);
  nghttp2_option_set_no_closed_streams(made, 1);  // H2ClosedStreams costs less
  nghttp2_option_set_max_continuations(made, kLibraryContinuations);
  // A head as large as we take, and a client's certificate in our own fields.
  nghttp2_option_set_max_send_header_block_length(made, 256 * 1024);
  nghttp2_option_set_stream_reset_rate_limit(made, UINT64_MAX / 2, 1);  // H2Floods decides
  return H2Option(made);
}

H2Codec::Impl::Impl(Role role, Events& to, const H2Limits& bounds)
    : events(to),
      limits(bounds),
      head_limits{bounds.head_bytes, bounds.target_bytes},
      server(role == Role::Server),
      cutter(server ? kPrefaceBytes : 0) {
  const H2Callbacks callbacks = make_callbacks();
  const H2Option option = make_option();
  nghttp2_session* made = nullptr;
  must(server ? nghttp2_session_server_new3(&made, callbacks.get(), this, option.get(),
                                            memory.functions())
              : nghttp2_session_client_new3(&made, callbacks.get(), this, option.get(),
                                            memory.functions()));
  memory.seal();
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

H2Codec::H2Codec(Role role, Events& events, const H2Limits& limits)
    : impl_(std::make_unique<Impl>(role, events, limits)) {}

H2Codec::~H2Codec() = default;

void H2Codec::set_now(Monotonic now) { impl_->floods.set_now(now); }

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

void H2Codec::release_memory() {
  impl_->streams.release_memory();
  if (!wants_produce()) impl_->memory.release_frame();
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

std::optional<std::size_t> H2Codec::stream_limit() const {
  if (!impl_->settings_received) return std::nullopt;
  return nghttp2_session_get_remote_settings(impl_->session.get(),
                                             NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
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

bool H2Codec::asks_in_grpc(H2StreamId id) const {
  const H2Stream* const stream = impl_->streams.find(id);
  return stream != nullptr && stream->head.is_grpc();
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

bool H2Codec::failed() const noexcept { return impl_->failed(); }

H2Flood H2Codec::flood() const noexcept { return impl_->floods.flood(); }

std::size_t H2Codec::open_streams() const noexcept { return impl_->streams.size(); }

std::string nghttp2_version() {
  return std::string("nghttp2 ") + ::nghttp2_version(0)->version_str;
}

}  // namespace handfast::http
