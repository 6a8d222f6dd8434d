#include "proxy/server/status_json.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "proxy/config/control.h"
#include "proxy/config/emit.h"
#include "proxy/config/words.h"
#include "proxy/http/chars.h"
#include "proxy/server/status_survey.h"

namespace handfast::server {
namespace {

using config::append_list;
using config::JsonObject;

// Of names and lists that a certificate or an object may have very many of.
constexpr std::size_t kMostOfList = 20;

template <class T>
std::span<const T> some_of(const std::vector<T>& list, std::size_t most = kMostOfList) {
  return std::span<const T>(list).first(std::min(list.size(), most));
}

void append_text(std::string& out, const std::string& text) { config::append_quoted(out, text); }

bool contains(std::string_view text, std::string_view lower_case) {
  return std::ranges::search(text, lower_case, [](char a, char b) {
           return http::to_lower(a) == b;
         }).begin() != text.end();
}

bool matches(const config::Route& route, std::string_view text) {
  return contains(route.ingress_namespace + "/" + route.ingress, text) ||
         contains(route.service, text) || contains(route.upstream_tls, text) ||
         contains(route.path, text);
}

bool matches(const Survey::Row& row, const StatusQuery& query) {
  if (query.problems_only && row.health == Health::Ok) return false;
  const std::string& text = query.text;
  if (text.empty() || contains(row.name, text)) return true;
  if (row.port != nullptr) return matches(row.port->route, text);
  if (row.host->passthrough && matches(*row.host->passthrough, text)) return true;
  return std::ranges::any_of(row.host->config.routes,
                             [&](const config::Route& route) { return matches(route, text); });
}

void append_finding(JsonObject& json, const Finding& finding) {
  json.text("health", to_string(finding.health));
  json.text("kind", to_string(finding.kind));
  json.text("reason",
            finding.reason == Reason::Ok ? std::string_view() : to_string(finding.reason));
  json.text("object", finding.object);
  json.text("detail", finding.detail);
  json.number("time", finding.time);
  json.number("status", static_cast<std::int64_t>(finding.status));
}

void append_findings(std::string& out, const std::vector<Finding>& findings) {
  append_list(out, findings, [](std::string& to, const Finding& finding) {
    JsonObject json{to};
    append_finding(json, finding);
  });
}

void append_problem(std::string& out, const Problem& problem) {
  JsonObject json{out};
  append_finding(json, problem.finding);
  json.number("routes", std::uint64_t{problem.routes});
  json.number("hosts_total", std::uint64_t{problem.hosts});
  append_list(json.key("hosts"), problem.names, append_text);
}

void append_certificate(std::string& out, const std::string& source,
                        const pki::Identity& identity) {
  const pki::CertificateInfo& info = identity.info();
  JsonObject json{out};
  json.text("source", source);
  json.text("subject", info.subject);
  json.text("issuer", info.issuer);
  json.text("serial", info.serial);
  json.text("sha256", info.sha256);
  json.text("key_type", info.key_type);
  append_list(json.key("names"), some_of(info.sans), append_text);
  json.number("not_before", info.not_before);
  json.number("not_after", info.not_after);
}

// Members "ca" and "crl", of backends and of clients alike.
template <class Policy>
void append_trust(JsonObject& json, const Policy& policy) {
  std::string& ca = json.key("ca");
  ca.push_back('[');
  for (std::size_t i = 0; i < policy.trust.size(); ++i) {
    if (i > 0) ca.push_back(',');
    JsonObject one{ca};
    one.text("source", policy.trust_sources[i]);
    one.number("count", std::uint64_t{policy.trust[i]->anchors().size()});
    one.number("not_after", policy.trust[i]->earliest_not_after());
  }
  ca.push_back(']');
  std::string& crl = json.key("crl");
  crl.push_back('[');
  bool first = true;
  for (std::size_t i = 0; i < policy.crls.size(); ++i) {
    for (const pki::CrlSet::Info& info : some_of(policy.crls[i]->info())) {
      if (!std::exchange(first, false)) crl.push_back(',');
      JsonObject one{crl};
      one.text("source", policy.crl_sources[i]);
      one.text("issuer", info.issuer);
      one.text("number", info.number);
      one.number("this_update", info.this_update);
      one.number("next_update", info.next_update);
      one.number("entries", std::uint64_t{info.entries});
    }
  }
  crl.push_back(']');
}

void append_policy(std::string& out, const tls::UpstreamPolicy& policy, UnixSeconds now) {
  JsonObject json{out};
  json.text("policy", policy.name);
  const bool is_audited = policy.verify && now < policy.audit_until;
  json.text("mode", !policy.verify ? "unverified" : is_audited ? "audited" : "verified");
  if (policy.identity != nullptr) {
    append_certificate(json.key("identity"), policy.identity_source, *policy.identity);
  } else {
    json.key("identity") += "null";
  }
  append_list(json.key("expects"), some_of(policy.rules.names), append_text);
  json.text("sni", policy.sni.value_or(""));
  json.number("pins", std::uint64_t{policy.rules.pins.size()});
  append_trust(json, policy);
}

void append_handshake(std::string& out, const LastHandshake* last) {
  if (last == nullptr) {
    out += "null";
    return;
  }
  JsonObject json{out};
  json.text("result", to_string(last->reason));
  json.text("would_refuse",
            last->would_refuse == Reason::Ok ? std::string_view() : to_string(last->would_refuse));
  json.text("detail", last->detail);
  json.number("time", last->time);
}

struct EndpointLine {
  std::string address;
  std::string_view state;
  const LastHandshake* last = nullptr;

