#pragma once
// How the last attempt to connect to each endpoint ended, by what we present and by which rules we
// judge: what `/v1/state` and the status page tell.
//
// Two policies that share a key share connections, and what is known of them. A result counts for a
// policy only as long as its key is the same: after a rotation nothing is known until somebody has
// connected anew.
//
// Bounded: what no policy or Service has any more is forgotten as generations are served, and
// beyond kMost the older half of a stripe goes. No lock is held longer than it takes to copy some
// hundred entries, because workers wait for it.
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
#include <unordered_set>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/reason.h"
#include "proxy/base/string_hash.h"
#include "proxy/net/address.h"
#include "proxy/route/snapshot.h"
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

  // Forget what ended, so that rotations and the coming and going of pods take no room. An attempt
  // that began before may still be told of after; the next change finds it.
  void forget_policies_but(const std::unordered_set<std::string_view>& keys);
  // Of each of `services` the endpoints that it hasn't in `snapshot`. What an external name
  // resolved to stays while there is the Service.
  void forget_endpoints(const std::vector<std::string>& services, const route::Snapshot& snapshot);

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

  // Under the stripe's lock.
  template <class Predicate>
  void forget_if(OfService& endpoints, Predicate is_unused);
  void forget_older_half(Stripe& stripe);

  const Clock& clock_;
  std::array<Stripe, kStripes> stripes_;
  std::atomic<std::size_t> size_{0};
};

}  // namespace handfast::server
