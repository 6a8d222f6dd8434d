#pragma once
// How a route speaks to its Service: protocol, retries and balancing, as value types of the model.
//
// The defaults are ingress-nginx's, so that an absent field means what an absent annotation means.
// One difference: bodies are streamed unless a route asks for buffering.

#include <cstdint>
#include <vector>

namespace handfast::config {

// Grpc and Grpcs are HTTP/2 (plain with prior knowledge; over TLS), and errors of ours are answered
// with a grpc-status.
enum class BackendProtocol : std::uint8_t { Http, Https, Grpc, Grpcs };

[[nodiscard]] constexpr bool is_tls(BackendProtocol protocol) {
  return protocol == BackendProtocol::Https || protocol == BackendProtocol::Grpcs;
}

[[nodiscard]] constexpr bool is_grpc(BackendProtocol protocol) {
  return protocol == BackendProtocol::Grpc || protocol == BackendProtocol::Grpcs;
}

[[nodiscard]] constexpr BackendProtocol with_tls(BackendProtocol protocol) {
  return is_grpc(protocol) ? BackendProtocol::Grpcs : BackendProtocol::Https;
}

[[nodiscard]] constexpr BackendProtocol without_tls(BackendProtocol protocol) {
  return is_grpc(protocol) ? BackendProtocol::Grpc : BackendProtocol::Http;
}

// HTTP/2 to the endpoints. With TLS, ALPN decides: Off offers http/1.1 only, Offer both, Require h2
// only. Without TLS nothing can be offered: Require is prior knowledge (h2c).
enum class Http2 : std::uint8_t { Off, Offer, Require };

// What a protocol means where nothing is said about HTTP/2.
[[nodiscard]] constexpr Http2 default_http2(BackendProtocol protocol) {
  return is_grpc(protocol) ? Http2::Require : Http2::Off;
}

enum class LoadBalance : std::uint8_t { RoundRobin, LeastRequest, ConsistentHash };

// When a request goes to another endpoint, as nginx's proxy_next_upstream. All conditions false: it
// never does.
struct RetryPolicy {
  bool error = true;            // connecting, sending or reading failed
  bool timeout = true;          // one of them took too long
  bool invalid_header = false;  // the answer is empty or broken
  bool non_idempotent = false;  // also a request that may have had an effect (POST, LOCK, PATCH)
  std::vector<std::uint16_t> statuses;  // answers that count as failed; sorted, of kRetryStatuses
  std::uint32_t tries = 3;              // endpoints tried for one request; 0: no limit
  std::uint32_t timeout_ms = 0;         // no further try after this long; 0: no limit
  friend bool operator==(const RetryPolicy&, const RetryPolicy&) = default;
};

inline constexpr std::uint16_t kRetryStatuses[] = {403, 404, 429, 500, 502, 503, 504};

inline constexpr std::uint64_t kDefaultMaxBodyBytes = std::uint64_t{1} << 20;
inline constexpr std::uint64_t kDefaultMaxTempBytes = std::uint64_t{1} << 30;

}  // namespace handfast::config
