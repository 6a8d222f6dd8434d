#include "proxy/route/auth_rules.h"

#include "proxy/base/check.h"
#include "proxy/config/external_auth_text.h"

namespace handfast::route {
namespace {

config::RequestExpression read(const std::string& text) {
  if (text.empty()) return {};
  auto expression = config::parse_request_expression(text, config::ExpressionUse::Text);
  check(expression.has_value(), "config::validate() has read the expression");
  return std::move(*expression);
}

std::string fingerprint_of(const std::string& host, const config::Route& route) {
  std::string text = host;
  text.append("\n").append(route.ingress_namespace).append("/").append(route.ingress);
  text.append("\n").append(route.path);
  text.append(route.type == config::PathType::Exact ? "\n=\n" : "\n\n");
  config::append_external_auth(text, 0, route.auth);
  return config::sha256_hex(text);
}

}  // namespace

std::unique_ptr<const AuthRules> make_auth_rules(const std::string& host,
                                                 const config::Route& route) {
  if (!route.auth || route.refused) return nullptr;
  const config::ExternalAuth& auth = *route.auth;
  auto rules = std::make_unique<AuthRules>();
  rules->target = read(auth.target);
  rules->signin = read(auth.signin);
  rules->request_redirect = read(auth.request_redirect);
  rules->cache_key = read(auth.cache_key);
  for (const auto& [name, value] : auth.set_headers) {
    rules->set_headers.emplace_back(name, read(value));
  }
  rules->withheld = {"X-Sent-From",
                     "X-Auth-Request-Redirect",
                     "Range",
                     "If-Range",
                     "If-Match",
                     "If-None-Match",
                     "If-Modified-Since",
                     "If-Unmodified-Since"};
  for (const auto& [name, value] : auth.set_headers) rules->withheld.push_back(name);
  rules->fingerprint = fingerprint_of(host, route);
  return rules;
}

}  // namespace handfast::route
