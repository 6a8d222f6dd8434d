#include "controller/translate/auth_server.h"

#include <array>
#include <string_view>
#include <utility>

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

// Where Ingress and auth server are of two namespaces, the floor of each holds.
constexpr FloorWords kFloorWords{
    .field = "metadata.annotations",
    .verify = "Turn it on in the policy of the auth server's Service.",
    .identity =
        "Name a Secret with tls.crt and tls.key in the policy of the auth server's Service; "
        "if it has none, in handfast.dev/auth-proxy-ssl-secret.",
    .crl =
        "Name a CRL in the policy of the auth server's Service; if it has none, put a ca.crl into "
        "the Secret of handfast.dev/auth-proxy-ssl-secret.",
    .versions = "Let the policy of the auth server's Service allow TLSv1.3."};

void check_without_url(const Annotations& annotations, ObjectReport& report,
                       std::optional<config::Refusal>& refused) {
  for (const std::string_view name : kTelling) {
    const Annotation* found = annotations.find(name);
    if (found == nullptr) continue;
    keep_first(refused, report.refuse(Reason::InvalidValue, found->field(),
                                      "There is no auth-url, so nobody is asked.",
                                      "Add auth-url, or remove the annotation."));
  }
  for (const std::string_view name : kOther) {
    const Annotation* found = annotations.find(name);
    if (found == nullptr) continue;
    report.warn(Reason::Conflict, found->field(), "It has no effect without auth-url.",
                "Add auth-url, or remove it.");
  }
}

}  // namespace

// What the annotations of one Ingress are read with.
struct AuthServers::Reading {
  const objects::Ingress& ingress;
  const Annotations& annotations;
  ObjectReport& report;
  std::optional<config::Refusal>& refused;

  template <class Parse, class Use>
  void read(std::string_view name, Parse parse, Use use) {
    read_value(annotations, name, report, refused, parse,
               [&use](auto value, const Annotation&) { use(std::move(value)); });
  }
  void refuse(Reason reason, std::string field, std::string message, std::string remedy) {
    keep_first(refused,
               report.refuse(reason, std::move(field), std::move(message), std::move(remedy)));
  }
};

std::optional<AuthPlan> AuthServers::plan(const objects::Ingress& ingress,
                                          const Annotations& annotations, ObjectReport& report,
                                          std::optional<config::Refusal>& refused) {
  const Annotation* asked = annotations.find("auth-url");
  if (asked == nullptr) {
    check_without_url(annotations, report, refused);
    return std::nullopt;
  }
  Reading reading{ingress, annotations, report, refused};
  AuthPlan plan;
  plan.field = asked->field();
  config::ExternalAuth& auth = plan.auth;
  std::optional<AuthUrl> url;
  reading.read("auth-url", parse_auth_url, [&](AuthUrl read) { url = std::move(read); });
  reading.read("auth-method", parse_auth_method, [&](std::string method) {
    if (method != "GET") auth.method = std::move(method);
  });
  std::string parameter = "rd";
  reading.read("auth-signin-redirect-param", parse_signin_parameter,
               [&](std::string name) { parameter = std::move(name); });
  reading.read(
      "auth-signin", [&](std::string_view value) { return parse_signin(value, parameter); },
      [&](std::string signin) { auth.signin = std::move(signin); });
  reading.read("auth-response-headers", parse_auth_headers,
               [&](std::vector<std::string> names) { auth.response_headers = std::move(names); });
  reading.read("auth-request-redirect", parse_auth_text,
               [&](std::string text) { auth.request_redirect = std::move(text); });
  auth.always_set_cookie =
      read_switch(annotations, "auth-always-set-cookie", false, report, refused);
  reading.read("auth-cache-key", parse_auth_text,
               [&](std::string key) { auth.cache_key = std::move(key); });
  std::vector<config::AuthCacheRule> durations = *parse_cache_durations(kDefaultDurations);
  reading.read("auth-cache-duration", parse_cache_durations,
               [&](std::vector<config::AuthCacheRule> rules) { durations = std::move(rules); });
  if (!auth.cache_key.empty()) auth.cache = std::move(durations);
  read_set_headers(reading, auth);
  if (!url) return std::nullopt;

  auth.target = url->target;
  auth.authority = url->host.find(':') == std::string::npos ? url->host : '[' + url->host + ']';
  locate(reading, *url, plan);
  if (!refused) secure(reading, *url, plan);
  if (refused) return std::nullopt;
  if (plan.tls) {
    plan.tls->name = ingress.meta.ns + '/' + ingress.meta.name + "@auth/" +
                     auth.service.substr(auth.service.find('/') + 1);
    auth.upstream_tls = plan.tls->name;
  }
  return plan;
}

