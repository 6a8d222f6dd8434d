#pragma once
// The values of auth-* annotations, as texts: strict where ingress-nginx is lenient.
//
// Pure. Errors: a Reason and a sentence.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/config/external_auth.h"

namespace handfast::translate {

// auth-url. Variables may stand in the path and the query alone: whom to trust, and with what, must
// be known before there is a request.
struct AuthUrl {
  bool tls = false;
  std::string host;  // lower case; an IPv6 address without brackets
  std::uint16_t port = 0;
  std::string target;  // an expression
};
[[nodiscard]] Result<AuthUrl> parse_auth_url(std::string_view value);

// A name in the cluster, "<service>.<namespace>.svc[.<cluster domain>]".
struct ClusterHost {
  std::string service;
  std::string ns;
};
// Empty names: it is none.
[[nodiscard]] ClusterHost split_cluster_host(std::string_view host,
                                             std::string_view cluster_domain);

// auth-signin with what ingress-nginx appends: where the client wanted to go, as the argument
// `parameter`, unless it is there already. Variables in the authority: $host and $http_host.
[[nodiscard]] Result<std::string> parse_signin(std::string_view value, std::string_view parameter);
[[nodiscard]] Result<std::string> parse_signin_parameter(std::string_view value);

[[nodiscard]] Result<std::string> parse_auth_method(std::string_view value);
[[nodiscard]] Result<std::vector<std::string>> parse_auth_headers(std::string_view value);
// Of variables and printable characters.
[[nodiscard]] Result<std::string> parse_auth_text(std::string_view value);

// "200 202 401 5m, 403 10s".
[[nodiscard]] Result<std::vector<config::AuthCacheRule>> parse_cache_durations(
    std::string_view value);

}  // namespace handfast::translate
