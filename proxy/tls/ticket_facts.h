#pragma once
// What a session ticket tells of the client beside OpenSSL's own session: under which epoch its
// certificate was judged, how long that holds, and the intermediates that it showed, so that it can
// be judged again.
//
//   form (1 byte, 1) | epoch (64) | time (8, big-endian, 0: without end) | certificates in DER
//
// A ticket is signed, but keys are shared, with nginx too: what is read may be anybody's.

#include <optional>
#include <string>
#include <string_view>

#include "proxy/base/clock.h"
#include "proxy/pki/openssl_ptr.h"
#include "proxy/tls/client_certificate.h"

namespace handfast::tls {

struct TicketFacts {
  std::string_view epoch;  // borrowed from what was read
  UnixSeconds valid_until = 0;
  pki::X509StackPtr chain;  // never null
};

// Empty: this connection's session must not be taken up.
[[nodiscard]] std::string write_ticket_facts(const ClientCertificate& client);
// Nothing: it isn't whole, or of another form.
[[nodiscard]] std::optional<TicketFacts> read_ticket_facts(std::string_view bytes);

}  // namespace handfast::tls
