#include "cmd/handfast/explain.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cmd/handfast/concerns.h"
#include "cmd/handfast/facts.h"
#include "cmd/handfast/manifests.h"
#include "cmd/handfast/policy_facts.h"
#include "cmd/handfast/version.h"
#include "controller/translate/hosts_paths.h"
#include "controller/translate/names.h"
#include "proxy/base/clock.h"
#include "proxy/base/process.h"
#include "proxy/http/authority.h"
#include "proxy/http/path.h"

namespace handfast {
namespace {

constexpr int kServed = 0;
constexpr int kNotServed = 1;
constexpr int kUnusable = 2;

struct Request {
  std::string host;  // lower case, without port
  std::string path;  // normalised; empty: the proxy answers 400
};

// "shop.example/orders", with a scheme, a port and a query or without.
Result<Request> parse_request(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (text.starts_with(scheme)) text.remove_prefix(scheme.size());
  }
  text = text.substr(0, text.find_first_of("?#"));
  const std::size_t slash = std::min(text.find('/'), text.size());
  const auto authority = http::parse_authority(text.substr(0, slash));
  if (!authority) {
    return fail(Reason::InvalidValue,
                '"' + std::string(text) + "\" is not HOST/PATH, like shop.example/orders");
  }
  Request request{.host = translate::to_lower(authority->host), .path = {}};
  if (request.host.ends_with('.')) request.host.pop_back();
  std::string scratch;
  const std::string path = slash == text.size() ? "/" : std::string(text.substr(slash));
  if (const auto normal = http::normalise_path(path, scratch); normal) request.path = *normal;
  return request;
}

// What the request meets, in the proxy's form.
struct Way {
  const route::HostEntry* host = nullptr;
  const config::Route* route = nullptr;
  const route::ServiceEntry* service = nullptr;
  std::shared_ptr<const tls::UpstreamPolicy> policy;
  // Of the server that the route asks.
  std::optional<config::Route> auth;
  const route::ServiceEntry* auth_service = nullptr;
  std::shared_ptr<const tls::UpstreamPolicy> auth_policy;
};

Way find_way(const route::Snapshot& snapshot, const Request& request) {
  Way way;
  way.host = snapshot.find_host(request.host);
  if (way.host == nullptr) return way;
  if (way.host->passthrough) {
    way.route = &*way.host->passthrough;
  } else {
    const std::size_t index = way.host->table.find(request.path);
    if (index == route::RouteTable::kNone) return way;
    way.route = &way.host->config.routes[index];
  }
  way.service = snapshot.find_service(way.route->service);
  way.policy = snapshot.find_policy(way.route->upstream_tls);
  if (way.route->auth) {
    way.auth = auth_hop(*way.route);
    way.auth_service = snapshot.find_service(way.auth->service);
    way.auth_policy = snapshot.find_policy(way.auth->upstream_tls);
  }
  return way;
}

struct Obstacle {
  int status = 0;
  Reason reason = Reason::Internal;
  std::string detail;
};

Obstacle refusal(const config::Refusal& refused) {
  return {refusal_status(refused.reason), refused.reason, refused.detail};
}

std::optional<Obstacle> find_obstacle(const config::Route& route,
                                      const route::ServiceEntry* service,
                                      const tls::UpstreamPolicy* policy, UnixSeconds now) {
  if (service == nullptr) return Obstacle{503, Reason::ServiceMissing, "there is no Service"};
  if (service->config.refused) return refusal(*service->config.refused);
  if (!service->config.external_name && service->addresses.empty()) {
    return Obstacle{503, Reason::NoEndpoints, "the Service has no endpoint that is ready"};
  }
  if (!config::is_tls(route.protocol)) return std::nullopt;
  if (policy == nullptr) return Obstacle{503, Reason::Internal, "the policy isn't there"};
  if (const Status usable = policy->usable(now); !usable) {
    const Reason reason = usable.error().reason;
    return Obstacle{refusal_status(reason), reason, usable.error().detail};
  }
  return std::nullopt;
}

// In the order in which the proxy would meet them.
std::optional<Obstacle> find_obstacle(const Way& way, UnixSeconds now) {
  if (way.route == nullptr) return Obstacle{404, Reason::NoRoute, "no host or path matches"};
  if (way.route->refused) return refusal(*way.route->refused);
  if (way.auth) {
    auto found = find_obstacle(*way.auth, way.auth_service, way.auth_policy.get(), now);
    if (found) {
      found->detail.insert(0, "auth: ");
      return found;
    }
  }
  return find_obstacle(*way.route, way.service, way.policy.get(), now);
}

std::string_view protocol_text(const config::Route& route) {
  if (config::is_grpc(route.protocol)) {
    return config::is_tls(route.protocol) ? "gRPC over TLS" : "gRPC without TLS";
  }
  if (!config::is_tls(route.protocol)) {
    return route.http2 == config::Http2::Require ? "HTTP/2 without TLS" : "HTTP/1.1 without TLS";
  }
  switch (route.http2) {
    case config::Http2::Off:
      return "HTTP/1.1 over TLS";
    case config::Http2::Offer:
      return "HTTP/2 or HTTP/1.1 over TLS, as ALPN decides";
    case config::Http2::Require:
      return "HTTP/2 over TLS";
  }
  return "";
}

std::string_view state_text(const config::Endpoint& endpoint) {
  if (endpoint.ready) return "ready";
  if (endpoint.terminating) return endpoint.serving ? "terminating, still serving" : "terminating";
  return "not ready";
}

Facts endpoint_facts(const config::Service& service) {
  Facts::List list;
  for (const config::Endpoint& endpoint : service.endpoints) {
    const bool v6 = endpoint.address.find(':') != std::string::npos;
    Facts one;
    one.add("address", (v6 ? '[' + endpoint.address + ']' : endpoint.address) + ':' +
                           std::to_string(endpoint.port));
    one.add("state", service.external_name ? "an external name" : state_text(endpoint));
    list.push_back(std::move(one));
  }
  return list;
}

class Explanation {
 public:
  Explanation(const Manifests& manifests, Request request, const Way& way, UnixSeconds now)
      : manifests_(manifests),
        request_(std::move(request)),
        way_(way),
        now_(now),
        obstacle_(request_.path.empty()
                      ? Obstacle{400, Reason::InvalidValue, "the path can't be normalised"}
                      : find_obstacle(way, now)) {
    if (way.route != nullptr) {
      concerns_.emplace(*way.route,
                        find_shard<config::UpstreamTls>(manifests.output, way.route->upstream_tls));
    }
  }

