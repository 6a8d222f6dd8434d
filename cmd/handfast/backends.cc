#include "cmd/handfast/backends.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "cmd/handfast/concerns.h"
#include "cmd/handfast/policy_facts.h"

namespace handfast {
namespace {

// `tcp_port`: 0 for a route of a host.
std::string object_of(const config::Route& route, std::uint16_t tcp_port) {
  if (!route.upstream_tls.empty()) return owner_of(route.upstream_tls).text();
  if (tcp_port != 0) return "TCP port " + std::to_string(tcp_port);
  if (route.ingress.empty()) return "--default-backend-service";
  return "Ingress " + route.ingress_namespace + '/' + route.ingress;
}

Error error_of(const config::Refusal& refused) { return {refused.reason, refused.detail}; }

// Which endpoints are asked for by name, whatever their state; empty: those that are in use.
struct Wanted {
  std::string host;
  std::uint16_t port = 0;
};

class Collector {
 public:
  Collector(const Manifests& manifests, const route::Snapshot& snapshot, UnixSeconds now)
      : snapshot_(snapshot), now_(now), findings_(index_findings(manifests.report)) {
    for (const config::Shard& shard : manifests.output.shards) {
      if (const auto* rules = std::get_if<config::UpstreamTls>(&shard); rules != nullptr) {
        rules_.emplace(rules->name, rules);
      }
    }
  }

  void add(const config::Route& route, std::uint16_t tcp_port,
           const std::optional<Wanted>& wanted) {
    Backend backend{.object = object_of(route, tcp_port),
                    .service = route.service,
                    .host = {},
                    .tls = config::is_tls(route.protocol),
                    .wire = upstream::wire_of(route.http2),
                    .refused = {},
                    .change = {}};
    const auto key = std::tuple(backend.object, backend.service, backend.tls, backend.wire,
                                route.refused ? route.refused->reason : Reason::Ok);
    if (!seen_.insert(key).second) return;
    if (const auto rules = rules_.find(route.upstream_tls); rules != rules_.end()) {
      backend.rules = rules->second;
    }
    if (backend.tls && !route.upstream_tls.empty()) {
      backend.policy = snapshot_.find_policy(route.upstream_tls);
    }
    const route::ServiceEntry* service = snapshot_.find_service(route.service);
    backend.refused = obstacle(route, service, backend);
    if (backend.refused) {
      backend.change = Concerns(route, backend.rules).change(findings_, backend.refused->reason);
    }
    if (service != nullptr && (!backend.refused || wanted))
      add_endpoints(backend, *service, wanted);
    if (service == nullptr || (backend.refused && !wanted)) found_.push_back(std::move(backend));
  }

  std::vector<Backend> take() { return std::move(found_); }

 private:
  std::optional<Error> obstacle(const config::Route& route, const route::ServiceEntry* service,
                                const Backend& backend) const {
    if (route.refused) return error_of(*route.refused);
    if (service == nullptr) return Error{Reason::ServiceMissing, "there is no Service"};
    if (service->config.refused) return error_of(*service->config.refused);
    if (!backend.tls) return std::nullopt;
    if (backend.policy == nullptr) return Error{Reason::Internal, "the policy isn't there"};
    if (const Status usable = backend.policy->usable(now_); !usable) return usable.error();
    return std::nullopt;
  }

  void add_endpoints(Backend backend, const route::ServiceEntry& service,
                     const std::optional<Wanted>& wanted) {
    const std::size_t before = found_.size();
    const auto add_one = [this, &backend](const std::string& host, std::uint16_t port) {
      backend.host = host;
      backend.port = port;
      found_.push_back(backend);
    };
    if (service.config.external_name || wanted) {
      for (const config::Endpoint& one : service.config.endpoints) {
        if (!wanted || (one.address == wanted->host && one.port == wanted->port)) {
          add_one(one.address, one.port);
        }
      }
    } else {
      for (const net::Address& one : service.addresses) add_one(one.ip(), one.port());
    }
    if (found_.size() > before || wanted) return;
    backend.refused = Error{Reason::NoEndpoints, "the Service has no endpoint that is ready"};
    found_.push_back(std::move(backend));
  }

