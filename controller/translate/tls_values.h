#pragma once
// The values of the proxy-ssl-* annotations, each read strictly: an unknown value is an error,
// never a default (ingress-nginx took every word but "on" for off). Pure; errors are InvalidValue
// with a sentence that says what is accepted.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controller/translate/options.h"
#include "proxy/base/result.h"
#include "proxy/config/model.h"

namespace handfast::translate {

// Exactly "on" or "off".
[[nodiscard]] Result<bool> parse_on_off(std::string_view value);

// 1 to 100.
[[nodiscard]] Result<std::uint8_t> parse_depth(std::string_view value);

// Blank-separated TLSv1.2 and TLSv1.3: sorted, each once.
[[nodiscard]] Result<std::vector<config::TlsVersion>> parse_versions(std::string_view value);

// An OpenSSL list for TLS 1.2 in ingress-nginx's characters, that adds something and adds nothing
// broken (no authentication, no encryption, RC4, DES, MD5, export). Whether OpenSSL knows the names
// is the proxy's to say.
[[nodiscard]] Result<std::string> parse_ciphers(std::string_view value);

// Fills in $service_name, $namespace and $service_port (also ${…}). Any other variable is refused:
// a client could choose the name that its own backend must prove.
struct NameVariables {
  std::string_view service_name;
  std::string_view ns;
  std::string_view service_port;
};
[[nodiscard]] Result<std::string> expand_name(std::string_view value,
                                              const NameVariables& variables);

}  // namespace handfast::translate
