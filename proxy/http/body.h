#pragma once
// Where a body ends: decoding of Content-Length, chunked and until-close bodies, and the encoding
// of chunks (RFC 9112 6 and 7).
//
// I/O-free and zero-copy: a step takes bytes from the front of the input and points at the payload
// among them. Strict for chunks: sizes of 1-16 hex digits, CRLF only, extensions up to 4 KiB a
// message (after ';' and no blank; no control bytes but HTAB, no bare CR or LF), trailers up to
// 8 KiB, parsed as strictly as header fields, none that would frame or route. The result of any
// split of the input is the same. Allocates only for trailers.
//
//   Size ─> [Extension] ─> SizeLf ─> Data ─> DataCr ─> DataLf ─> Size …
//                             └ size 0 ─> Trailer ─> TrailerLf ─> Trailer … or Done

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/http/message.h"
#include "proxy/http/trailers.h"

namespace handfast::http {

class BodyDecoder {
 public:
  BodyDecoder() = default;
  BodyDecoder(Framing framing, std::uint64_t content_length);

  struct Step {
    std::size_t consumed = 0;  // of `in`; the rest must be given again
    std::string_view payload;  // within the consumed part; may be empty
    std::string_view error;    // not empty: malformed, a constant text; final
  };

  // Consumes as much as it can up to the end of one contiguous piece of payload. Call until it
  // consumes nothing or done(). Bytes after the end are never touched.
  Step decode(std::string_view in);

  // The sender closed its side: true if that is a complete body.
  [[nodiscard]] bool end_of_stream_completes() const;

  [[nodiscard]] bool done() const noexcept;

  // Once done(): what may go on of the trailers. Good until the decoder is assigned to.
  [[nodiscard]] const HeaderList& trailers() const {
    return trailers_ == nullptr ? no_trailers() : trailers_->list();
  }

 private:
  enum class State : std::uint8_t {
    Done,
    Length,
    UntilClose,
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerLf,
    Failed,
  };

  Step take_payload(std::string_view in, std::size_t at, State next);
  Step decode_chunked(std::string_view in);
  // Each takes one byte that isn't payload and returns what is wrong with it, if anything.
  std::string_view take_framing_byte(char c);
  std::string_view take_size_byte(char c);
  std::string_view take_trailer_byte(char c);
  std::string_view end_trailer_line();
  void begin_chunk();

  State state_ = State::Done;
  std::uint64_t remaining_ = 0;
  std::uint32_t digits_ = 0;
  std::uint32_t extra_ = 0;   // bytes of extensions or trailers seen
  std::string trailer_line_;  // the trailer field being read, bounded by the limit above
  std::string_view error_;    // with Failed
  std::unique_ptr<TrailerSection> trailers_;  // null: none
};

// Appends one chunk. Precondition: payload is not empty (an empty one would end the body).
void append_chunk(std::string& out, std::string_view payload);
// Appends the last chunk and the trailer section.
void append_last_chunk(std::string& out, const HeaderList& trailers = no_trailers());

}  // namespace handfast::http
