#pragma once
// What controller and proxy say to each other over the control socket, as JSON.
//
//   POST /v1/load {"generation": N}  -> LoadAnswer   (200: every worker serves N; 409: rejected)
//   GET  /v1/state                   -> StateAnswer
//   POST /v1/preflight               -> preflight.h
//
// JSON out is written by us; JSON in is read by yaml-cpp (JSON is YAML), with the same errors as
// text.h. Pure functions; thread-safe.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"

namespace handfast::config {

struct LoadRequest {
  std::uint64_t generation = 0;
};

// One shard that the proxy would not take.
struct Rejection {
  std::string shard;  // "tls/shop/orders/api:443"; empty: the generation itself
  std::string field;  // "identity.key"; may be empty
  std::string file;   // path below the state directory; may be empty
  Reason reason = Reason::Internal;
  std::string detail;  // a sentence
  friend bool operator==(const Rejection&, const Rejection&) = default;
};
void append_rejection(std::string& out, const Rejection& rejection);  // as JSON

// `generation`: the one that every worker serves now. Equal to the one asked for iff accepted.
struct LoadAnswer {
  std::uint64_t generation = 0;
  std::vector<Rejection> rejected;
  friend bool operator==(const LoadAnswer&, const LoadAnswer&) = default;
};

// One revocation list.
struct CrlState {
  std::string issuer;
  std::string number;  // empty: it has none
  std::int64_t this_update = 0;
  std::int64_t next_update = 0;  // 0: it names none
  std::uint64_t entries = 0;
  friend bool operator==(const CrlState&, const CrlState&) = default;
};

// What one TLS policy has loaded.
struct PolicyState {
  std::string name;                             // UpstreamTls::name
  std::string subject, issuer, serial, sha256;  // our certificate; empty without one
  std::vector<std::string> sans;
  std::int64_t not_before = 0;
  std::int64_t not_after = 0;
  std::uint64_t ca_count = 0;
  std::int64_t ca_not_after = 0;  // of the first that ends; 0: none
  std::vector<CrlState> crls;
  std::string refused;  // the word; empty: none
  friend bool operator==(const PolicyState&, const PolicyState&) = default;
};

// Last handshake with one endpoint.
struct EndpointState {
  std::string service;  // Service::name
  std::string address;  // "10.0.0.7:8443"
  std::string result;   // "ok" or the word
  std::int64_t time = 0;
  friend bool operator==(const EndpointState&, const EndpointState&) = default;
};

// An endpoint that one worker gives less than its share, because of failures or because it is new.
struct UnwellEndpoint {
  std::uint64_t worker = 0;
  std::string service;  // Service::name
  std::string address;
  std::string state;                    // "resting", "probing", "growing"
  std::uint64_t failures = 0;           // in a row
  std::uint64_t milliseconds_left = 0;  // of its rest, or until it has its whole share
  friend bool operator==(const UnwellEndpoint&, const UnwellEndpoint&) = default;
};

struct StateAnswer {
  std::uint64_t generation = 0;
  std::vector<PolicyState> policies;
  std::vector<EndpointState> endpoints;
  std::vector<UnwellEndpoint> unwell;
  friend bool operator==(const StateAnswer&, const StateAnswer&) = default;
};

[[nodiscard]] std::string to_json(const LoadRequest& request);
[[nodiscard]] std::string to_json(const LoadAnswer& answer);
[[nodiscard]] std::string to_json(const StateAnswer& answer);

[[nodiscard]] Result<LoadRequest> parse_load_request(std::string_view json);
[[nodiscard]] Result<LoadAnswer> parse_load_answer(std::string_view json);
[[nodiscard]] Result<StateAnswer> parse_state_answer(std::string_view json);

}  // namespace handfast::config
