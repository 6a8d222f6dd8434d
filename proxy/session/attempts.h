#pragma once
// The way of one request to an endpoint: an endpoint of its Service, a connection under the TLS
// policy as it stands now, and the next one when that fails.
//
//   begin() -> next() -> [on_way() | on_no_way()], perhaps from within
//   on_upstream_ready() of the user -> ready() -> on_way(), or a further try
//   on_upstream_failed() of the user -> leave() if it was crowded, else finish(), and next() or not
//
// The Service and the policy are looked up in the worker's newest snapshot, or in the one that the
// request began with once they are gone from there: nothing is sent under an identity or a trust
// that has been replaced, and no endpoint is tried that went away meanwhile. A policy that is gone
// may have another's place taken: that of the route as it is now.
//
// Threading: one worker's. Ownership: the user's; a late answer of the resolver finds nobody.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/reason.h"
#include "proxy/net/address.h"
#include "proxy/session/context.h"
#include "proxy/upstream/balancer.h"
#include "proxy/upstream/channel.h"

namespace handfast::session {

// Where a request is to go and how. What it names outlives the attempts.
struct Destination {
  const std::string* service = nullptr;       // config::Service::name
  const std::string* upstream_tls = nullptr;  // config::UpstreamTls::name; empty: plain
  upstream::Wire wire = upstream::Wire::Http1;
  std::chrono::milliseconds connect_timeout{0};
  config::LoadBalance algorithm = config::LoadBalance::RoundRobin;
  std::uint64_t hash = upstream::kNoHash;
  const route::Snapshot* pinned = nullptr;  // that the request began with
  bool fresh = false;                       // on a connection of its own
  std::string_view prelude = {};            // what that gets before all else, in plain
};

// Why there is none.
struct NoWay {
  Reason reason = Reason::Ok;
  std::string detail;
  int status = 0;
  bool exhausted = false;  // every endpoint was tried, or there is none
  bool crowded = false;    // those left have all the connections they may
};

// How a request would be sent if it came today. Borrowed from the snapshot.
struct PolicyToday {
  const std::string* upstream_tls = nullptr;  // null: its route is gone; empty: plain
  const config::Refusal* refused = nullptr;
};

class AttemptUser : public upstream::ChannelUser {
 public:
  [[nodiscard]] virtual PolicyToday find_policy_today(const route::Snapshot& newest) const = 0;
  [[nodiscard]] std::shared_ptr<const tls::UpstreamPolicy> policy_today(
      const route::Snapshot& newest) const final;
  // It must begin(), release() or abandon() now.
  virtual void on_way(upstream::Channel& channel) = 0;
  virtual void on_no_way(const NoWay& why) = 0;
};

class Attempts {
 public:
  Attempts(Context& context, AttemptUser& user) : context_(context), user_(user) {}
  ~Attempts();
  Attempts(const Attempts&) = delete;
  Attempts& operator=(const Attempts&) = delete;

  void begin(const Destination& destination);
  // The TLS policy as it stands now, null if it is plain; or why there is none.
  [[nodiscard]] std::optional<NoWay> find_policy(
      std::shared_ptr<const tls::UpstreamPolicy>& policy) const;
  void next();
  void ready(upstream::Channel& channel);
  // The endpoint has as many connections as it may: another, which doesn't count as a try.
  void leave();
  void finish(upstream::Outcome outcome);
  // Nothing is waited for any more.
  void cancel();

  // A kept-alive connection that the backend closed just now, most likely (RFC 9112 section 9.3.1).
  [[nodiscard]] bool is_stale(const upstream::Failure& failure) const;
  // Nobody looked at the request (RFC 9113 section 8.7, RFC 9110 section 9.2.2), so that sending it
  // again is no retry, whatever the route says of those; how often is limited all the same.
  [[nodiscard]] bool costs_nothing(const upstream::Failure& failure) const;
  // The failure cost nothing: the endpoint may be tried again.
  void forgive(const upstream::Failure& failure);

  [[nodiscard]] int tries() const noexcept { return tries_; }
  [[nodiscard]] int counted() const noexcept { return tries_ - returned_; }
  [[nodiscard]] const net::Address& address() const noexcept { return address_; }
  // The newest list of the Service has an endpoint that wasn't tried.
  [[nodiscard]] bool has_untried() const;

 private:
  std::optional<NoWay> find_successor(const route::Snapshot& newest,
                                      std::shared_ptr<const tls::UpstreamPolicy>& policy) const;
  void await_name(const config::Endpoint& endpoint);
  void use_addresses(const std::vector<net::Address>& addresses);
  void try_endpoint(const net::Address& address);

  Context& context_;
  AttemptUser& user_;
  Destination to_;
  upstream::Balancer::Attempt attempt_;
  std::vector<net::Address> tried_;
  net::Address address_;      // of the last try
  std::uint64_t serial_ = 0;  // tells late answers of the resolver from this request's
  std::shared_ptr<Attempts*> self_ = std::make_shared<Attempts*>(this);
  int tries_ = 0;
  int returned_ = 0;  // of the tries: those that cost nothing
  int crowded_ = 0;   // endpoints that were left for want of connections
  bool sent_ = false;
  bool reused_ = false;  // what it was sent on
  bool fresh_ = false;   // the next try is made on a new connection
};

}  // namespace handfast::session