void AuthServers::read_set_headers(Reading& reading, config::ExternalAuth& auth) const {
  const Annotation* found = reading.annotations.find("auth-proxy-set-headers");
  if (found == nullptr) return;
  const std::string& ns = reading.ingress.meta.ns;
  const bool qualified = found->value.find('/') != std::string_view::npos;
  const auto ref = parse_namespaced_name(qualified ? std::string(found->value)
                                                   : ns + '/' + std::string(found->value));
  if (!ref || ref->ns != ns) {
    reading.refuse(ref ? Reason::NotPermitted : Reason::InvalidValue, found->field(),
                   quoted(found->value) + " is no ConfigMap of the namespace " + ns + '.',
                   "Name one of the Ingress' namespace.");
    return;
  }
  const objects::ConfigMap* map = state_.find_config_map(ref->ns, ref->name);
  if (map == nullptr) {
    reading.refuse(Reason::InvalidValue, found->field(),
                   "There is no ConfigMap " + ref->ns + '/' + ref->name + '.',
                   "Create it, or correct the name.");
    return;
  }
  for (const auto& [name, value] : map->data) {
    const auto text = parse_auth_text(value.bytes);
    const bool empty = value.bytes.empty() && value.problem.empty();
    const bool fits = auth.set_headers.size() < config::kMostAuthHeaders;
    if (!config::is_auth_header(name) || (!text && !empty) || !fits) {
      reading.refuse(Reason::InvalidValue, found->field(),
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
  plan.ns = host.ns.empty() ? reading.ingress.meta.ns : host.ns;
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
      backend_tls_.plan_auth(reading.ingress, reading.annotations, plan.field, reading.report);
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
                     choice.policy.text() + " turns TLS off, and auth-url asks for it.",
                     "Change one of the two.");
    } else {
      refuse_plain(reading, plan);
    }
    return;
  }
  config::UpstreamTls tls = policy.rules;
  tls.audit_until = 0;
  const std::string& ns = reading.ingress.meta.ns;
  if (!tls.verify && !tls.refused) {
    tls.refused = reading.report.refuse(
        Reason::NotPermitted, plan.field,
        choice.policy.text() + " turns verification off; an auth server is verified.",
        "Turn it on in the policy.");
  }
  const bool granted = is_granted(state_, {"networking.k8s.io", "Ingress", ns},
                                  {"Service", plan.ns, plan.backend->service});
  if (tls.identity && plan.ns != ns && !granted && !tls.refused) {
    tls.refused = reading.report.refuse(
        Reason::NotPermitted, plan.field,
        choice.policy.text() + " presents a certificate, and the namespace " + plan.ns +
            " doesn't allow this one to use it.",
        "Add a ReferenceGrant there, from Ingress (networking.k8s.io) of the namespace " + ns +
            " to Service.");
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
  apply_floor(*floor, has_no_newer, kFloorWords, tls, reading.report);
}

// As for a Service that a route leads to.
void AuthServers::refuse_plain(Reading& reading, const AuthPlan& plan) const {
  if (!demands_tls(options_, reading.ingress.meta.ns) && !demands_tls(options_, plan.ns)) return;
  reading.refuse(Reason::BelowMinimum, plan.field,
                 "The operator's minimum asks for TLS, and the auth server is asked without.",
                 "Write https://.");
}

}  // namespace handfast::translate
