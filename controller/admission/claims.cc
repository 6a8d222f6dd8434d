#include "controller/admission/claims.h"

#include <cstddef>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "controller/translate/annotations.h"
#include "controller/translate/hosts_paths.h"
#include "controller/translate/names.h"
#include "controller/translate/services.h"

namespace handfast::admission {
namespace {

bool passes_through(const objects::Ingress& ingress, const translate::Options& options) {
  if (!options.enable_ssl_passthrough) return false;
  const translate::Annotations annotations{ingress};
  const auto* found = annotations.find("ssl-passthrough");
  return found != nullptr && translate::parse_bool(found->value).value_or(false);
}

std::string service_text(const objects::IngressBackend& backend) {
  if (!backend.service) return {};
  return backend.service->service + ':' + translate::port_text(backend.service->port);
}

void add_paths(const objects::IngressRule& rule, const std::string& host, const std::string& field,
               std::vector<Claim>& claims) {
  for (std::size_t i = 0; i < rule.paths.size(); ++i) {
    auto path = translate::make_path_rule(rule.paths[i]);
    if (!path) continue;
    claims.push_back(
        {.kind = path->type == config::PathType::Exact ? ClaimKind::Exact : ClaimKind::Prefix,
         .host = host,
         .path = std::move(path->path),
         .field = field + ".http.paths[" + std::to_string(i) + "].path",
         .service = service_text(rule.paths[i].backend)});
  }
}

}  // namespace

std::string Claim::key() const {
  constexpr std::string_view kLetters = "epdh";
  std::string text = host;
  text += '\0';
  text += kLetters[static_cast<std::size_t>(kind)];
  return text += path;
}

std::vector<Claim> claims_of(const objects::Ingress& ingress, const translate::Options& options) {
  std::vector<Claim> claims;
  const bool passes = passes_through(ingress, options);
  std::set<std::string> hosts;
  for (std::size_t i = 0; i < ingress.rules.size(); ++i) {
    const objects::IngressRule& rule = ingress.rules[i];
    std::string host = translate::to_lower(rule.host);
    if (host.empty() ? passes : !translate::is_host(host)) continue;
    const std::string field = "spec.rules[" + std::to_string(i) + ']';
    if (hosts.insert(host).second) {
      claims.push_back({.kind = ClaimKind::Host,
                        .host = host,
                        .path = {},
                        .field = field + ".host",
                        .service = {},
                        .passes = passes});
    }
    if (!passes) add_paths(rule, host, field, claims);
  }
  if (!ingress.default_backend || passes) return claims;
  const bool alone = ingress.rules.empty();
  if (alone) hosts.insert("");
  for (const std::string& host : hosts) {
    claims.push_back({.kind = ClaimKind::Default,
                      .host = host,
                      .path = {},
                      .field = "spec.defaultBackend",
                      .service = service_text(*ingress.default_backend),
                      .alone = alone});
  }
  return claims;
}

}  // namespace handfast::admission
