#pragma once
// Whether the client of a request may have the route that it asks for, by its address and by its
// certificate.
//
// Judged for each request, by what its connection was found to be in the handshake: a connection
// that was verified under the rules of another host is worth nothing here (421), a route that needs
// a certificate isn't served without TLS, and when CA or CRL have changed, or time has passed
// since, the certificate is judged again before anything is answered.
//
// Threading: one worker's.

#include <optional>
#include <string_view>

#include "proxy/base/clock.h"
#include "proxy/base/reason.h"
#include "proxy/config/model.h"
#include "proxy/http/forwarding.h"
#include "proxy/route/snapshot.h"
#include "proxy/session/session.h"
#include "proxy/tls/client_certificate.h"

namespace handfast::session {

// What the client is answered instead of the Service's response.
struct ClientDenial {
  int status = 0;
  Reason reason = Reason::Ok;
  std::string_view detail;  // of the snapshot or of the certificate
};

// Nothing: it may have the route. `host` and `route` are of `snapshot`, the newest.
[[nodiscard]] std::optional<ClientDenial> deny_client(const route::Snapshot& snapshot,
                                                      const route::HostEntry& host,
                                                      const config::Route& route,
                                                      const ClientFacts& client, UnixSeconds now);

// The same of a TCP port of the newest snapshot, for a connection that had its handshake before:
// the port may have begun to ask since, or ask for something else.
[[nodiscard]] std::optional<ClientDenial> deny_client(const route::TcpEntry& port,
                                                      const ClientFacts& client, UnixSeconds now);

// By its address, which proxies in front may have told. An address that is none gets in nowhere.
[[nodiscard]] std::optional<ClientDenial> deny_by_address(const route::SourceRules& rules,
                                                          std::string_view address);

// By what its certificate, or that there is none, was found to be.
[[nodiscard]] std::optional<ClientDenial> deny_by_verdict(
    const tls::ClientCertificate& certificate);

// What the Service is told. Nothing of a route that doesn't ask.
[[nodiscard]] http::ClientCertificateFields certificate_fields(const config::Route& route,
                                                               const ClientFacts& client);

}  // namespace handfast::session