  [[nodiscard]] bool served() const { return !obstacle_; }

  Facts tell() const {
    Facts facts;
    facts.add("request", request_.host + request_.path);
    facts.add("served", served());
    if (obstacle_) {
      facts.add("status", std::int64_t{obstacle_->status});
      facts.add("reason", to_string(obstacle_->reason)).add("detail", obstacle_->detail);
      facts.add_if_any("change", change());
    }
    if (way_.host != nullptr) tell_host(facts);
    if (way_.route != nullptr) tell_route(facts);
    facts.add("conflicts", conflicts());
    facts.add("findings", findings());
    return facts;
  }

 private:
  void tell_host(Facts& facts) const {
    const route::HostEntry::Config& host = way_.host->config;
    facts.add("host", host.host.empty() ? "any that no rule names" : host.host);
    Facts front;
    if (way_.host->passthrough) {
      front.add("certificate", "the Service's own: TLS passes through");
    } else {
      front = certificate_shown(0);
      if (way_.host->certificates.empty()) front.add("certificate", "the default one");
    }
    if (host.certificate_problem) front.add("problem", host.certificate_problem->detail);
    facts.add("clients_see", std::move(front));
    std::vector<Facts> others;
    for (std::size_t i = 1; i < way_.host->certificates.size(); ++i) {
      others.push_back(certificate_shown(i));
    }
    if (!others.empty()) facts.add("some_clients_see", std::move(others));
    if (way_.route != nullptr) return;
    std::vector<std::string> paths;
    for (const config::Route& route : host.routes) paths.push_back(rule_text(route));
    facts.add("paths", paths);
  }

  [[nodiscard]] Facts certificate_shown(std::size_t which) const {
    if (which >= way_.host->certificates.size()) return {};
    Facts facts = certificate_facts(way_.host->certificates[which]->info());
    facts.add("from", way_.host->certificate_sources[which]);
    return facts;
  }

  static std::string rule_text(const config::Route& route) {
    return (route.type == config::PathType::Exact ? "Exact " : "Prefix ") + route.path;
  }

  void tell_route(Facts& facts) const {
    const config::Route& route = *way_.route;
    facts.add("rule", rule_text(route));
    facts.add("ingress", route.ingress.empty()
                             ? "none: the operator's --default-backend-service"
                             : route.ingress_namespace + '/' + route.ingress + origin_of_ingress());
    const bool passes = way_.host->passthrough.has_value();
    if (route.ssl_redirect || passes) facts.add("plain_http", "answered 308 to https");
    if (route.sources) {
      const auto& [denied, allowed] = *route.sources;
      if (!denied.empty()) facts.add("addresses_denied", denied);
      if (!allowed.empty()) facts.add("addresses_allowed", allowed);
    }
    if (way_.auth) facts.add("auth_server", auth_facts());
    if (route.service.empty()) return;
    facts.add("service", route.service);
    facts.add("protocol", passes ? "TLS as the client speaks it" : protocol_text(route));
    if (way_.service != nullptr) facts.add("endpoints", endpoint_facts(way_.service->config));
    const auto* tls = find_shard<config::UpstreamTls>(manifests_.output, route.upstream_tls);
    if (tls != nullptr && way_.policy != nullptr) {
      facts.add("upstream_tls", policy_facts(*tls, *way_.policy, now_));
    }
  }

