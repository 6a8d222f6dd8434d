#include "proxy/http/h2_floods.h"

#include <cstring>

namespace handfast::http {
namespace {

H2Frame parse_header(const char* bytes) {
  const auto byte = [bytes](std::size_t i) {
    return std::uint32_t{static_cast<unsigned char>(bytes[i])};
  };
  H2Frame frame;
  frame.length = byte(0) << 16U | byte(1) << 8U | byte(2);
  frame.type = static_cast<std::uint8_t>(byte(3));
  frame.flags = static_cast<std::uint8_t>(byte(4));
  const std::uint32_t stream = byte(5) << 24U | byte(6) << 16U | byte(7) << 8U | byte(8);
  frame.stream = static_cast<H2StreamId>(stream & 0x7fffffffU);
  return frame;
}

}  // namespace

H2FrameCutter::Piece H2FrameCutter::take(std::string_view bytes) {
  Piece piece;
  if (payload_left_ == 0) {
    const std::size_t wanted = kHeaderBytes - header_size_;
    piece.size = std::min(wanted, bytes.size());
    std::memcpy(header_.data() + header_size_, bytes.data(), piece.size);
    header_size_ += piece.size;
    if (header_size_ < kHeaderBytes) return piece;
    header_size_ = 0;
    frame_ = parse_header(header_.data());
    payload_left_ = frame_.length;
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
