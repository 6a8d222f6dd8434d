#pragma once
// What is known about an exchange when it ends: the text of the access log and the numbers of the
// metrics. Views are good during the call only.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/base/reason.h"
#include "proxy/config/model.h"
#include "proxy/http/h2_codec.h"

namespace handfast::session {

struct ExchangeRecord {
  std::int64_t unix_milliseconds = 0;  // when the request head was complete
  std::chrono::microseconds duration{0};
  std::string_view client_address;
  std::string_view scheme;
  std::string_view method;
  std::string_view host;
  std::string_view target;
  int major_version = 1;
  int minor_version = 1;
  std::string_view user_agent;
  std::string_view referer;
  std::string_view request_id;
  int status = 0;
  std::uint64_t request_body_bytes = 0;
  std::uint64_t response_body_bytes = 0;
  bool response_cut = false;  // the client did not get the whole response

  // Bytes without a request: a TCP port, or with 0 a host whose TLS passes through.
  bool relay = false;
  std::uint16_t tcp_port = 0;

  // Null without a route; metrics_id is good only with one that isn't a relay's.
  const config::Route* route = nullptr;
  std::uint32_t metrics_id = 0;

  std::string_view downstream_tls_version;
  std::string_view downstream_tls_cipher;
  std::string_view server_name;
  std::string_view client_verify;  // as ssl-client-verify; empty: no certificate was asked for
  std::string_view client_subject;
  std::string_view client_issuer;
  std::string_view client_serial;

  std::string_view upstream_address;
  // From the choice of the first endpoint to the connection, the response's head and its end;
  // negative: it came not so far.
  std::chrono::microseconds upstream_connect{-1};
  std::chrono::microseconds upstream_header{-1};
  std::chrono::microseconds upstream_response{-1};
  int upstream_status = 0;
  int upstream_tries = 0;
  bool upstream_reused = false;
  std::string_view upstream_tls_version;
  std::string_view upstream_tls_cipher;
  std::string_view upstream_peer_subject;
  std::string_view upstream_peer_serial;
  std::string_view upstream_client_subject;  // of the certificate that we presented
  std::string_view upstream_client_serial;
  bool upstream_certificate_requested = false;
  bool upstream_tls_resumed = false;
  Reason upstream_would_refuse = Reason::Ok;  // during an audit
  std::string_view auth;           // what came of asking the auth server; empty: not asked
  std::string_view auth_upstream;  // whom; empty: nobody, its answer was kept
  int auth_status = 0;             // that it answered; 0: nothing
  bool auth_cached = false;
  Reason reason = Reason::Ok;  // why it isn't the backend's answer
  std::string_view detail;
};

// What came of asking an auth server.
enum class AuthResult : std::uint8_t {
  Allowed,
  Denied,  // 401 and 403
  Failed,  // it couldn't be asked, or answered something else
};
[[nodiscard]] std::string_view to_string(AuthResult result);

struct AuthOutcome {
  AuthResult result = AuthResult::Failed;
  Reason reason = Reason::Ok;  // Ok unless it failed
  bool cached = false;         // by an answer that was kept
  // From the question to its answer, connection and tries included; absent: nobody was asked.
  std::optional<std::chrono::nanoseconds> took;
};

// Why a request was answered 503 though its route is well.
enum class RefusedRequest : std::uint8_t {
  WorkerRequests,       // the worker has as many under way as it may
  EndpointConnections,  // each endpoint has as many connections as it may, all of them in use
};
inline constexpr std::size_t kRefusedRequests = 2;

// Threading: called on the worker's thread; must not block.
class ExchangeObserver {
 public:
  virtual ~ExchangeObserver() = default;
  virtual void on_exchange(const ExchangeRecord& record) = 0;
  // A client's connection was ended because it made work for nothing.
  virtual void on_http2_flood(http::H2Flood /*flood*/) {}
  // Beside its record.
  virtual void on_authorization(const AuthOutcome& /*outcome*/) {}
  virtual void on_request_refused(RefusedRequest /*why*/) {}
};

}  // namespace handfast::session
