// Metrics that are told from the snapshot at the moment of a scrape: nothing to keep up to date,
// and series of deleted objects are gone by themselves.

#include <map>
#include <string>

#include "proxy/server/closed_routes.h"
#include "proxy/server/process_metrics.h"
#include "proxy/server/route_metrics.h"

namespace handfast::server {
namespace {

// Labels text -> value; several policies that use one Secret make one series.
using Series = std::map<std::string, double>;

// "Secret/shop/orders-tls" -> namespace="shop",secret="orders-tls".
std::string source_labels(const std::string& source) {
  const std::size_t first = source.find('/');
  const std::size_t second = source.find('/', first + 1);
  if (first == std::string::npos || second == std::string::npos) {
    return "namespace=\"\",secret=\"" + escape_label(source) + "\"";
  }
  return "namespace=\"" + escape_label(source.substr(first + 1, second - first - 1)) +
         "\",secret=\"" + escape_label(source.substr(second + 1)) + "\"";
}

void write_family(std::string& out, const char* name, const char* help, const Series& series) {
  out.append("# HELP ")
      .append(name)
      .append(" ")
      .append(help)
      .append("\n# TYPE ")
      .append(name)
      .append(" gauge\n");
  for (const auto& [labels, value] : series) {
    out.append(name).append("{").append(labels).append("} ");
    out.append(std::to_string(static_cast<long long>(value))).append("\n");
  }
}

void put_least(Series& series, std::string labels, double value) {
  const auto [place, inserted] = series.emplace(std::move(labels), value);
  if (!inserted && value < place->second) place->second = value;
}

struct Collected {
  Series client_certificates, authorities, revocations, front_certificates, front_problems;
  Series refused, insecure;

  void count_refused(Reason reason) {
    refused["reason=\"" + std::string(to_string(reason)) + "\""] += 1;
  }
};

// Of backends and of clients alike.
template <class Policy>
void collect_trust(const Policy& policy, Collected& all) {
  for (std::size_t i = 0; i < policy.trust.size(); ++i) {
    put_least(all.authorities, source_labels(policy.trust_sources[i]),
              static_cast<double>(policy.trust[i]->earliest_not_after()));
  }
  for (std::size_t i = 0; i < policy.crls.size(); ++i) {
    if (const UnixSeconds next = policy.crls[i]->earliest_next_update(); next != 0) {
      put_least(all.revocations, source_labels(policy.crl_sources[i]), static_cast<double>(next));
    }
  }
}

void collect_policy(const tls::UpstreamPolicy& policy, Collected& all) {
  if (policy.refused) return;
  if (policy.identity != nullptr) {
    put_least(all.client_certificates, source_labels(policy.identity_source),
              static_cast<double>(policy.identity->info().not_after));
  }
  collect_trust(policy, all);
}

void collect_route(const route::Snapshot& snapshot, const config::Route& route,
                   const tls::ClientPolicy* clients, Collected& all) {
  if (const auto closed = closed_by(snapshot, route, clients)) {
    all.count_refused(closed->reason);
    return;
  }
  if (!config::is_tls(route.protocol)) return;
  const auto policy = snapshot.find_policy(route.upstream_tls);
  if (policy != nullptr && !policy->verify) {
    all.insecure["namespace=\"" + escape_label(route.ingress_namespace) + "\",ingress=\"" +
                 escape_label(route.ingress) + "\""] += 1;
  }
}

void collect_host(const route::Snapshot& snapshot, const route::HostEntry& host, Collected& all) {
  const std::string name =
      "host=\"" + escape_label(host.config.host.empty() ? "_" : host.config.host) + "\"";
  for (std::size_t i = 0; i < host.certificates.size(); ++i) {
    put_least(all.front_certificates, name + "," + source_labels(host.certificate_sources[i]),
              static_cast<double>(host.certificates[i]->info().not_after));
  }
  if (host.client != nullptr && !host.client->refused) collect_trust(*host.client, all);
  if (host.config.certificate_problem) all.front_problems[name] = 1;
  if (host.passthrough) collect_route(snapshot, *host.passthrough, nullptr, all);
  for (const config::Route& route : host.config.routes) {
    collect_route(snapshot, route, route.client ? host.client.get() : nullptr, all);
  }
}

void collect_port(const route::Snapshot& snapshot, const route::TcpEntry& port, Collected& all) {
  if (port.certificate != nullptr) {
    const std::string name = "host=\"tcp:" + std::to_string(port.config.port) + '"';
    put_least(all.front_certificates, name + "," + source_labels(port.config.certificate->source),
              static_cast<double>(port.certificate->info().not_after));
  }
  if (port.client != nullptr) collect_trust(*port.client, all);
  collect_route(snapshot, port.route, nullptr, all);
}

}  // namespace

void write_snapshot_metrics(std::string& out, const route::Snapshot& snapshot) {
  Collected all;
  for (const auto& bucket : snapshot.buckets) {
    if (bucket == nullptr) continue;
    for (const auto& [name, policy] : bucket->policies) collect_policy(*policy, all);
    for (const auto& [name, host] : bucket->hosts) collect_host(snapshot, *host, all);
  }
  for (const auto& [number, port] : snapshot.tcp_ports) collect_port(snapshot, *port, all);
  write_family(out, "handfast_client_certificate_not_after_seconds",
               "When our client certificate for backends expires, Unix time.",
               all.client_certificates);
  write_family(out, "handfast_ca_not_after_seconds",
               "When the first certificate of a CA bundle expires, Unix time.", all.authorities);
  write_family(out, "handfast_crl_next_update_seconds",
               "When the first of a source's CRLs is out of date, Unix time.", all.revocations);
  write_family(out, "handfast_front_certificate_not_after_seconds",
               "When the certificate that clients see expires, Unix time.", all.front_certificates);
  write_family(out, "handfast_front_certificate_problems",
               "Hosts that are served with the default certificate because theirs can't be had.",
               all.front_problems);
  write_family(out, "handfast_routes_refused",
               "Routes that answer 503, or 403 for want of a clients' CA, by reason.", all.refused);
  write_family(out, "handfast_routes_insecure", "Routes whose backend is not verified.",
               all.insecure);
}

}  // namespace handfast::server
