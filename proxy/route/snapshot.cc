#include "proxy/route/snapshot.h"

#include <utility>

#include "proxy/base/check.h"

namespace handfast::route {

namespace {

NetworkSet read_networks(const std::vector<std::string>& networks) {
  auto read = NetworkSet::parse(networks);
  check(read.has_value(), "config::validate() has read the networks");
  return *std::move(read);
}

std::unique_ptr<const SourceRules> make_source_rules(const config::Route& route) {
  if (!route.sources || route.refused) return nullptr;
  auto rules = std::make_unique<SourceRules>();
  rules->denied = read_networks(route.sources->denied);
  if (!route.sources->allowed.empty()) rules->allowed = read_networks(route.sources->allowed);
  return rules;
}

config::RequestExpression make_hash_expression(const config::Route& route) {
  // What is refused leads nowhere, and nobody has read the rest of it.
  if (route.refused || route.hash_by.empty()) return {};
  auto expression = config::parse_request_expression(route.hash_by);
  check(expression.has_value(), "config::validate() has read the expression");
  return *std::move(expression);
}

}  // namespace

HostEntry::HostEntry(config::VirtualHost host)
    : config{.host = std::move(host.host),
             .routes = std::move(host.routes),
             .certificate_problem = std::move(host.certificate_problem),
             .passthrough = std::move(host.passthrough)},
      table(config.routes) {
  if (config.passthrough) passthrough = relay_route(*config.passthrough);
  rules.reserve(config.routes.size());
  for (const config::Route& one : config.routes) {
    rules.push_back({.hash_by = make_hash_expression(one),
                     .auth = make_auth_rules(config.host, one),
                     .sources = make_source_rules(one)});
  }
}

std::string strict_transport_of(const config::Front& front) {
  if (!front.hsts) return {};
  std::string value = "max-age=" + std::to_string(front.hsts_max_age);
  if (front.hsts_include_subdomains) value += "; includeSubDomains";
  if (front.hsts_preload) value += "; preload";
  return value;
}

config::Route relay_route(const config::StreamRoute& stream) {
  config::Route route;
  route.path = "/";
  route.ingress_namespace = stream.ingress_namespace;
  route.ingress = stream.ingress;
  route.service = stream.service;
  route.upstream_tls = stream.upstream_tls;
  route.protocol =
      stream.upstream_tls.empty() ? config::BackendProtocol::Http : config::BackendProtocol::Https;
  route.connect_timeout_ms = stream.connect_timeout_ms;
  route.read_timeout_ms = route.send_timeout_ms = stream.idle_timeout_ms;
  route.retry = stream.retry;
  route.refused = stream.refused;
  return route;
}

TcpEntry::TcpEntry(config::TcpPort port)
    : config(std::move(port)), route(relay_route(config.route)) {
  if (!route.refused) route.refused = config.client_refused;
}

std::size_t snapshot_bucket(std::string_view entry_name) {
  // The maps use the same hash's low bits for their slots: take high ones here.
  return (StringHash{}(entry_name) >> 40) % config::kBucketCount;
}

template <class T>
const std::shared_ptr<const T>* Snapshot::find(EntryMap<T> SnapshotBucket::* member,
                                               std::string_view name) const {
  const SnapshotBucket* bucket = buckets[snapshot_bucket(name)].get();
  return bucket == nullptr ? nullptr : (bucket->*member).find(name);
}

const HostEntry* Snapshot::find_host(std::string_view host) const {
  if (const auto* exact = find(&SnapshotBucket::hosts, host); exact != nullptr) return exact->get();
  if (const std::size_t dot = host.find('.'); dot != std::string_view::npos && dot > 0) {
    char wildcard[256];
    const std::string_view rest = host.substr(dot);
    if (rest.size() < sizeof wildcard) {
      wildcard[0] = '*';
      rest.copy(wildcard + 1, rest.size());
      const auto* found = find(&SnapshotBucket::hosts, std::string_view(wildcard, rest.size() + 1));
      if (found != nullptr) return found->get();
    }
  }
  const auto* any = find(&SnapshotBucket::hosts, std::string_view());
  return any == nullptr ? nullptr : any->get();
}

const HostEntry* Snapshot::find_passthrough(std::string_view server_name) const {
  if (passthrough_hosts == 0 || server_name.empty()) return nullptr;
  const HostEntry* const host = find_host(server_name);
  return host != nullptr && host->passthrough ? host : nullptr;
}

const config::Route* Snapshot::find_successor(std::string_view host, std::string_view path,
                                              const config::Route& before) const {
  const HostEntry* const entry = find_host(host);
  if (entry == nullptr || entry->config.host != host) return nullptr;
  const std::size_t index = entry->table.find(path);
  if (index == RouteTable::kNone) return nullptr;
  const config::Route& now = entry->config.routes[index];
  const bool same =
      now.ingress_namespace == before.ingress_namespace && now.ingress == before.ingress;
  return same ? &now : nullptr;
}

const TcpEntry* Snapshot::find_tcp(std::uint16_t port) const {
  const auto found = tcp_ports.find(port);
  return found == tcp_ports.end() ? nullptr : found->second.get();
}

const ServiceEntry* Snapshot::find_service(std::string_view name) const {
  const auto* found = find(&SnapshotBucket::services, name);
  return found == nullptr ? nullptr : found->get();
}

std::shared_ptr<const tls::UpstreamPolicy> Snapshot::find_policy(std::string_view name) const {
  const auto* found = find(&SnapshotBucket::policies, name);
  return found == nullptr ? nullptr : *found;
}

}  // namespace handfast::route