  const route::Snapshot& snapshot_;
  UnixSeconds now_;
  FindingIndex findings_;
  std::map<std::string_view, const config::UpstreamTls*> rules_;
  std::set<std::tuple<std::string, std::string, bool, upstream::Wire, Reason>> seen_;
  std::vector<Backend> found_;
};

// "[namespace/]name[:port]"
struct ServiceName {
  std::string ns;
  std::string name;
  std::string port;
};

ServiceName split(std::string_view text) {
  ServiceName out;
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    out.ns = text.substr(0, slash);
    text.remove_prefix(slash + 1);
  }
  if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    out.port = text.substr(colon + 1);
    text = text.substr(0, colon);
  }
  out.name = text;
  return out;
}

// An Ingress may name by number the port that is asked for by name, or the other way round.
bool same_port(const Manifests& manifests, const ServiceName& cluster, const std::string& port) {
  if (port.empty() || cluster.port == port) return true;
  const objects::Service* service = manifests.state.find_service(cluster.ns, cluster.name);
  if (service == nullptr) return false;
  return std::ranges::any_of(service->ports, [&](const objects::ServicePort& one) {
    const std::string number = std::to_string(one.port);
    return (one.name == port && number == cluster.port) ||
           (number == port && one.name == cluster.port);
  });
}

template <class Use>
void for_each_route(const Manifests& manifests, const Use& use) {
  for (const config::Shard& shard : manifests.output.shards) {
    // A host whose TLS passes through has none: the client judges that backend.
    if (const auto* host = std::get_if<config::VirtualHost>(&shard)) {
      for (const config::Route& route : host->routes) {
        use(route, std::uint16_t{0});
        if (route.auth && !route.refused) use(auth_hop(route), std::uint16_t{0});
      }
    } else if (const auto* tcp = std::get_if<config::TcpPort>(&shard)) {
      use(route::relay_route(tcp->route), tcp->port);
    }
  }
}

}  // namespace

std::string Backend::endpoint() const {
  if (host.empty()) return "";
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? '[' + host + ']' : host) + ':' + std::to_string(port);
}

std::vector<Backend> all_backends(const Manifests& manifests, const route::Snapshot& snapshot,
                                  UnixSeconds now) {
  Collector collector(manifests, snapshot, now);
  for_each_route(manifests, [&collector](const config::Route& route, std::uint16_t tcp_port) {
    collector.add(route, tcp_port, std::nullopt);
  });
  return collector.take();
}

std::vector<Backend> find_backends(const Manifests& manifests, const route::Snapshot& snapshot,
                                   std::string_view wanted, UnixSeconds now) {
  const ServiceName name = split(wanted);
  Collector services(manifests, snapshot, now);
  for_each_route(manifests, [&](const config::Route& route, std::uint16_t tcp_port) {
    const ServiceName cluster = split(route.service);
    if (cluster.name == name.name && (name.ns.empty() || cluster.ns == name.ns) &&
        same_port(manifests, cluster, name.port)) {
      services.add(route, tcp_port, std::nullopt);
    }
  });
  std::vector<Backend> found = services.take();
  if (!found.empty() || !name.ns.empty() || name.port.empty()) return found;

  std::string host = name.name;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  Collector endpoints(manifests, snapshot, now);
  for_each_route(manifests, [&](const config::Route& route, std::uint16_t tcp_port) {
    const auto* service = snapshot.find_service(route.service);
    if (service == nullptr) return;
    for (const config::Endpoint& one : service->config.endpoints) {
      if (one.address == host && std::to_string(one.port) == name.port) {
        endpoints.add(route, tcp_port, Wanted{one.address, one.port});
      }
    }
  });
  return endpoints.take();
}

}  // namespace handfast
