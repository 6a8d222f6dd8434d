#pragma once
// Which endpoint of a Service gets the next try.
//
// Round robin takes turns; least request takes the endpoint with the fewest of this worker's
// requests in flight (the better of two by lot where there are many); consistent hash takes the
// endpoint that scores highest with the request's key (rendezvous hashing: no table to rebuild,
// one of n endpoints that comes or goes moves one in n of the keys, and the keys of one that rests
// spread over all the others and come back). Each leaves out what was tried already, and gives
// endpoints their share by health (endpoint_health.h). Health alone never refuses: when only
// resting ones are left, they are taken as if they didn't rest.
//
// What is known of an endpoint is keyed by the Service's stable name and the endpoint's address and
// outlives snapshots; it goes with the endpoint. A list is compared with what is known only when it
// is another one than at the pick before: on_snapshot() says when lists may have been replaced.
//
//   Choice choice = balancer.pick(request, now);     nothing has happened yet
//   Attempt attempt = balancer.start(choice, now);   in flight until finish(), or its destruction
//   attempt.finish(Outcome::Ok, now);
//
// Threading: one worker's. Ownership: a Choice is good until the next call; an Attempt may outlive
// the endpoint, the Service and the Balancer. Picking allocates nothing but at a Service's first
// sight and for endpoints that are new.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/string_hash.h"
#include "proxy/config/traffic.h"
#include "proxy/net/address.h"
#include "proxy/route/snapshot.h"
#include "proxy/upstream/endpoint_health.h"
#include "proxy/upstream/hash_key.h"
#include "proxy/upstream/mix.h"

namespace handfast::upstream {

struct PickRequest {
  std::string_view service;
  std::span<const net::Address> addresses;
  std::span<const net::Address> tried;  // by this request, in vain
  config::LoadBalance algorithm = config::LoadBalance::RoundRobin;
  std::uint64_t hash = kNoHash;  // for ConsistentHash; without one, round robin
};

class Balancer {
  struct Endpoint;
  struct Service;

 public:
  struct Choice {
    const net::Address* address = nullptr;  // of the request's list; null: there is none left
    Endpoint* endpoint = nullptr;
  };

  // A request in flight. Without finish() it counts as aborted.
  class Attempt {
   public:
    Attempt() = default;
    Attempt(Attempt&& other) noexcept;
    Attempt& operator=(Attempt&& other) noexcept;
    ~Attempt();
    void finish(Outcome outcome, Monotonic now);

   private:
    friend class Balancer;
    Endpoint* endpoint_ = nullptr;
    EndpointHealth::Ticket ticket_;
    Monotonic started_;
  };

  // `seed` spreads the workers' starting points and lots, so that few requests don't all meet one
  // endpoint.
  explicit Balancer(std::uint64_t seed);
  ~Balancer();

  [[nodiscard]] Choice pick(const PickRequest& request, Monotonic now);
  [[nodiscard]] Attempt start(const Choice& choice, Monotonic now);

  // Lists of addresses may have been replaced.
  void on_snapshot() { ++snapshot_; }
  // The Service is gone.
  void forget(std::string_view service);

  // How many endpoints rest or are probed.
  [[nodiscard]] std::size_t resting() const noexcept { return resting_; }
  // Those that don't have their whole share; walks over everything.
  struct EndpointView {
    std::string_view service;
    const net::Address* address;
    EndpointHealth::State state;
    int failures;
    Monotonic rest_until;
  };
  [[nodiscard]] std::vector<EndpointView> unwell(Monotonic now);

  // For tests: that what is counted is what is there.
  void check_invariants() const;

 private:
  // Owned by the Service's list while it is in there, by the last Attempt after.
  struct Unlist {
    void operator()(Endpoint* endpoint) const noexcept;
  };
  using EndpointPtr = std::unique_ptr<Endpoint, Unlist>;
  struct Picker;

  Service& find_or_make(std::string_view name, Monotonic now);
  void follow(Service& service, std::span<const net::Address> addresses, Monotonic now);
  void drop_unused(Monotonic now);

  std::uint64_t seed_;
  Lots lots_;
  std::uint64_t snapshot_ = 0;
  std::size_t resting_ = 0;
  std::size_t drop_at_;
  std::unordered_map<std::string, std::unique_ptr<Service>, StringHash, std::equal_to<>> services_;
};

}  // namespace handfast::upstream
