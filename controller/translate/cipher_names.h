#pragma once
// The names that may stand in an OpenSSL list of ciphers for TLS 1.2, ciphers(1): an unknown one is
// an error, though OpenSSL would pass over it and offer what is left. Pure.

#include <optional>
#include <string_view>

namespace handfast::translate {

// To backends some more may be offered, which nobody should, but some only speak.
enum class CipherUse : unsigned char { Clients, Backends };

// The first element of the list that isn't known; empty ones are passed over.
[[nodiscard]] std::optional<std::string_view> find_unknown_cipher(std::string_view list,
                                                                  CipherUse use);

}  // namespace handfast::translate
