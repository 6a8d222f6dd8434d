#pragma once
// Names in a certificate: whether one proves an expected name, and the list for people.
//
// Subject alternative names only, never the CN. An IP address is proved by an iPAddress entry
// alone, a DNS name by a dNSName entry (ASCII case folded; a wildcard is one whole left-most label
// with at least two labels after it), a URI by a URI entry with the same bytes. "spiffe://td/*" is
// proved by an X.509-SVID of that trust domain: one URI entry and no other, of that domain, with a
// path as SPIFFE-ID section 2 allows. Pure; thread-safe.

#include <openssl/x509.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace handfast::pki {

enum class NameKind : std::uint8_t { Dns, Ip, Uri, TrustDomain, Unusable };

// What an expected name is. Unusable proves nothing: empty, a leading dot (OpenSSL would take it
// for "any subdomain"), a wildcard, a NUL, non-ASCII, a last label of digits that isn't an IP
// address, a '*' in a SPIFFE ID but for the whole path.
[[nodiscard]] NameKind name_kind(std::string_view name);

[[nodiscard]] bool proves_name(const X509& certificate, std::string_view name);

// "DNS:…", "IP:…", "URI:…" in the certificate's order; printable.
[[nodiscard]] std::vector<std::string> subject_alt_names(const X509& certificate);

}  // namespace handfast::pki