  // Those that fail first, then those that nobody has connected to.
  [[nodiscard]] int rank() const {
    if (last == nullptr) return 1;
    return last->reason == Reason::Ok ? 2 : 0;
  }
};

std::vector<EndpointLine> endpoints_of(const Survey& survey, const route::ServiceEntry& service,
                                       std::string_view policy_key) {
  std::vector<EndpointLine> lines;
  if (service.config.external_name) {
    for (const LastHandshake* last : survey.handshakes_of(service.config.name)) {
      if (last->policy_key == policy_key) {
        lines.push_back({last->address.to_string(), "resolved", last});
      }
    }
    return lines;
  }
  for (const config::Endpoint& endpoint : service.config.endpoints) {
    const auto address = net::Address::from_ip(endpoint.address, endpoint.port);
    if (!address) continue;
    lines.push_back({address->to_string(),
                     endpoint.ready         ? "ready"
                     : endpoint.terminating ? "terminating"
                                            : "not_ready",
                     survey.last(service.config.name, *address, policy_key)});
  }
  std::ranges::stable_sort(lines, {}, &EndpointLine::rank);
  return lines;
}

void append_service(std::string& out, const Survey& survey, const route::ServiceEntry& service,
                    std::string_view policy_key) {
  const std::vector<EndpointLine> lines = endpoints_of(survey, service, policy_key);
  JsonObject json{out};
  json.text("name", service.config.name);
  std::string external;
  if (service.config.external_name && !service.config.endpoints.empty()) {
    external = service.config.endpoints.front().address;
  }
  json.text("external_name", external);
  json.number("endpoints_total", std::uint64_t{lines.size()});
  json.number("failing", static_cast<std::uint64_t>(std::ranges::count(
                             lines, 0, [](const EndpointLine& line) { return line.rank(); })));
  append_list(json.key("endpoints"), some_of(lines, kMostEndpoints),
              [](std::string& to, const EndpointLine& line) {
                JsonObject one{to};
                one.text("address", line.address);
                one.text("state", line.state);
                append_handshake(one.key("handshake"), line.last);
              });
}

void append_route(std::string& out, const route::Snapshot& snapshot, const Survey& survey,
                  const config::Route& route, const tls::ClientPolicy* clients, UnixSeconds now) {
  const std::vector<Finding> findings = survey.route_findings(route, clients);
  JsonObject json{out};
  json.text("path", route.path);
  json.text("type", config::word_of(config::kPathTypes, route.type));
  json.text("health", to_string(worst_of(findings)));
  append_findings(json.key("findings"), findings);
  json.text("namespace", route.ingress_namespace);
  json.text("ingress", route.ingress);
  json.text("protocol", config::word_of(config::kBackendProtocols, route.protocol));
  json.text("auth_service", route.auth ? std::string_view(route.auth->service) : "");
  std::shared_ptr<const tls::UpstreamPolicy> policy;
  if (config::is_tls(route.protocol)) policy = snapshot.find_policy(route.upstream_tls);
  if (policy != nullptr && !policy->refused) {
    append_policy(json.key("tls"), *policy, now);
  } else {
    json.key("tls") += "null";
  }
  if (const auto* service = snapshot.find_service(route.service); service != nullptr) {
    append_service(json.key("service"), survey, *service, upstream::policy_key_of(policy.get()));
  } else {
    json.key("service") += "null";
  }
}

struct RowView {
  const char* kind;
  std::vector<std::pair<const config::Route*, const tls::ClientPolicy*>> routes;
  const tls::ClientPolicy* clients = nullptr;
};

RowView view_of(const Survey::Row& row) {
  if (row.port != nullptr) {
    return {"tcp", {{&row.port->route, row.port->client.get()}}, row.port->client.get()};
  }
  RowView view{row.host->passthrough ? "passthrough" : "host", {}, row.host->client.get()};
  if (row.host->passthrough) view.routes.emplace_back(&*row.host->passthrough, nullptr);
  for (const config::Route& route : row.host->config.routes) {
    view.routes.emplace_back(&route, route.client ? view.clients : nullptr);
  }
  return view;
}

void keep_worst(RowView& view, const Survey& survey) {
  std::vector<std::pair<Health, std::size_t>> order;
  for (std::size_t i = 0; i < view.routes.size(); ++i) {
    const auto& [route, clients] = view.routes[i];
    order.emplace_back(worst_of(survey.route_findings(*route, clients)), i);
  }
  std::ranges::stable_sort(order, std::ranges::greater{}, &std::pair<Health, std::size_t>::first);
  decltype(view.routes) kept;
  for (std::size_t i = 0; i < kMostRoutes; ++i) kept.push_back(view.routes[order[i].second]);
  view.routes = std::move(kept);
}

void append_front(JsonObject& json, const Survey::Row& row) {
  std::string& out = json.key("certificates");
  out.push_back('[');
  if (row.port != nullptr) {
    if (row.port->certificate != nullptr) {
      append_certificate(out, row.port->config.certificate->source, *row.port->certificate);
    }
  } else {
    for (std::size_t i = 0; i < row.host->certificates.size(); ++i) {
      if (i > 0) out.push_back(',');
      append_certificate(out, row.host->certificate_sources[i], *row.host->certificates[i]);
    }
  }
  out.push_back(']');
}

void append_row(std::string& out, const route::Snapshot& snapshot, const Survey& survey,
                const Survey::Row& row, UnixSeconds now) {
  RowView view = view_of(row);
  if (view.routes.size() > kMostRoutes) keep_worst(view, survey);
  JsonObject json{out};
  json.text("host", row.name);
  json.text("kind", view.kind);
  json.text("health", to_string(row.health));
  json.number("routes_total", std::uint64_t{row.routes});
  json.number("routes_bad", std::uint64_t{row.bad_routes});
  append_findings(json.key("findings"), survey.front_findings(row));
  append_front(json, row);
  if (view.clients != nullptr && !view.clients->refused) {
    JsonObject clients{json.key("clients")};
    append_trust(clients, *view.clients);
  } else {
    json.key("clients") += "null";
  }
  std::string& list = json.key("routes");
  const std::size_t begin = list.size();
  list.push_back('[');
  for (const auto& [route, clients] : view.routes) {
    if (list.size() - begin >= kEnoughStatus) break;
    if (list.back() != '[') list.push_back(',');
    append_route(list, snapshot, survey, *route, clients, now);
  }
  list.push_back(']');
}

void append_facts(JsonObject& json, const StatusFacts& facts) {
  json.text("version", HANDFAST_VERSION);
  json.text("name", facts.name);
  json.number("time", facts.now);
  json.number("started", facts.start);
  json.flag("ready", facts.ready);
  json.flag("draining", facts.draining);
  json.number("workers", facts.workers);
  json.number("connections", facts.connections);
  json.number("requests", facts.requests);
  json.number("upstream_connections", facts.upstream_connections);
}

void append_loads(JsonObject& json, const StatusFacts& facts, const route::Snapshot* snapshot) {
  JsonObject loads{json.key("generation")};
  loads.number("number", snapshot == nullptr ? 0 : snapshot->generation);
  loads.number("served_since", facts.last_load);
  loads.number("accepted", facts.loads_accepted);
  loads.number("refused", facts.loads_rejected);
  if (!facts.refused) {
    loads.key("last_refused") += "null";
    return;
  }
  JsonObject refused{loads.key("last_refused")};
  refused.number("number", facts.refused->generation);
  refused.number("time", facts.refused->time);
  refused.number("rejected_total", std::uint64_t{facts.refused->rejected_total});
  append_list(refused.key("rejected"), facts.refused->rejected, config::append_rejection);
}

struct Totals {
  std::uint64_t hosts = 0, routes = 0, bad = 0, warning = 0, services = 0, policies = 0;
};

Totals count(const route::Snapshot& snapshot, const Survey& survey) {
  Totals totals;
  for (const Survey::Row& row : survey.rows()) {
    ++totals.hosts;
    totals.routes += row.routes;
    totals.bad += row.health == Health::Bad ? 1 : 0;
    totals.warning += row.health == Health::Warning ? 1 : 0;
  }
  for (const auto& bucket : snapshot.buckets) {
    if (bucket == nullptr) continue;
    totals.services += bucket->services.size();
    totals.policies += bucket->policies.size();
  }
  return totals;
}

void append_totals(JsonObject& json, const Totals& totals) {
  JsonObject counts{json.key("totals")};
  counts.number("hosts", totals.hosts);
  counts.number("bad", totals.bad);
  counts.number("warning", totals.warning);
  counts.number("routes", totals.routes);
  counts.number("services", totals.services);
  counts.number("tls_policies", totals.policies);
}

// Members "matches", "hosts" and "next".
void append_hosts(JsonObject& json, const route::Snapshot& snapshot, const Survey& survey,
                  const StatusQuery& query, UnixSeconds now) {
  std::uint64_t found = 0;
  std::uint64_t told = 0;
  std::string& out = json.key("hosts");
  const std::size_t begin = out.size();
  out.push_back('[');
  for (const Survey::Row& row : survey.rows()) {
    if (!matches(row, query)) continue;
    ++found;
    if (found <= query.offset || told == query.limit || out.size() - begin >= kEnoughStatus) {
      continue;
    }
    if (told++ > 0) out.push_back(',');
    append_row(out, snapshot, survey, row, now);
  }
  out.push_back(']');
  json.number("matches", found);
  json.number("offset", std::uint64_t{query.offset});
  if (query.offset + told < found) {
    json.number("next", query.offset + told);
  } else {
    json.key("next") += "null";
  }
}

}  // namespace

std::string status_json(const StatusFacts& facts, const route::Snapshot* snapshot,
                        const std::vector<LastHandshake>& handshakes, const StatusQuery& query) {
  static const route::Snapshot nothing;
  const route::Snapshot& served = snapshot == nullptr ? nothing : *snapshot;
  const Survey survey(served, handshakes, facts.now);
  std::vector<Problem> problems = survey.problems();
  const std::uint64_t problems_total = problems.size();
  if (problems.size() > kMostProblems) problems.resize(kMostProblems);
  std::string out;
  {
    JsonObject json{out};
    append_facts(json, facts);
    append_loads(json, facts, snapshot);
    append_totals(json, count(served, survey));
    json.number("problems_total", problems_total);
    append_list(json.key("problems"), problems, append_problem);
    append_hosts(json, served, survey, query, facts.now);
  }
  return out;
}

}  // namespace handfast::server
