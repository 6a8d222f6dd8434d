#pragma once
// How the last attempt to connect to each endpoint ended, by what we present and by which rules we
// judge: what `/v1/state` and the status page tell.
//
// Two policies that share a key share connections, and what is known of them. A result counts for a
// policy only as long as its key is the same: after a rotation nothing is known until somebody has
// connected anew.
//
// Bounded: services that are gone are forgotten, and beyond kMost the older half of a stripe goes.
// No lock is held longer than it takes to copy some hundred entries, because workers wait for it.
//
// Threading: any thread.

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/reason.h"
#include "proxy/base/string_hash.h"
#include "proxy/net/address.h"
#include "proxy/upstream/pool.h"

namespace handfast::server {

struct LastHandshake {
  std::string service;     // config::Service::name
  std::string policy_key;  // tls::UpstreamPolicy::key; empty: plain
  net::Address address;
  Reason reason = Reason::Ok;
  Reason would_refuse = Reason::Ok;  // an audit let it through
  UnixSeconds time = 0;
  std::string detail;  // of a failure
};

class LastHandshakes {
 public:
  static constexpr std::size_t kMost = 100'000;

  explicit LastHandshakes(const Clock& clock) : clock_(clock) {}

  void on_handshake(const upstream::HandshakeOutcome& outcome);
  void forget_services(const std::vector<std::string>& services);
  // By Service, then in a stable order.
  [[nodiscard]] std::vector<LastHandshake> all() const;

 private:
  static constexpr std::size_t kStripes = 256;
  // By address and policy key.
  using OfService = std::map<std::string, LastHandshake, std::less<>>;
  struct Stripe {
    mutable std::mutex mutex;
    std::unordered_map<std::string, OfService, StringHash, std::equal_to<>> services;
  };

  void forget_older_half(Stripe& stripe);

  const Clock& clock_;
  std::array<Stripe, kStripes> stripes_;
  std::atomic<std::size_t> size_{0};
};

}  // namespace handfast::server
