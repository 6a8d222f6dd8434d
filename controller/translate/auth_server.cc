#include "controller/translate/auth_server.h"

#include <array>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "controller/translate/grants.h"
#include "controller/translate/names.h"
#include "controller/translate/operator_rules.h"
#include "controller/translate/services.h"

namespace handfast::translate {
namespace {

// What somebody who means to ask a server writes: without it, everybody would get in, and with
// headers that a Service believes.
constexpr std::array<std::string_view, 4> kTelling{"auth-signin", "auth-response-headers",
                                                   "auth-proxy-ssl-secret", "auth-upstream-ca"};
constexpr std::array<std::string_view, 7> kOther{"auth-always-set-cookie",
                                                 "auth-cache-duration",
                                                 "auth-cache-key",
                                                 "auth-method",
                                                 "auth-proxy-set-headers",
                                                 "auth-request-redirect",
                                                 "auth-signin-redirect-param"};

constexpr std::string_view kDefaultDurations = "200 202 401 5m";

void check_without_url(const AuthSettings& settings, ObjectReport& report,
                       std::optional<config::Refusal>& refused) {
  const std::string url{settings.words().url};
  for (const std::string_view name : kTelling) {
    const AuthSetting* found = settings.find(name);
    if (found == nullptr) continue;
    keep_first(refused,
               report.refuse(Reason::InvalidValue, found->field,
                             "There is no " + url + ", so nobody is asked.",
                             "Add " + url + ", or " + std::string{settings.words().remove} + '.'));
  }
  for (const std::string_view name : kOther) {
    const AuthSetting* found = settings.find(name);
    if (found == nullptr) continue;
    report.warn(Reason::Conflict, found->field, "It has no effect without " + url + '.',
                "Add " + url + ", or remove it.");
  }
}

}  // namespace

void lead_to(const AuthPlan& plan, Clusters& clusters, ObjectReport& report) {
  if (!plan.backend) {
    clusters.lead_outside(*plan.outside);
    return;
  }
  const Clusters::Lead cluster = clusters.lead(plan.ns, *plan.backend);
  if (!cluster.refused) return;
  report.refuse(cluster.refused->reason, plan.field, cluster.refused->detail,
                std::string{remedy_of(*cluster.refused)});
}

// What somebody's settings are read with.
struct AuthServers::Reading {
  const objects::Meta& asks;
  const AuthSettings& settings;
  ObjectReport& report;
  std::optional<config::Refusal>& refused;

