#pragma once
// The server that a route asks about each request (auth-url), as a value type of the model.
//
// It is a Service like those that routes lead to, connected to by an UpstreamTls like theirs. Texts
// are expressions of request_expression.h (ExpressionUse::Text) unless said otherwise.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/config/traffic.h"

namespace handfast::config {

// How long answers with one of these statuses are kept.
struct AuthCacheRule {
  std::vector<std::uint16_t> statuses;  // sorted; empty: any that can be kept
  std::uint32_t seconds = 0;            // not 0
  friend bool operator==(const AuthCacheRule&, const AuthCacheRule&) = default;
};

struct ExternalAuth {
  std::string service;       // Service::name
  std::string upstream_tls;  // UpstreamTls::name; empty: plain HTTP
  Http2 http2 = Http2::Off;
  std::string authority;  // no expression: the Host that it is asked with
  std::string target;     // path and query; begins with '/'
  std::string method;     // no expression, a token; empty: GET
  std::string signin;     // where 401 is redirected to, a whole URL; empty: nowhere
  // What it answers in these goes to the Service, and a client's own never does.
  std::vector<std::string> response_headers;
  std::string request_redirect;  // X-Auth-Request-Redirect; empty: the target that was asked for
  std::vector<std::pair<std::string, std::string>> set_headers;  // name, expression
  bool always_set_cookie = false;
  std::string cache_key;  // empty: nothing is kept
  std::vector<AuthCacheRule> cache;
  friend bool operator==(const ExternalAuth&, const ExternalAuth&) = default;
};

inline constexpr std::size_t kMostAuthHeaders = 32;

// Whether a field of this name can be copied or set: a token that neither frames nor belongs to one
// hop, nor is one that we assert ourselves.
[[nodiscard]] bool is_auth_header(std::string_view name);

// The answers that can be kept: those that decide.
[[nodiscard]] constexpr bool is_auth_verdict(int status) {
  return (status >= 200 && status < 300) || status == 401 || status == 403;
}

}  // namespace handfast::config
