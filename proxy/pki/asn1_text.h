#pragma once
// ASN.1 values as what a person and the program can use: Unix seconds, names, serials.
//
// Pure; thread-safe. Texts are printable: bytes that a peer chose can't carry control characters
// into a log or a terminal.

#include <openssl/asn1.h>
#include <openssl/x509.h>

#include <optional>
#include <string>
#include <string_view>

#include "proxy/base/clock.h"

namespace handfast::pki {

// Nothing if the time can't be read.
[[nodiscard]] std::optional<UnixSeconds> to_unix(const ASN1_TIME* time);

// "2026-11-24T04:03:38Z"
[[nodiscard]] std::string rfc3339(UnixSeconds time);

// RFC 2253: "CN=orders,O=Shop".
[[nodiscard]] std::string name_text(const X509_NAME* name);

// Upper-case hex, two digits a byte, as `openssl x509 -serial`.
[[nodiscard]] std::string serial_text(const ASN1_INTEGER* serial);

// Bytes outside printable ASCII as \xNN; more than `limit` characters are cut, with "…".
[[nodiscard]] std::string printable(std::string_view bytes, std::size_t limit = 256);

// The bytes of a string type, embedded NULs included. Borrowed.
[[nodiscard]] std::string_view string_bytes(const ASN1_STRING* string);

}  // namespace handfast::pki
