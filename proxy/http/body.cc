#include "proxy/http/body.h"

#include <algorithm>
#include <charconv>

#include "proxy/base/check.h"
#include "proxy/http/chars.h"
#include "proxy/http/fields.h"

namespace handfast::http {
namespace {

constexpr std::uint32_t kMaxSizeDigits = 16;
constexpr std::uint32_t kMaxExtensionBytes = 4 * 1024;
constexpr std::uint32_t kMaxTrailerBytes = 8 * 1024;

// Fields that change where a message ends or goes may not come after it (RFC 9110 6.5.1).
bool forbidden_in_trailer(HeaderId id) {
  return id == HeaderId::ContentLength || id == HeaderId::TransferEncoding ||
         id == HeaderId::Host || id == HeaderId::Connection || id == HeaderId::Trailer;
}

}  // namespace

BodyDecoder::BodyDecoder(Framing framing, std::uint64_t content_length) {
  switch (framing) {
    case Framing::None:
      break;
    case Framing::Length:
      remaining_ = content_length;
      state_ = content_length > 0 ? State::Length : State::Done;
      break;
    case Framing::Chunked:
      state_ = State::Size;
      break;
    case Framing::UntilClose:
      state_ = State::UntilClose;
      break;
  }
}

BodyDecoder::Step BodyDecoder::decode(std::string_view in) {
  if (in.empty() && state_ != State::Failed) return {};
  switch (state_) {
    case State::Done:
      return {};
    case State::UntilClose:
      return {in.size(), in, {}};
    case State::Length:
      return take_payload(in, 0, State::Done);
    case State::Failed:
      return {0, {}, error_};
    case State::Size:
    case State::Extension:
    case State::SizeLf:
    case State::Data:
    case State::DataCr:
    case State::DataLf:
    case State::Trailer:
    case State::TrailerLf:
      return decode_chunked(in);
  }
  return {};
}

BodyDecoder::Step BodyDecoder::take_payload(std::string_view in, std::size_t at, State next) {
  const std::string_view rest = in.substr(at);
  const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(rest.size(), remaining_));
  remaining_ -= n;
  if (remaining_ == 0) state_ = next;
  return {at + n, rest.substr(0, n), {}};
}

BodyDecoder::Step BodyDecoder::decode_chunked(std::string_view in) {
  std::size_t at = 0;
  while (at < in.size() && state_ != State::Done) {
    if (state_ == State::Data) return take_payload(in, at, State::DataCr);
    const std::string_view error = take_framing_byte(in[at]);
    if (!error.empty()) {
      state_ = State::Failed;
      error_ = error;
      return {0, {}, error};
    }
    ++at;
  }
  return {at, {}, {}};
}

std::string_view BodyDecoder::take_framing_byte(char c) {
  switch (state_) {
    case State::Size:
      return take_size_byte(c);
    case State::Extension:
      if (c == '\r') {
        state_ = State::SizeLf;
        return {};
      }
      if (!has_class(c, kValueChar)) return "control byte in a chunk extension";
      if (++extra_ > kMaxExtensionBytes) return "chunk extensions too long";
      return {};
    case State::SizeLf:
      if (c != '\n') return "bare CR after a chunk size";
      begin_chunk();
      return {};
    case State::DataCr:
      if (c != '\r') return "no CRLF after a chunk";
      state_ = State::DataLf;
      return {};
    case State::DataLf:
      if (c != '\n') return "no CRLF after a chunk";
      state_ = State::Size;
      return {};
    case State::Trailer:
      return take_trailer_byte(c);
    case State::TrailerLf:
      if (c != '\n') return "bare CR in a trailer";
      return end_trailer_line();
    case State::Done:
    case State::Length:
    case State::UntilClose:
    case State::Data:
    case State::Failed:
      break;
  }
  check(false, "no framing byte here");
  return {};
}

std::string_view BodyDecoder::take_size_byte(char c) {
  const unsigned digit = hex_value(c);
  if (digit != kNotHex) {
    if (++digits_ > kMaxSizeDigits) return "chunk size too long";
    remaining_ = remaining_ * 16 + digit;
    return {};
  }
  if (digits_ == 0) return "no chunk size";
  if (c == '\r') {
    state_ = State::SizeLf;
    return {};
  }
  if (c != ';') return "bad chunk size";
  state_ = State::Extension;
  return ++extra_ > kMaxExtensionBytes ? "chunk extensions too long" : std::string_view();
}

void BodyDecoder::begin_chunk() {
  digits_ = 0;
  if (remaining_ > 0) {
    state_ = State::Data;
    return;
  }
  state_ = State::Trailer;
  extra_ = 0;
}

std::string_view BodyDecoder::take_trailer_byte(char c) {
  if (c == '\r') {
    state_ = State::TrailerLf;
    return {};
  }
  if (!has_class(c, kValueChar)) return "control byte in a trailer";
  if (++extra_ > kMaxTrailerBytes) return "trailers too long";
  trailer_line_.push_back(c);
  return {};
}

std::string_view BodyDecoder::end_trailer_line() {
  if (trailer_line_.empty()) {
    state_ = State::Done;
    return {};
  }
  trailer_line_.append("\r\n");
  Header field;
  Cursor line{trailer_line_.data(), trailer_line_.data() + trailer_line_.size()};
  if (const Refusal refusal = read_field(line, field)) return refusal.what;
  if (forbidden_in_trailer(field.id)) return "framing field in a trailer";
  if (trailers_ == nullptr) trailers_ = std::make_unique<TrailerSection>();
  if (!trailers_->add(field)) return "too many trailers";
  trailer_line_.clear();
  state_ = State::Trailer;
  return {};
}

bool BodyDecoder::end_of_stream_completes() const {
  return state_ == State::Done || state_ == State::UntilClose;
}

bool BodyDecoder::done() const noexcept { return state_ == State::Done; }

void append_chunk(std::string& out, std::string_view payload) {
  check(!payload.empty(), "an empty chunk would end the body");
  char size[2 * sizeof(std::size_t)];
  const auto end = std::to_chars(size, size + sizeof size, payload.size(), 16);
  out.append(size, end.ptr).append("\r\n").append(payload).append("\r\n");
}

void append_last_chunk(std::string& out, const HeaderList& trailers) {
  out.append("0\r\n");
  for (const Header& field : trailers.items()) {
    out.append(field.name).append(": ").append(field.value).append("\r\n");
  }
  out.append("\r\n");
}

}  // namespace handfast::http
