#include "proxy/server/snapshot_builder.h"

#include <openssl/tls1.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "proxy/base/log.h"
#include "proxy/server/client_policy_builder.h"
#include "proxy/server/policy_fields.h"
#include "proxy/tls/algorithms.h"

namespace handfast::server {
namespace {

std::vector<net::Address> usable_addresses(const config::Service& service, Status& status) {
  std::vector<net::Address> ready;
  std::vector<net::Address> ending;
  for (const config::Endpoint& endpoint : service.endpoints) {
    auto address = net::Address::from_ip(endpoint.address, endpoint.port);
    if (!address) {
      status = fail(address.error());
      return {};
    }
    if (endpoint.ready) {
      ready.push_back(*address);
    } else if (endpoint.serving && endpoint.terminating) {
      ending.push_back(*address);
    }
  }
  return ready.empty() ? ending : ready;
}

pki::OcspMode ocsp_of(config::Ocsp ocsp) {
  switch (ocsp) {
    case config::Ocsp::Off:
      return pki::OcspMode::Off;
    case config::Ocsp::IfPresent:
      return pki::OcspMode::IfPresent;
    case config::Ocsp::Require:
      return pki::OcspMode::Require;
  }
  return pki::OcspMode::Require;
}

int version_of(config::TlsVersion version) {
  return version == config::TlsVersion::Tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

// "shop/orders:443" -> "orders": the label that metrics go by.
std::string_view service_of(std::string_view name) {
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos) return name;
  return name.substr(slash + 1, name.rfind(':') - slash - 1);
}

// What we present and the rules that decide: names of sources, not their contents.
std::string key_of(const config::UpstreamTls& tls, std::string_view identity_hash) {
  std::string key;
  add_field(key, tls.identity ? tls.identity->source : "");
  add_field(key, identity_hash);
  add_field(key, tls.verify ? "verify" : "no-verify");
  add_field(key, tls.system_ca ? "system" : "");
  for (const auto& ca : tls.ca) add_field(key, "ca " + ca.source);
  for (const auto& crl : tls.crl) add_field(key, "crl " + crl.source);
  add_field(key, std::to_string(static_cast<int>(tls.revocation)));
  add_field(key, tls.allow_without_crl ? "allow" : "");
  add_field(key, std::to_string(static_cast<int>(tls.ocsp)));
  add_field(key, std::to_string(tls.audit_until));
  add_field(key, std::to_string(tls.verify_depth));
  for (const auto& name : tls.names) add_field(key, "name " + name);
  for (const auto& pin : tls.pins) {
    add_field(key, (pin.type == config::PinType::Spki ? "key " : "certificate ") + pin.sha256);
  }
  add_field(key, tls.pin_only ? "pin-only" : "");
  add_field(key, tls.sni ? "sni " + *tls.sni : "no-sni");
  for (const auto version : tls.versions) add_field(key, std::to_string(version_of(version)));
  add_field(key, tls.ciphers);
  add_field(key, tls.cipher_suites);
  add_field(key, tls.groups);
  add_field(key, tls.resumption ? "" : "no-resumption");
  add_field(key, tls.require_certificate_request ? "request" : "");
  return config::sha256_hex(key);
}

// Without an issuer nobody can have signed a list of revocations.
bool is_pin_with_revocation(const config::UpstreamTls& tls) {
  return tls.pin_only && (tls.revocation != config::RevocationScope::Off || !tls.crl.empty() ||
                          tls.ocsp != config::Ocsp::Off);
}

struct AlgorithmList {
  const char* field;
  const std::string& list;
  Status (*check_list)(const std::string&);
};

Result<std::vector<pki::Pin>> pins_of(const config::UpstreamTls& tls) {
  std::vector<pki::Pin> pins;
  for (const config::Pin& pin : tls.pins) {
    const auto digest = pki::parse_sha256(pin.sha256);
    if (!digest) return fail(Reason::InvalidValue, "must be a sha256 in lower-case hex");
    pins.push_back(
        {pin.type == config::PinType::Spki ? pki::PinType::Spki : pki::PinType::Certificate,
         *digest});
  }
  return pins;
}

tl::unexpected<Error> reject(config::Rejection& rejection, std::string field, std::string file,
                             Error error) {
  rejection.field = std::move(field);
  rejection.file = std::move(file);
  return fail(std::move(error));
}

Status check_lists(std::initializer_list<AlgorithmList> lists, config::Rejection& rejection) {
  for (const auto& [field, list, check_list] : lists) {
    if (list.empty()) continue;
    if (const Status known = check_list(list); !known) {
      return reject(rejection, field, {}, known.error());
    }
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const tls::UpstreamPolicy>> make_policy(const config::UpstreamTls& tls,
                                                               Materials& materials,
                                                               config::Rejection& rejection) {
  auto policy = std::make_shared<tls::UpstreamPolicy>();
  policy->name = tls.name;
  if (tls.refused) {
    policy->refused = Error{tls.refused->reason, tls.refused->detail};
    return policy;
  }
  if (is_pin_with_revocation(tls)) {
    return reject(
        rejection, "pin_only", {},
        {Reason::InvalidValue, "with a pin alone no revocation can be judged: give a CA"});
  }
  std::string identity_hash;
  if (tls.identity) {
    auto identity = materials.identity(*tls.identity);
    if (!identity)
      return reject(rejection, "identity", tls.identity->certificate, identity.error());
    policy->identity = std::move(identity->object);
    policy->identity_source = tls.identity->source;
    identity_hash = std::move(identity->hash);
  }
  std::string trust;
  for (const auto& file : tls.ca) {
    auto ca = materials.ca(file);
    if (!ca) return reject(rejection, "ca", file.path, ca.error());
    policy->trust.push_back(std::move(ca->object));
    policy->trust_sources.push_back(file.source);
    add_field(trust, ca->hash);
  }
  if (tls.system_ca) {
    auto ca = materials.system_ca();
    if (!ca) return reject(rejection, "system_ca", {}, ca.error());
    policy->trust.push_back(std::move(ca->object));
    policy->trust_sources.emplace_back("system");
    add_field(trust, ca->hash);
  }
  for (const auto& file : tls.crl) {
    auto crl = materials.crl(file);
    if (!crl) return reject(rejection, "crl", file.path, crl.error());
    for (const auto& authorities : policy->trust) crl->object->meet(authorities->anchors());
    policy->crls.push_back(std::move(crl->object));
    policy->crl_sources.push_back(file.source);
    add_field(trust, crl->hash);
  }
  if (const Status known =
          check_lists({{"ciphers", tls.ciphers, tls::check_cipher_list},
                       {"cipher_suites", tls.cipher_suites, tls::check_cipher_suites},
                       {"groups", tls.groups, tls::check_groups}},
                      rejection);
      !known) {
    return fail(known.error());
  }
  policy->verify = tls.verify;
  policy->rules.purpose = pki::Purpose::Server;
  policy->rules.depth = tls.verify_depth;
  policy->rules.names = tls.names;
  policy->rules.crl_scope = scope_of(tls.revocation);
  policy->rules.allow_without_crl = tls.allow_without_crl;
  policy->rules.pin_only = tls.pin_only;
  auto pins = pins_of(tls);
  if (!pins) return reject(rejection, "pins", {}, pins.error());
  policy->rules.pins = std::move(*pins);
  policy->sni = tls.sni;
  policy->ciphers = tls.ciphers;
  policy->cipher_suites = tls.cipher_suites;
  policy->groups = tls.groups;
  policy->resumption = tls.resumption;
  policy->ocsp = ocsp_of(tls.ocsp);
  if (tls.drain_ms) policy->drain = std::chrono::milliseconds(*tls.drain_ms);
  if (tls.trust_drain_ms) policy->trust_drain = std::chrono::milliseconds(*tls.trust_drain_ms);
  policy->max_age = std::chrono::milliseconds(tls.max_age_ms);
  policy->audit_until = tls.audit_until;
  policy->require_certificate_request = tls.require_certificate_request;
  policy->min_version = version_of(tls.versions.front());
  policy->max_version = version_of(tls.versions.back());
  policy->key = key_of(tls, identity_hash);
  policy->epoch = config::sha256_hex(trust);
  return policy;
}

config::Shard refuse(config::Shard shard, const config::Rejection& rejection) {
  const config::Refusal refusal{rejection.reason, rejection.detail};
  if (auto* host = std::get_if<config::VirtualHost>(&shard)) {
    for (auto& route : host->routes) route.refused = refusal;
    if (host->passthrough) host->passthrough->refused = refusal;
    host->certificate.reset();
    host->more_certificates.clear();
    host->client.reset();
  } else if (auto* service = std::get_if<config::Service>(&shard)) {
    service->refused = refusal;
    service->endpoints.clear();
  } else if (auto* tls = std::get_if<config::UpstreamTls>(&shard)) {
    tls->refused = refusal;
  } else if (auto* tcp = std::get_if<config::TcpPort>(&shard)) {
    if (std::exchange(tcp->client, std::nullopt)) tcp->client_refused = refusal;
    tcp->certificate.reset();
    tcp->route.refused = refusal;
  } else if (auto* front = std::get_if<config::Front>(&shard)) {
    front->ticket_keys.clear();
    front->ciphers.clear();
    front->groups.clear();
  }
  return shard;
}

SnapshotBuilder::SnapshotBuilder(std::shared_ptr<const route::Snapshot> base, Materials& materials,
                                 RouteMetrics& metrics)
    : snapshot_(base == nullptr ? std::make_shared<route::Snapshot>()
                                : std::make_shared<route::Snapshot>(*base)),
      materials_(materials),
      metrics_(metrics) {}

route::SnapshotBucket& SnapshotBuilder::bucket(std::string_view entry_name) {
  const std::size_t number = route::snapshot_bucket(entry_name);
  if (changed_[number] == nullptr) {
    const auto& before = snapshot_->buckets[number];
    changed_[number] = before == nullptr ? std::make_shared<route::SnapshotBucket>()
                                         : std::make_shared<route::SnapshotBucket>(*before);
    snapshot_->buckets[number] = changed_[number];
  }
  return *changed_[number];
}

Status SnapshotBuilder::put(const config::Shard& shard, config::Rejection& rejection) {
  Status status;
  if (const auto* host = std::get_if<config::VirtualHost>(&shard)) {
    status = put_host(*host, rejection);
  } else if (const auto* service = std::get_if<config::Service>(&shard)) {
    status = put_service(*service);
  } else if (const auto* tcp = std::get_if<config::TcpPort>(&shard)) {
    status = put_tcp(*tcp, rejection);
  } else if (const auto* front = std::get_if<config::Front>(&shard)) {
    status = put_front(*front, rejection);
  } else {
    status = put_policy(std::get<config::UpstreamTls>(shard), rejection);
  }
  if (!status) {
    rejection.shard = config::shard_name(shard);
    rejection.reason = status.error().reason;
    rejection.detail = status.error().detail;
  }
  return status;
}

Status SnapshotBuilder::put_host(const config::VirtualHost& host, config::Rejection& rejection) {
  auto entry = std::make_shared<route::HostEntry>(host);
  if (host.certificate) put_certificate(*host.certificate, "certificate", *entry, rejection);
  for (const config::KeyPairRef& pair : host.more_certificates) {
    put_certificate(pair, "more_certificates", *entry, rejection);
  }
  if (!entry->certificates.empty()) entry->config.certificate_problem = host.certificate_problem;
  put_client_policy(host, *entry, rejection);
  std::vector<RouteLabels> labels;
  for (const config::Route& route : host.routes) {
    labels.push_back({host.host.empty() ? "_" : host.host, route.ingress_namespace, route.ingress,
                      std::string(service_of(route.service)),
                      metrics_.in_detail() ? route.path : std::string()});
  }
  std::vector<std::uint32_t> metrics_ids;
  entry->metrics_lease = metrics_.intern(labels, metrics_ids);
  for (std::size_t i = 0; i < metrics_ids.size(); ++i) entry->rules[i].metrics_id = metrics_ids[i];
  auto& hosts = bucket(host.host).hosts;
  const auto* before = hosts.find(host.host);
  note_client_change(before == nullptr ? nullptr : (*before)->client.get(), entry->client.get());
  if (before != nullptr && (*before)->passthrough) --snapshot_->passthrough_hosts;
  if (entry->passthrough) ++snapshot_->passthrough_hosts;
  hosts.put(std::move(entry));
  return {};
}

void SnapshotBuilder::put_certificate(const config::KeyPairRef& pair, std::string_view field,
                                      route::HostEntry& entry, config::Rejection& rejection) {
  auto certificate = materials_.identity(pair);
  if (certificate) {
    const std::string& type = certificate->object->info().key_type;
    const bool is_taken = std::ranges::any_of(
        entry.certificates, [&type](const auto& each) { return each->info().key_type == type; });
    if (is_taken) return;  // a handshake has room for one of each
    entry.certificates.push_back(std::move(certificate->object));
    entry.certificate_sources.push_back(pair.source);
    return;
  }
  // The front's rule: another certificate instead, requests served, a gauge tells.
  const Error& error = certificate.error();
  entry.config.certificate_problem = config::Refusal{Reason::FrontCertificate, error.detail};
  log(LogLevel::Warning, "front certificate can't be loaded, another one is served",
      {{"host", entry.config.host}, {"detail", error.detail}});
  rejection = {.shard = "host/" + entry.config.host,
               .field = std::string(field),
               .file = pair.certificate,
               .reason = error.reason,
               .detail = error.detail};
}

void SnapshotBuilder::put_client_policy(const config::VirtualHost& host, route::HostEntry& entry,
                                        config::Rejection& rejection) {
  if (!host.client) return;
  auto policy = make_client_policy(*host.client, materials_, rejection);
  if (policy) {
    entry.client = std::move(*policy);
    return;
  }
  // The routes that ask for a certificate let nobody in; the others of the host are served.
  log(LogLevel::Warning, "the CA of a host's clients can't be loaded, its routes answer 403",
      {{"host", host.host}, {"detail", policy.error().detail}});
  rejection.shard = config::shard_name(host);
  rejection.reason = policy.error().reason;
  rejection.detail = policy.error().detail;
  auto refused = std::make_shared<tls::ClientPolicy>();
  refused->refused = policy.error();
  entry.client = std::move(refused);
}

void SnapshotBuilder::note_client_change(const tls::ClientPolicy* before,
                                         const tls::ClientPolicy* after) {
  if (before == nullptr && after == nullptr) return;
  const bool same = before != nullptr && after != nullptr && before->key == after->key &&
                    before->epoch == after->epoch;
  changes_->clients = changes_->clients || !same;
}

Status SnapshotBuilder::put_service(const config::Service& service) {
  auto entry = std::make_shared<route::ServiceEntry>();
  entry->config = service;
  if (!service.external_name) {
    Status status;
    entry->addresses = usable_addresses(service, status);
    if (!status) return status;
  }
  bucket(service.name).services.put(std::move(entry));
  changes_->services_put.push_back(service.name);
  return {};
}

Status SnapshotBuilder::put_policy(const config::UpstreamTls& tls, config::Rejection& rejection) {
  auto policy = make_policy(tls, materials_, rejection);
  if (!policy) return fail(policy.error());
  bucket(tls.name).policies.put(std::move(*policy));
  changes_->policies.insert(tls.name);
  return {};
}

Status SnapshotBuilder::put_tcp(const config::TcpPort& tcp, config::Rejection& rejection) {
  auto entry = std::make_shared<route::TcpEntry>(tcp);
  if (tcp.certificate) {
    auto certificate = materials_.identity(*tcp.certificate);
    if (!certificate) {
      return reject(rejection, "certificate", tcp.certificate->certificate, certificate.error());
    }
    entry->certificate = std::move(certificate->object);
  }
  if (tcp.client) {
    auto policy = make_client_policy(*tcp.client, materials_, rejection);
    if (!policy) return fail(policy.error());
    entry->client = std::move(*policy);
  }
  auto& place = snapshot_->tcp_ports[tcp.port];
  note_client_change(place == nullptr ? nullptr : place->client.get(), entry->client.get());
  place = std::move(entry);
  return {};
}

Status SnapshotBuilder::put_front(const config::Front& front, config::Rejection& rejection) {
  std::shared_ptr<const tls::TicketKeyRing> ring;
  if (!front.ticket_keys.empty()) {
    auto keys = materials_.ticket_keys(front.ticket_keys);
    if (!keys) {
      return reject(rejection, "ticket_keys", front.ticket_keys.front().path, keys.error());
    }
    ring = std::move(*keys);
  }
  if (const Status known = check_lists({{"ciphers", front.ciphers, tls::check_cipher_list},
                                        {"groups", front.groups, tls::check_groups}},
                                       rejection);
      !known) {
    return known;
  }
  snapshot_->ticket_keys = std::move(ring);
  snapshot_->front = {.min_version = version_of(front.versions.front()),
                      .max_version = version_of(front.versions.back()),
                      .ciphers = front.ciphers,
                      .groups = front.groups,
                      .http2 = front.http2,
                      .session_tickets = front.session_tickets};
  snapshot_->strict_transport = route::strict_transport_of(front);
  return {};
}

void SnapshotBuilder::remove(std::string_view shard_name) {
  const std::size_t slash = shard_name.find('/');
  const std::string_view kind = shard_name.substr(0, slash);
  const std::string name(shard_name.substr(slash + 1));
  if (kind == "host") {
    auto& hosts = bucket(name).hosts;
    const auto* gone = hosts.find(name);
    if (gone == nullptr) return;
    note_client_change((*gone)->client.get(), nullptr);
    if ((*gone)->passthrough) --snapshot_->passthrough_hosts;
    hosts.erase(name);
  } else if (kind == "service") {
    bucket(name).services.erase(name);
    changes_->services_gone.push_back(name);
  } else if (kind == "tcp") {
    std::erase_if(snapshot_->tcp_ports,
                  [&name](const auto& entry) { return std::to_string(entry.first) == name; });
  } else if (kind == "front") {
    snapshot_->ticket_keys = nullptr;
    snapshot_->front = {};
    snapshot_->strict_transport = route::strict_transport_of({});
  } else {
    bucket(name).policies.erase(name);
    changes_->policies.insert(name);
  }
}

void SnapshotBuilder::set_default_certificate(std::shared_ptr<const pki::Identity> certificate) {
  snapshot_->default_certificate = std::move(certificate);
}

void SnapshotBuilder::note_gone(const route::Snapshot& served) {
  changes_->clients = true;
  for (const auto& before : served.buckets) {
    if (before == nullptr) continue;
    for (const auto& [name, policy] : before->policies) changes_->policies.emplace(name);
    for (const auto& [name, service] : before->services) {
      if (snapshot_->find_service(name) == nullptr) changes_->services_gone.emplace_back(name);
    }
  }
}

Publication SnapshotBuilder::finish(std::uint64_t generation) {
  snapshot_->generation = generation;
  return {std::move(snapshot_), std::move(changes_)};
}

}  // namespace handfast::server