  // `parse`: string_view -> Result<T>.
  template <class Parse, class Use>
  void read(std::string_view name, Parse parse, Use use) {
    const AuthSetting* found = settings.find(name);
    if (found == nullptr) return;
    using Parsed = std::invoke_result_t<Parse, std::string_view>;
    auto parsed = found->problem.empty()
                      ? parse(found->value)
                      : Parsed(fail(Reason::InvalidValue, "The value " + found->problem + '.'));
    if (parsed) {
      use(*std::move(parsed));
    } else {
      refuse(parsed.error().reason, found->field, parsed.error().detail,
             "Correct the value, or " + std::string{settings.words().remove} + '.');
    }
  }
  void refuse(Reason reason, std::string field, std::string message, std::string remedy) {
    keep_first(refused,
               report.refuse(reason, std::move(field), std::move(message), std::move(remedy)));
  }
};

std::optional<AuthPlan> AuthServers::plan(const objects::Meta& asks, const AuthSettings& settings,
                                          ObjectReport& report,
                                          std::optional<config::Refusal>& refused) {
  const AuthSetting* asked = settings.find("auth-url");
  if (asked == nullptr) {
    check_without_url(settings, report, refused);
    return std::nullopt;
  }
  Reading reading{asks, settings, report, refused};
  AuthPlan plan;
  plan.field = asked->field;
  config::ExternalAuth& auth = plan.auth;
  std::optional<AuthUrl> url;
  reading.read("auth-url", parse_auth_url, [&](AuthUrl read) { url = std::move(read); });
  reading.read("auth-method", parse_auth_method, [&](std::string method) {
    if (method != "GET") auth.method = std::move(method);
  });
  reading.read("auth-request-redirect", parse_auth_text,
               [&](std::string text) { auth.request_redirect = std::move(text); });
  read_answers(reading, auth);
  read_set_headers(reading, auth);
  if (!url) return std::nullopt;

  auth.target = url->target;
  auth.authority = url->host.find(':') == std::string::npos ? url->host : '[' + url->host + ']';
  locate(reading, *url, plan);
  if (!refused) secure(reading, *url, plan);
  if (refused) return std::nullopt;
  if (plan.tls) {
    plan.tls->name = asks.ns + '/' + asks.name + std::string{settings.words().tls_name} +
                     auth.service.substr(auth.service.find('/') + 1);
    auth.upstream_tls = plan.tls->name;
  }
  return plan;
}

// What becomes of what the server answers.
void AuthServers::read_answers(Reading& reading, config::ExternalAuth& auth) {
  std::string parameter = "rd";
  reading.read("auth-signin-redirect-param", parse_signin_parameter,
               [&](std::string name) { parameter = std::move(name); });
  reading.read(
      "auth-signin", [&](std::string_view value) { return parse_signin(value, parameter); },
      [&](std::string signin) { auth.signin = std::move(signin); });
  reading.read("auth-response-headers", parse_auth_headers,
               [&](std::vector<std::string> names) { auth.response_headers = std::move(names); });
  const auto parse_always = [](std::string_view value) -> Result<bool> {
    if (value.empty()) return false;  // as switches of other annotations
    return parse_switch(value);
  };
  reading.read("auth-always-set-cookie", parse_always,
               [&](bool always) { auth.always_set_cookie = always; });
  reading.read("auth-cache-key", parse_auth_text,
               [&](std::string key) { auth.cache_key = std::move(key); });
  std::vector<config::AuthCacheRule> durations = *parse_cache_durations(kDefaultDurations);
  reading.read("auth-cache-duration", parse_cache_durations,
               [&](std::vector<config::AuthCacheRule> rules) { durations = std::move(rules); });
  if (!auth.cache_key.empty()) auth.cache = std::move(durations);
}

void AuthServers::read_set_headers(Reading& reading, config::ExternalAuth& auth) const {
  const AuthSetting* found = reading.settings.find("auth-proxy-set-headers");
  if (found == nullptr) return;
  const std::string& ns = reading.asks.ns;
  const bool qualified = found->value.find('/') != std::string::npos;
  const auto ref = parse_namespaced_name(qualified ? found->value : ns + '/' + found->value);
  if (!ref || ref->ns != ns) {
    reading.refuse(ref ? Reason::NotPermitted : Reason::InvalidValue, found->field,
                   quoted(found->value) + " is no ConfigMap of the namespace " + ns + '.',
                   "Name one of the Ingress' namespace.");
    return;
  }
  const objects::ConfigMap* map = state_.find_config_map(ref->ns, ref->name);
  if (map == nullptr) {
    reading.refuse(Reason::InvalidValue, found->field,
                   "There is no ConfigMap " + ref->ns + '/' + ref->name + '.',
                   "Create it, or correct the name.");
    return;
  }
  for (const auto& [name, value] : map->data) {
    const auto text = parse_auth_text(value.bytes);
    const bool empty = value.bytes.empty() && value.problem.empty();
    const bool fits = auth.set_headers.size() < config::kMostAuthHeaders;
    if (!config::is_auth_header(name) || (!text && !empty) || !fits) {
      reading.refuse(Reason::InvalidValue, found->field,
                     "ConfigMap " + ref->ns + '/' + ref->name + ", " + quoted(name) +
                         (text || empty ? ": no header that can be set, or one too many."
                                        : ": " + text.error().detail),
                     "Correct the ConfigMap.");
      return;
    }
    auth.set_headers.emplace_back(name, value.bytes);
  }
}

void AuthServers::locate(Reading& reading, const AuthUrl& url, AuthPlan& plan) const {
  ClusterHost host = split_cluster_host(url.host, options_.cluster_domain);
  plan.ns = host.ns.empty() ? reading.asks.ns : host.ns;
  if (host.service.empty()) {
    config::Service outside;
    outside.name = plan.ns + '/' + url.host + ':' + std::to_string(url.port);
    outside.external_name = true;
    outside.endpoints.push_back(config::Endpoint{.address = url.host, .port = url.port});
    plan.auth.service = outside.name;
    plan.outside = std::move(outside);
    return;
  }
  objects::ServiceBackend backend;
  backend.service = std::move(host.service);
  backend.port.number = url.port;
  if (auto fault = find_name_fault(backend)) {
    reading.refuse(Reason::InvalidValue, plan.field, *std::move(fault), "Correct it.");
    return;
  }
  plan.auth.service = cluster_name(plan.ns, backend);
  plan.backend = std::move(backend);
}

void AuthServers::secure(Reading& reading, const AuthUrl& url, AuthPlan& plan) {
  const objects::Service* service =
      plan.backend ? state_.find_service(plan.ns, plan.backend->service) : nullptr;
  if (plan.backend) {
    const auto choice = targets_.find(plan.ns, plan.backend->service,
                                      port_name_of(service, plan.backend->port), service);
    if (choice) {
      secure_by_policy(reading, *choice, url, plan);
      return;
    }
  }
  if (!url.tls) {
    refuse_plain(reading, plan);
    return;
  }
  config::UpstreamTls tls =
      backend_tls_.plan_auth(reading.asks.ns, reading.settings, plan.field, reading.report);
  if (service != nullptr && service->type == objects::ServiceType::ExternalName) {
    tls.names = {external_host(*service)};
  } else if (plan.backend) {
    const std::string name = plan.backend->service + '.' + plan.ns + ".svc";
    tls.names = {name, name + '.' + options_.cluster_domain};
  } else {
    tls.names = {url.host};
  }
  if (!is_ip_address(tls.names.front())) tls.sni = tls.names.front();
  hold_to_floor(reading, plan.ns, tls);
  plan.tls = std::move(tls);
}

void AuthServers::secure_by_policy(Reading& reading, const PolicyTargets::Choice& choice,
                                   const AuthUrl& url, AuthPlan& plan) {
  if (!choice.missing_section.empty()) {
    reading.refuse(Reason::PortMissing, plan.field,
                   choice.policy.text() + ": the Service has no port named " +
                       quoted(choice.missing_section) + '.',
                   "Correct the policy.");
    return;
  }
  const PolicyPlan& policy = policies_.plan(choice.policy);
  if (!policy.tls) {
    keep_first(reading.refused, policy.rules.refused);
    if (url.tls) {
      reading.refuse(Reason::NotPermitted, plan.field,
                     choice.policy.text() + " turns TLS off, and " +
                         std::string{reading.settings.words().url} + " asks for it.",
                     "Change one of the two.");
    } else {
      refuse_plain(reading, plan);
    }
    return;
  }
  config::UpstreamTls tls = policy.rules;
  tls.audit_until = 0;
  const std::string& ns = reading.asks.ns;
  const AuthWords& words = reading.settings.words();
  if (!tls.verify && !tls.refused) {
    tls.refused = reading.report.refuse(
        Reason::NotPermitted, plan.field,
        choice.policy.text() + " turns verification off; an auth server is verified.",
        "Turn it on in the policy.");
  }
  const bool granted = is_granted(state_, {words.group, words.kind, ns},
                                  {"Service", plan.ns, plan.backend->service});
  if (tls.identity && plan.ns != ns && !granted && !tls.refused) {
    tls.refused =
        reading.report.refuse(Reason::NotPermitted, plan.field,
                              choice.policy.text() + " presents a certificate, and the namespace " +
                                  plan.ns + " doesn't allow this one to use it.",
                              "Add a ReferenceGrant there, from " + std::string{words.grant_from} +
                                  " of the namespace " + ns + " to Service.");
  }
  hold_to_floor(reading, ns, tls);
  plan.auth.http2 = policy.http2.value_or(config::Http2::Off);
  plan.tls = std::move(tls);
}

void AuthServers::hold_to_floor(Reading& reading, std::string_view ns,
                                config::UpstreamTls& tls) const {
  const Floor* floor = find_floor(options_, ns);
  if (floor == nullptr || tls.refused) return;
  const bool has_no_newer = tls.versions.back() < floor->least_version;
  apply_floor(*floor, has_no_newer, reading.settings.words().floor_of_policy, tls, reading.report);
}

// As for a Service that a route leads to.
void AuthServers::refuse_plain(Reading& reading, const AuthPlan& plan) const {
  if (!demands_tls(options_, reading.asks.ns) && !demands_tls(options_, plan.ns)) return;
  reading.refuse(Reason::BelowMinimum, plan.field,
                 "The operator's minimum asks for TLS, and the auth server is asked without.",
                 "Write https://.");
}

}  // namespace handfast::translate
