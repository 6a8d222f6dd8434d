#pragma once
// The names that may stand in OpenSSL's lists: of ciphers for TLS 1.2, ciphers(1), of suites for
// TLS 1.3, and of groups for the key exchange. An unknown one is an error, though OpenSSL would
// pass over some and offer what is left. Whether the proxy's OpenSSL has them all is the proxy's to
// say. Pure.

#include <optional>
#include <string>
#include <string_view>

namespace handfast::translate {

// To backends some more may be offered, which nobody should, but some only speak.
enum class CipherUse : unsigned char { Clients, Backends };

// The first element of the list that isn't known; empty ones are passed over.
[[nodiscard]] std::optional<std::string_view> find_unknown_cipher(std::string_view list,
                                                                  CipherUse use);
// The same of names joined by ':', of which none may be empty.
[[nodiscard]] std::optional<std::string_view> find_unknown_suite(std::string_view list);
// Of groups, the sentence that says why not: a name that isn't known, or one group twice, which may
// be under two of its names.
[[nodiscard]] std::optional<std::string> find_group_fault(std::string_view list);

}  // namespace handfast::translate
