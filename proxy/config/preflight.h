#pragma once
// What the controller asks before it lets a new identity, or more trust, take effect, as JSON over
// the control socket:
//
//   POST /v1/preflight PreflightRequest  -> PreflightAnswer (200; 400: the request can't be read)
//
// The proxy shakes hands with each endpoint by the rules of the request, and serves nothing by
// them. Pure functions; thread-safe.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/config/model.h"

namespace handfast::config {

inline constexpr std::size_t kMostPreflightEndpoints = 8;

struct PreflightRequest {
  UpstreamTls tls;                  // without a candidate; its files lie in the state directory
  Http2 http2 = Http2::Offer;       // what is offered by ALPN
  bool external_name = false;       // addresses are names, and looked up as a Service's are
  std::vector<Endpoint> endpoints;  // address and port count; at most kMostPreflightEndpoints
  friend bool operator==(const PreflightRequest&, const PreflightRequest&) = default;
};

// What is known of our certificate after a handshake.
enum class Acceptance : std::uint8_t {
  Unknown,       // the handshake failed before that
  Unasked,       // the backend didn't ask for it
  Accepted,      // it asked, and went on when it had it
  NotConfirmed,  // it asked, and said nothing more in time
};

struct PreflightVote {
  std::string address;  // "10.0.0.7:8443"
  Reason reason = Reason::Ok;
  std::string detail;
  Acceptance acceptance = Acceptance::Unknown;
  friend bool operator==(const PreflightVote&, const PreflightVote&) = default;
};

struct PreflightAnswer {
  // Why nobody was asked: the rules can't be used.
  Reason refused = Reason::Ok;
  std::string detail;
  std::vector<PreflightVote> votes;
  friend bool operator==(const PreflightAnswer&, const PreflightAnswer&) = default;
};

[[nodiscard]] std::string to_json(const PreflightRequest& request);
[[nodiscard]] std::string to_json(const PreflightAnswer& answer);

[[nodiscard]] Result<PreflightRequest> parse_preflight_request(std::string_view json);
[[nodiscard]] Result<PreflightAnswer> parse_preflight_answer(std::string_view json);

}  // namespace handfast::config