  Facts auth_facts() const {
    Facts facts;
    facts.add("service", way_.auth->service).add("protocol", protocol_text(*way_.auth));
    if (way_.auth_service != nullptr) {
      facts.add("endpoints", endpoint_facts(way_.auth_service->config));
    }
    const auto* tls = find_shard<config::UpstreamTls>(manifests_.output, way_.auth->upstream_tls);
    if (tls != nullptr && way_.auth_policy != nullptr) {
      facts.add("upstream_tls", policy_facts(*tls, *way_.auth_policy, now_));
    }
    return facts;
  }

  std::string origin_of_ingress() const {
    for (const objects::Ingress* ingress : manifests_.state.ingresses()) {
      if (ingress->meta.ns != way_.route->ingress_namespace ||
          ingress->meta.name != way_.route->ingress) {
        continue;
      }
      const objects::Origin& origin = ingress->meta.origin;
      return " (" + origin.file.text() + ':' + std::to_string(origin.line) + ')';
    }
    return "";
  }

  std::string change() const {
    if (concerns_) {
      const std::string said =
          concerns_->change(index_findings(manifests_.report), obstacle_->reason);
      if (!said.empty()) return said;
    }
    if (obstacle_->reason == Reason::NoRoute && way_.route == nullptr) {
      return "Add a rule with that host and path to an Ingress of ours.";
    }
    Trouble trouble;
    if (way_.route != nullptr) {
      trouble.owner = {"Ingress", way_.route->ingress_namespace + '/' + way_.route->ingress};
      trouble.tls = find_shard<config::UpstreamTls>(manifests_.output, way_.route->upstream_tls);
      if (trouble.tls != nullptr) trouble.owner = owner_of(trouble.tls->name);
    }
    return remedy(obstacle_->reason, trouble);
  }

  Facts findings() const {
    Facts::List list;
    for (const translate::Finding& finding : manifests_.report) {
      if (finding.reason != Reason::Conflict && concerns_ && concerns_->include(finding)) {
        list.emplace_back(finding_line(finding));
      }
    }
    return list;
  }

  // Of those who wanted this host and path, or the host's certificate, and didn't get it.
  Facts conflicts() const {
    Facts::List list;
    for (const translate::Finding& finding : manifests_.report) {
      if (finding.reason != Reason::Conflict) continue;
      for (const objects::Ingress* ingress : manifests_.state.ingresses()) {
        if (finding.object == objects::ObjectKey{"Ingress", ingress->meta.ns, ingress->meta.name} &&
            lost(finding.field, *ingress)) {
          list.emplace_back(finding_line(finding));
        }
      }
    }
    return list;
  }

  // Whether the field is one that would have had a part in this request.
  bool lost(std::string_view field, const objects::Ingress& ingress) const {
    if (way_.host == nullptr) return false;
    for (std::size_t i = 0; i < ingress.rules.size(); ++i) {
      const objects::IngressRule& rule = ingress.rules[i];
      if (translate::to_lower(rule.host) != way_.host->config.host) continue;
      // A default backend, or the host's certificate.
      if (!field.starts_with("spec.rules[")) return true;
      for (std::size_t j = 0; j < rule.paths.size(); ++j) {
        if (field !=
            "spec.rules[" + std::to_string(i) + "].http.paths[" + std::to_string(j) + "].path") {
          continue;
        }
        const auto path = translate::make_path_rule(rule.paths[j]);
        return path && way_.route != nullptr && path->path == way_.route->path &&
               path->type == way_.route->type;
      }
    }
    return ingress.rules.empty() && way_.host->config.host.empty();
  }

  const Manifests& manifests_;
  Request request_;
  const Way& way_;
  UnixSeconds now_;
  std::optional<Obstacle> obstacle_;
  std::optional<Concerns> concerns_;  // with a route
};

int usage_error(const Error& error) {
  std::fprintf(stderr, "handfast explain: %s\n", error.detail.c_str());
  return kUnusable;
}

}  // namespace

int explain_command(int argc, const char* const* argv) {
  OptionSet options{"handfast explain",
                    "tells what serves a request, or why nothing does, and what to change"};
  options.set_positionals("HOST/PATH", 1, 1);
  add_manifest_flags(options);
  const auto parsed = options.parse(argc, argv, environ);
  if (!parsed) return usage_error(parsed.error());
  if (parsed->help()) {
    std::fputs(options.usage().c_str(), stdout);
    return 0;
  }
  if (parsed->version()) {
    print_version();
    return 0;
  }
  forbid_core_dumps();
  const SystemClock clock;
  auto request = parse_request(parsed->positionals().front());
  if (!request) return usage_error(request.error());
  const auto manifests = read_manifests(*parsed, clock.unix_now());
  if (!manifests) return usage_error(manifests.error());
  const auto loaded = Loaded::load(manifests->output, clock);
  if (!loaded) return usage_error(loaded.error());
  const Way way = find_way((*loaded)->snapshot(), *request);
  const Explanation explanation(*manifests, std::move(*request), way, clock.unix_now());
  const Facts facts = explanation.tell();
  if (parsed->flag("json")) {
    std::puts(facts.to_json().c_str());
  } else {
    std::fputs(facts.to_text().c_str(), stdout);
  }
  return explanation.served() ? kServed : kNotServed;
}

}  // namespace handfast
