#pragma once
// What pki says of the bytes of one item: the same functions by which the proxy will judge them.
// Pure.

#include <cstdint>
#include <string_view>

#include "controller/translate/material_cache.h"

namespace handfast::translate {

using Facts = MaterialCache::Facts;

// `passphrases`: one a line; empty: none are given.
[[nodiscard]] Facts parse_pair(std::string_view certificate, std::string_view key,
                               std::string_view passphrases);
[[nodiscard]] Facts parse_pkcs12(std::string_view bytes, std::string_view passphrases);
[[nodiscard]] Facts parse_ca(std::string_view pem, std::int64_t now);
[[nodiscard]] Facts parse_crl(std::string_view bytes);
// Lines of hex digits, a key each.
[[nodiscard]] Facts parse_ticket_keys(std::string_view lines);

}  // namespace handfast::translate
