#pragma once
// What the proxy changes in a head that passes through: hop-by-hop fields go, headers that we
// assert are stripped and set anew, framing is written by us (RFC 9110 7.6; design invariant 11).
//
// A `Connection: X` of the sender removes field X (RFC 9110 7.6.1), but never one that we assert:
// ours are added after. Everything else passes byte for byte in its order.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http/message.h"

namespace handfast::http {

// The client's certificate, for routes that asked for one: ssl-client-verify and so on, as
// ingress-nginx calls them. Empty: that field isn't written.
struct ClientCertificateFields {
  std::string_view verify;   // "SUCCESS", "NONE", "FAILED:<why>"
  std::string_view subject;  // RFC 2253, as issuer
  std::string_view issuer;
  std::string_view certificate;  // PEM, percent-encoded
  std::string_view forwarded;    // X-Forwarded-Client-Cert
};

// What ingress-nginx sends to every backend (reference: template nginx.tmpl, "location"). Empty
// where not said otherwise: that field isn't written.
struct ForwardContext {
  std::string_view client_address;               // "192.0.2.7", no port; never empty
  std::string_view scheme;                       // "http" or "https"
  std::uint16_t public_port = 443;               // X-Forwarded-Port: that the client dialled
  std::string_view request_id;                   // 32 hex digits: X-Request-ID
  std::string_view forwarded_for = {};           // empty: the client's address
  std::string_view forwarded_host = {};          // empty: the authority of the request
  std::string_view original_forwarded_for = {};  // X-Forwarded-For of a proxy that is believed
  std::string_view original_forwarded_host = {};
  ClientCertificateFields client_certificate = {};
  // Fields of the sender with such a name don't pass, in whatever spelling (header_id.h).
  std::span<const std::string> withheld = {};
  std::span<const Header> added = {};  // written as they are
};

// Whether a Connection field takes others of the head out, which would have gone on.
[[nodiscard]] bool takes_fields_out(const HeaderList& headers);

[[nodiscard]] bool is_withheld(std::string_view name, std::span<const std::string> withheld);

// Writes the request line and head for an HTTP/1.1 backend: target as it came, Host as the client
// sent it, then the client's fields, then ours: X-Request-ID, X-Real-IP, X-Forwarded-For,
// X-Forwarded-Host, X-Forwarded-Port, X-Forwarded-Proto, X-Forwarded-Scheme, X-Scheme, the
// X-Original- ones, those of the client's certificate, and the framing (Content-Length or
// Transfer-Encoding: chunked). Not written: hop-by-hop fields, protected ones, Content-Length and
// Transfer-Encoding as they came; Upgrade only as head.upgrade says. Of a client that sent no
// authority (HTTP/1.0) Host goes out empty and X-Forwarded-Host not at all. Expect passes as it
// came, but not from HTTP/1.0, which must not ask (RFC 9110 10.1.1). Content-Length goes out only
// if the client sent one. Which of a client's own forwarding headers are believed, and so are in
// the context, is the caller's to say (session/client_origin.h).
void append_request_head(std::string& out, const RequestHead& head, const ForwardContext& context);

// The same for an HTTP/2 backend (H2Codec::send_request()): appends the client's fields, then ours,
// to `out`. Method, target and authority go as pseudo fields and aren't among them, nor is any
// framing but Content-Length if the client sent one; TE: trailers goes on from clients that sent
// it. The views are of the head, the context, constants, and of `storage`, which is overwritten.
void forward_request_fields(std::vector<Header>& out, std::string& storage, const RequestHead& head,
                            const ForwardContext& context);

// Writes the status line and head for an HTTP/1.x client: the backend's fields without hop-by-hop
// ones, then framing and Connection as the two flags say. `chunked`: we encode the body in chunks
// (never to an HTTP/1.0 client). `close`: adds "Connection: close"; otherwise, to an HTTP/1.0
// client that asked, "Connection: keep-alive". Never both lengths; neither for 1xx and 204. A Date
// is added if the backend sent none (RFC 9110 6.6.1).
struct ResponseFraming {
  bool chunked = false;
  bool close = false;
  bool client_is_1_0 = false;
  // Strict-Transport-Security, in the place of the backend's own; empty: that one passes.
  std::string_view strict_transport = {};
  // For HEAD and 304 the backend's Content-Length passes as it came though no body follows.
};
void append_response_head(std::string& out, const ResponseHead& head, ResponseFraming framing);

// The same for an HTTP/2 client (H2Codec::send_head()): the backend's fields without hop-by-hop
// ones, its Content-Length if the body has that length, and a Date. Views as above, and of
// `strict_transport`.
void forward_response_fields(std::vector<Header>& out, std::string& storage,
                             const ResponseHead& head, std::string_view strict_transport = {});

// A whole answer of our own: status line, Date, Content-Type: text/html, Content-Length, body (a
// short fixed page that names the status and nothing else; empty for HEAD). `extra` is zero or more
// complete "Name: value\r\n" lines of ours; `strict_transport` as above.
void append_own_response(std::string& out, int status, std::string_view request_method, bool close,
                         bool client_is_1_0, std::string_view extra = {},
                         std::string_view strict_transport = {});

// The same for an HTTP/2 client, in two parts: the fields, and the page (nothing for a status
// without content). The views are of `extra`, constants, and of `storage`, which is overwritten.
void own_response_fields(std::vector<Header>& out, std::string& storage, int status,
                         std::string_view extra = {}, std::string_view strict_transport = {});

// Strict-Transport-Security, which a backend may say itself.
inline constexpr std::string_view kStrictTransport = "Strict-Transport-Security";
void append_own_page(std::string& out, int status);

}  // namespace handfast::http
