#pragma once
// Reading of header fields, shared by requests, responses and trailers, and what the fields say
// about the message's framing and connection. Internal to proxy/http.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/http/message.h"

namespace handfast::http {

// Why a message is refused: a status to answer and a constant text. False: it isn't.
struct Refusal {
  int status = 0;
  std::string_view what;
  explicit operator bool() const noexcept { return status != 0; }
};

// The bytes that are still to be read.
struct Cursor {
  const char* at = nullptr;
  const char* end = nullptr;
  [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(end - at); }
};

// More options in the Connection fields of one message are refused: each costs a comparison with
// each field, and nobody needs them.
inline constexpr std::size_t kMaxConnectionOptions = 32;

// What was found among the fields.
struct FieldFacts {
  std::string_view host;
  std::string_view content_length;
  std::string_view transfer_encoding;
  std::string_view upgrade;
  std::size_t hosts = 0;
  std::size_t content_lengths = 0;
  std::size_t transfer_encodings = 0;
  std::size_t connection_options = 0;
  std::size_t upgrades = 0;
  bool upgrade_option = false;
  bool te_trailers = false;
  bool close = false;
  bool keep_alive = false;
  bool expect_continue = false;
  bool expect_other = false;
};

// Adds what a field says to what is known; refuses Connection fields that can't be obeyed.
[[nodiscard]] Refusal note_field(const Header& field, FieldFacts& facts);

// Reads one field with its CRLF and moves the cursor behind it. `field.id` is set.
[[nodiscard]] Refusal read_field(Cursor& in, Header& field);

// Reads fields up to and with the empty line.
[[nodiscard]] Refusal read_fields(Cursor& in, HeaderList& fields, FieldFacts& facts);

// Moves the cursor behind a CRLF; false if there is none.
[[nodiscard]] bool skip_crlf(Cursor& in);

// The first byte of [at, end) that may not stand in a field value, or end.
[[nodiscard]] const char* find_non_value(const char* at, const char* end);

// What Content-Length and Transfer-Encoding say together (RFC 9112 6): None if there is neither.
struct BodyLength {
  Framing framing = Framing::None;
  std::uint64_t length = 0;
};
[[nodiscard]] Refusal read_body_length(const FieldFacts& facts, int minor_version, BodyLength& out);

// Sets path and query from the target.
void split_target(RequestHead& head);

// RFC 9112 9.3.
[[nodiscard]] inline bool wants_keep_alive(const FieldFacts& facts, int minor_version) {
  return !facts.close && (minor_version >= 1 || facts.keep_alive);
}

// Takes the first element off a comma-separated list, without blanks around it; it may be empty.
// Nothing when the list is used up.
[[nodiscard]] std::optional<std::string_view> take_list_element(std::string_view& list);

}  // namespace handfast::http
