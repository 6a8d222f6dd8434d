#include "proxy/server/status_survey.h"

#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>

#include "proxy/server/closed_routes.h"

namespace handfast::server {
namespace {

constexpr std::size_t kMostNames = 5;

const void* identity_of(const Survey::Row& row) {
  return row.host != nullptr ? static_cast<const void*>(row.host) : row.port;
}

// One cause, one problem.
std::string cause_of(const Finding& finding) {
  std::string cause(to_string(finding.kind));
  cause.append("\n").append(to_string(finding.reason)).append("\n").append(finding.object);
  // An Ingress may be closed for several reasons at once; what was seen of backends differs in time
  // and address only.
  if (finding.kind == FindingKind::Closed) cause.append("\n").append(finding.detail);
  return cause;
}

}  // namespace

Health worst_of(const std::vector<Finding>& findings) {
  Health worst = Health::Ok;
  for (const Finding& finding : findings) worst = std::max(worst, finding.health);
  return worst;
}

std::string_view to_string(Health health) {
  switch (health) {
    case Health::Ok:
      return "ok";
    case Health::Warning:
      return "warning";
    case Health::Bad:
      return "bad";
  }
  return "";
}

std::string_view to_string(FindingKind kind) {
  switch (kind) {
    case FindingKind::Closed:
      return "closed";
    case FindingKind::NoEndpoints:
      return "no_endpoints";
    case FindingKind::Backend:
      return "backend";
    case FindingKind::Expired:
      return "expired";
    case FindingKind::FrontCertificate:
      return "front_certificate";
    case FindingKind::EndsSoon:
      return "ends_soon";
    case FindingKind::Unverified:
      return "unverified";
    case FindingKind::Audited:
      return "audited";
  }
  return "";
}

Survey::Survey(const route::Snapshot& snapshot, const std::vector<LastHandshake>& handshakes,
               UnixSeconds now)
    : snapshot_(snapshot), now_(now) {
  for (const LastHandshake& last : handshakes) {
    OfService& service = handshakes_[last.service];
    service.all.push_back(&last);
    service.failed = service.failed || last.reason != Reason::Ok;
  }
  for (const auto& [number, port] : snapshot.tcp_ports) {
    look_at({.name = "tcp:" + std::to_string(number), .port = port.get(), .routes = 1});
  }
  for (const auto& bucket : snapshot.buckets) {
    if (bucket == nullptr) continue;
    for (const auto& [name, host] : bucket->hosts) {
      const std::size_t routes = host->config.routes.size() + (host->passthrough ? 1 : 0);
      look_at({.name = std::string(name), .host = host.get(), .routes = routes});
    }
  }
  std::ranges::sort(rows_, [](const Row& a, const Row& b) {
    return std::tie(b.health, a.name) < std::tie(a.health, b.name);
  });
}

void Survey::look_at(Row row) {
  const auto add = [&](std::vector<Finding> findings, bool of_route) {
    const Health worst = worst_of(findings);
    row.health = std::max(row.health, worst);
    if (of_route && worst == Health::Bad) ++row.bad_routes;
    for (Finding& finding : findings) note(row, of_route, std::move(finding));
  };
  add(front_findings(row), false);
  if (row.port != nullptr) {
    add(route_findings(row.port->route, row.port->client.get()), true);
  } else {
    if (row.host->passthrough) add(route_findings(*row.host->passthrough, nullptr), true);
    for (const config::Route& route : row.host->config.routes) {
      add(route_findings(route, route.client ? row.host->client.get() : nullptr), true);
    }
  }
  rows_.push_back(std::move(row));
}

void Survey::note(const Row& row, bool of_route, Finding finding) {
  const auto [place, is_new] = problems_.try_emplace(cause_of(finding));
  Noted& noted = place->second;
  Problem& problem = noted.problem;
  if (of_route) ++problem.routes;
  if (noted.last_row != identity_of(row)) {
    noted.last_row = identity_of(row);
    ++problem.hosts;
    if (problem.names.size() < kMostNames) problem.names.push_back(row.name);
  }
  if (is_new || finding.health > problem.finding.health ||
      (finding.health == problem.finding.health && finding.time > problem.finding.time &&
       finding.kind == FindingKind::Backend)) {
    problem.finding = std::move(finding);
  }
}

std::vector<Problem> Survey::problems() const {
  std::vector<Problem> found;
  found.reserve(problems_.size());
  for (const auto& [cause, noted] : problems_) found.push_back(noted.problem);
  std::ranges::stable_sort(found, [](const Problem& a, const Problem& b) {
    return std::tie(b.finding.health, b.routes) < std::tie(a.finding.health, a.routes);
  });
  return found;
}

const Survey::Handshakes& Survey::handshakes_of(std::string_view service) const {
  static const Handshakes none;
  const auto found = handshakes_.find(service);
  return found == handshakes_.end() ? none : found->second.all;
}

const LastHandshake* Survey::last(std::string_view service, const net::Address& address,
                                  std::string_view policy_key) const {
  for (const LastHandshake* one : handshakes_of(service)) {
    if (one->policy_key == policy_key && one->address == address) return one;
  }
  return nullptr;
}

std::vector<Finding> Survey::front_findings(const Row& row) const {
  std::vector<Finding> findings;
  if (row.port != nullptr) {
    if (row.port->certificate != nullptr) {
      add_end("what clients see", row.port->config.certificate->source,
              row.port->certificate->info().not_after, kFrontEndsSoon, Reason::Ok, findings);
    }
    if (row.port->client != nullptr && !row.port->client->refused) {
      add_trust(*row.port->client, findings);
    }
    return findings;
  }
  const route::HostEntry& host = *row.host;
  if (const auto& problem = host.config.certificate_problem) {
    findings.push_back({Health::Warning, FindingKind::FrontCertificate, problem->reason,
                        "Host " + row.name, problem->detail});
  }
  for (std::size_t i = 0; i < host.certificates.size(); ++i) {
    add_end("what clients see", host.certificate_sources[i], host.certificates[i]->info().not_after,
            kFrontEndsSoon, Reason::Ok, findings);
  }
  if (host.client != nullptr && !host.client->refused) add_trust(*host.client, findings);
  return findings;
}

std::vector<Finding> Survey::route_findings(const config::Route& route,
                                            const tls::ClientPolicy* clients) const {
  std::vector<Finding> findings;
  if (const auto closed = closed_by(snapshot_, route, clients)) {
    findings.push_back({Health::Bad, FindingKind::Closed, closed->reason, closed->object,
                        std::string(closed->detail), 0, closed->status});
    return findings;
  }
  std::shared_ptr<const tls::UpstreamPolicy> policy;
  if (config::is_tls(route.protocol)) policy = snapshot_.find_policy(route.upstream_tls);
  if (policy != nullptr) add_policy(*policy, findings);
  if (const auto* service = snapshot_.find_service(route.service); service != nullptr) {
    add_backend(*service, upstream::policy_key_of(policy.get()), findings);
  }
  return findings;
}

void Survey::add_backend(const route::ServiceEntry& service, std::string_view policy_key,
                         std::vector<Finding>& findings) const {
  const std::string& name = service.config.name;
  if (service.addresses.empty() && !service.config.external_name) {
    findings.push_back({Health::Bad, FindingKind::NoEndpoints, Reason::NoEndpoints,
                        "Service " + name, "no endpoint of it is ready", 0, 503});
    return;
  }
  const auto known = handshakes_.find(name);
  if (known == handshakes_.end() || !known->second.failed) return;
  std::size_t failed = 0;
  std::size_t asked = 0;
  const LastHandshake* newest = nullptr;
  for (const LastHandshake* one : known->second.all) {
    if (one->policy_key != policy_key) continue;
    // Of an external name every address that it had.
    if (!service.config.external_name &&
        std::ranges::find(service.addresses, one->address) == service.addresses.end()) {
      continue;
    }
    ++asked;
    if (one->reason == Reason::Ok) continue;
    ++failed;
    if (newest == nullptr || one->time > newest->time) newest = one;
  }
  if (newest == nullptr) return;
  const std::size_t all = service.config.external_name ? asked : service.addresses.size();
  std::string detail;
  if (all > 1) detail = std::to_string(failed) + " of " + std::to_string(all) + " endpoints; ";
  const std::string address = newest->address.to_string() + ": ";
  if (!newest->detail.starts_with(address)) detail += address;
  detail += newest->detail.empty() ? std::string(to_string(newest->reason)) : newest->detail;
  findings.push_back({failed >= all ? Health::Bad : Health::Warning, FindingKind::Backend,
                      newest->reason, "Service " + name, std::move(detail), newest->time,
                      failed >= all ? http_status(newest->reason) : 0});
}

void Survey::add_policy(const tls::UpstreamPolicy& policy, std::vector<Finding>& findings) const {
  if (policy.identity != nullptr) {
    const pki::CertificateInfo& info = policy.identity->info();
    add_end("our certificate", policy.identity_source, info.not_after, kIdentityEndsSoon,
            Reason::ClientCertificateExpired, findings);
    if (now_ < info.not_before) {
      findings.push_back({Health::Bad, FindingKind::Expired, Reason::ClientCertificateNotYetValid,
                          policy.identity_source, "our certificate isn't valid yet",
                          info.not_before, 503});
    }
  }
  add_trust(policy, findings);
  if (!policy.verify) {
    findings.push_back({Health::Warning, FindingKind::Unverified, Reason::Ok,
                        "TLS policy " + policy.name,
                        "verification is off, as the operator permitted"});
  } else if (now_ < policy.audit_until) {
    findings.push_back({Health::Warning, FindingKind::Audited, Reason::Ok,
                        "TLS policy " + policy.name,
                        "what verification would refuse is let through and counted, until then",
                        policy.audit_until});
  }
}

template <class Policy>
void Survey::add_trust(const Policy& policy, std::vector<Finding>& findings) const {
  for (std::size_t i = 0; i < policy.trust.size(); ++i) {
    const UnixSeconds end = policy.trust[i]->earliest_not_after();
    add_end("a CA", policy.trust_sources[i], end, kCaEndsSoon, Reason::Ok, findings);
    // The others of the bundle may do: who is refused for it shows with the endpoints.
    if (now_ > end && policy.trust[i]->anchors().size() > 1) {
      findings.back().health = Health::Warning;
    }
  }
  for (std::size_t i = 0; i < policy.crls.size(); ++i) {
    const UnixSeconds end = policy.crls[i]->earliest_next_update();
    if (end == 0) continue;
    add_end("a revocation list", policy.crl_sources[i], end, kCrlEndsSoon, Reason::CrlExpired,
            findings);
    // Nobody is refused for want of it.
    const bool is_needed =
        !policy.rules.allow_without_crl && (policy.rules.crl_scope == pki::CrlScope::Leaf ||
                                            policy.rules.crl_scope == pki::CrlScope::Chain);
    if (now_ > end && !is_needed) findings.back().health = Health::Warning;
  }
}

void Survey::add_end(std::string_view what, std::string_view source, UnixSeconds end,
                     UnixSeconds soon, Reason expired, std::vector<Finding>& findings) const {
  if (end > now_ + soon) return;
  const bool is_over = now_ > end;
  findings.push_back({is_over ? Health::Bad : Health::Warning,
                      is_over ? FindingKind::Expired : FindingKind::EndsSoon,
                      is_over ? expired : Reason::Ok, std::string(source), std::string(what), end});
}

}  // namespace handfast::server
