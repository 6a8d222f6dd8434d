#include "proxy/http/h2_floods.h"

#include <cstring>

namespace handfast::http {
namespace {

std::uint32_t byte_of(const char* bytes, std::size_t i) {
  return std::uint32_t{static_cast<unsigned char>(bytes[i])};
}

H2StreamId parse_stream(const char* bytes) {
  std::uint32_t stream = 0;
  for (std::size_t i = 0; i < 4; ++i) stream = stream << 8U | byte_of(bytes, i);
  return static_cast<H2StreamId>(stream & 0x7fffffffU);
}

H2Frame parse_header(const char* bytes) {
  const auto byte = [bytes](std::size_t i) { return byte_of(bytes, i); };
  H2Frame frame;
  frame.length = byte(0) << 16U | byte(1) << 8U | byte(2);
  frame.type = static_cast<std::uint8_t>(byte(3));
  frame.flags = static_cast<std::uint8_t>(byte(4));
  frame.stream = parse_stream(bytes + 5);
  return frame;
}

}  // namespace

H2FrameCutter::Piece H2FrameCutter::take(std::string_view bytes) {
  Piece piece;
  if (payload_left_ == 0) {
    piece.size = std::min(header_wanted_ - header_size_, bytes.size());
    std::memcpy(header_.data() + header_size_, bytes.data(), piece.size);
    header_size_ += piece.size;
    if (header_size_ < header_wanted_) return piece;
    frame_ = parse_header(header_.data());
    const bool depends = frame_.type == H2Frame::Priority && frame_.length >= kDependencyBytes;
    if (depends && header_wanted_ == kHeaderBytes) {
      header_wanted_ += kDependencyBytes;
      return piece;
    }
    if (depends) frame_.depends_on = parse_stream(header_.data() + kHeaderBytes);
    payload_left_ = frame_.length + kHeaderBytes - header_wanted_;
    header_size_ = 0;
    header_wanted_ = kHeaderBytes;
    piece.frame = &frame_;
  }
  const std::size_t payload = std::min(payload_left_, bytes.size() - piece.size);
  payload_left_ -= payload;
  piece.size += payload;
  return piece;
}

bool H2Floods::take_continuation(bool is_continuation) {
  if (!is_continuation) {
    continuations_ = 0;
    return true;
  }
  if (++continuations_ <= kMaxContinuations) return true;
  flood_ = H2Flood::Continuations;
  return false;
}

}  // namespace handfast::http
