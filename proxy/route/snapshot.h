#pragma once
// What a generation says, in the form the workers read: immutable, shared, made off the event
// loops.
//
// 256 buckets of shared entries. A generation that changes one entry copies the pointers of one
// bucket; everything else is shared with the snapshot before. Lookups are by stable name, so a
// Service may change without the hosts that route to it.
//
// Threading: any number of readers. The last reference is dropped on the loader's thread.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proxy/base/network_set.h"
#include "proxy/base/rare.h"
#include "proxy/base/string_hash.h"
#include "proxy/config/model.h"
#include "proxy/config/request_expression.h"
#include "proxy/net/address.h"
#include "proxy/pki/identity.h"
#include "proxy/route/auth_rules.h"
#include "proxy/route/route_table.h"
#include "proxy/tls/client_policy.h"
#include "proxy/tls/front_offer.h"
#include "proxy/tls/ticket_keys.h"
#include "proxy/tls/upstream_policy.h"

namespace handfast::route {

// SourceRanges as the workers use them.
struct SourceRules {
  NetworkSet denied;
  std::optional<NetworkSet> allowed;  // nothing: everybody else
};

// What a route is made into beside its configuration.
struct RouteRules {
  config::RequestExpression hash_by;           // without parts where it has none
  std::unique_ptr<const AuthRules> auth;       // null where it asks nobody
  std::unique_ptr<const SourceRules> sources;  // null where all may come
  std::uint32_t metrics_id = 0;                // a dense number for per-worker counters
};

struct HostEntry {
  explicit HostEntry(config::VirtualHost host);

  // Of config::VirtualHost what is asked later: the files that it names have been read.
  struct Config {
    std::string host;
    std::vector<config::Route> routes;
    Rare<config::Refusal> certificate_problem;
    Rare<config::StreamRoute> passthrough;
  };
  Config config;
  RouteTable table;
  std::vector<RouteRules> rules;  // of each route
  // One of each type of key, and where each is from; none: the default certificate.
  std::vector<std::shared_ptr<const pki::Identity>> certificates;
  std::vector<std::string> certificate_sources;
  std::shared_ptr<const tls::ClientPolicy> client;  // null: clients aren't asked for one
  Rare<config::Route> passthrough;                  // of config.passthrough, by relay_route()
  std::shared_ptr<void> metrics_lease;              // keeps the rules' metrics_id reserved
};

// A stream's route as an exchange takes it: Services, policies, tries and limits are the same thing
// for requests and for bytes.
[[nodiscard]] config::Route relay_route(const config::StreamRoute& stream);

struct TcpEntry {
  explicit TcpEntry(config::TcpPort port);

  config::TcpPort config;
  config::Route route;
  std::shared_ptr<const pki::Identity> certificate;  // null: no TLS
  std::shared_ptr<const tls::ClientPolicy> client;   // null: clients aren't asked for one
};

struct ServiceEntry {
  config::Service config;
  // Where requests go: endpoints that are ready, or if there are none those that still serve while
  // they terminate. Empty for an external name, which is resolved by name.
  std::vector<net::Address> addresses;
};

inline const std::string& name_of(const HostEntry& host) { return host.config.host; }
inline const std::string& name_of(const ServiceEntry& service) { return service.config.name; }
inline const std::string& name_of(const tls::UpstreamPolicy& policy) { return policy.name; }

// Entries by the names that they hold themselves. Looking for one costs a hash, as in a map.
template <class T>
class EntryMap {
 public:
  using Entry = std::shared_ptr<const T>;

  // Adds or replaces.
  void put(Entry entry) {
    const std::string_view name = name_of(*entry);
    entries_.erase(name);
    entries_.emplace(name, std::move(entry));
  }
  void erase(std::string_view name) { entries_.erase(name); }

  // Null: there is none. Borrowed.
  [[nodiscard]] const Entry* find(std::string_view name) const {
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  // Of pairs of name and entry, in no order.
  [[nodiscard]] auto begin() const { return entries_.begin(); }
  [[nodiscard]] auto end() const { return entries_.end(); }

 private:
  std::unordered_map<std::string_view, Entry, StringHash> entries_;
};

// Entries whose shard names fall into one bucket, by the part of the name after "host/", ….
struct SnapshotBucket {
  EntryMap<HostEntry> hosts;
  EntryMap<ServiceEntry> services;
  EntryMap<tls::UpstreamPolicy> policies;
};

// The value of Strict-Transport-Security; empty: the front has none.
[[nodiscard]] std::string strict_transport_of(const config::Front& front);

class Snapshot {
 public:
  std::uint64_t generation = 0;
  std::array<std::shared_ptr<const SnapshotBucket>, config::kBucketCount> buckets;
  std::map<std::uint16_t, std::shared_ptr<const TcpEntry>> tcp_ports;  // few
  std::size_t passthrough_hosts = 0;                                   // how many there are
  std::shared_ptr<const pki::Identity> default_certificate;            // never null
  std::shared_ptr<const tls::TicketKeyRing> ticket_keys;               // null: the process' own
  tls::FrontOffer front;
  std::string strict_transport = strict_transport_of({});  // empty: nothing is said

  // `host`: lower case, without port. Exact, else "*." with the first label cut, else the
  // catch-all. Null: nothing serves it. Borrowed.
  [[nodiscard]] const HostEntry* find_host(std::string_view host) const;
  // Where TLS connections that name this host go undecrypted; null: it isn't so. Borrowed.
  [[nodiscard]] const HostEntry* find_passthrough(std::string_view server_name) const;
  // Of the same Ingress as `before`, a route of an older snapshot to which `host` led: what a
  // request for `path` would get today. Null: none. Borrowed.
  [[nodiscard]] const config::Route* find_successor(std::string_view host, std::string_view path,
                                                    const config::Route& before) const;
  // Borrowed.
  [[nodiscard]] const TcpEntry* find_tcp(std::uint16_t port) const;
  [[nodiscard]] const ServiceEntry* find_service(std::string_view name) const;
  [[nodiscard]] std::shared_ptr<const tls::UpstreamPolicy> find_policy(std::string_view name) const;

 private:
  template <class T>
  const std::shared_ptr<const T>* find(EntryMap<T> SnapshotBucket::* member,
                                       std::string_view name) const;
};

// The bucket in which the running proxy keeps an entry. Not the one of the files (a sha256 is too
// dear for each request), but as stable.
[[nodiscard]] std::size_t snapshot_bucket(std::string_view entry_name);

}  // namespace handfast::route
