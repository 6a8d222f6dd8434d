#include "controller/translate/auth_values.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "controller/translate/findings.h"
#include "controller/translate/names.h"
#include "proxy/config/request_expression.h"

namespace handfast::translate {
namespace {

constexpr std::size_t kLongestUrl = 1024;
constexpr std::uint32_t kLongestKept = 366 * 24 * 3600;

tl::unexpected<Error> bad(std::string_view value, std::string_view what) {
  return fail(Reason::InvalidValue, quoted(value) + std::string(what));
}

// What no URL has, and '{' and '}' of variables, which it has here.
bool is_url_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return c > ' ' && c < 0x7f && std::string_view("\"<>\\^`|#").find(c) == std::string_view::npos;
  });
}

Status check_variables(std::string_view value, std::string_view text) {
  const auto parsed = config::parse_request_expression(text, config::ExpressionUse::Text);
  return parsed ? Status{} : bad(value, ": " + parsed.error().detail + '.');
}

// Takes "http://" or "https://" off the front.
std::optional<bool> take_scheme(std::string_view& url) {
  for (const auto& [scheme, tls] : {std::pair<std::string_view, bool>{"https://", true},
                                    std::pair<std::string_view, bool>{"http://", false}}) {
    if (!url.starts_with(scheme)) continue;
    url.remove_prefix(scheme.size());
    return tls;
  }
  return std::nullopt;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  unsigned port = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), port);
  const bool whole = read.ec == std::errc() && read.ptr == text.data() + text.size();
  if (!whole || port == 0 || port > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(port);
}

// "host", "host:port", "[::1]:port" into the two. False: it is neither.
bool split_authority(std::string_view authority, AuthUrl& url) {
  std::string_view host = authority;
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return false;
    host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
    if (!port.empty() && !port.starts_with(':')) return false;
    if (host.find(':') == std::string_view::npos || !is_ip_address(host)) return false;
  } else if (const std::size_t colon = authority.find(':'); colon != std::string_view::npos) {
    host = authority.substr(0, colon);
    port = authority.substr(colon);
  }
  url.port = url.tls ? 443 : 80;
  if (!port.empty()) {
    const auto number = parse_port(port.substr(1));
    if (!number) return false;
    url.port = *number;
  }
  if (host.ends_with('.')) host.remove_suffix(1);
  url.host = to_lower(host);
  return is_ip_address(url.host) || (is_dns_name(url.host) && !ends_in_number(url.host));
}

bool has_argument(std::string_view url, std::string_view name) {
  const std::size_t question = url.find('?');
  if (question == std::string_view::npos) return false;
  std::string_view query = url.substr(question + 1);
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (one.size() > name.size() + 1 && one.starts_with(name) && one[name.size()] == '=') {
      return true;
    }
  }
  return false;
}

// "5m" as nginx has it: a number, and a unit or seconds.
std::optional<std::uint32_t> parse_duration(std::string_view text) {
  std::uint32_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc()) return std::nullopt;
  const std::string_view unit(read.ptr,
                              static_cast<std::size_t>(text.data() + text.size() - read.ptr));
  constexpr std::pair<std::string_view, std::uint32_t> kUnits[] = {
      {"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 604800}};
  for (const auto& [name, seconds] : kUnits) {
    if (unit != name) continue;
    if (number == 0 || number > kLongestKept / seconds) return std::nullopt;
    return number * seconds;
  }
  return std::nullopt;
}

std::optional<std::uint16_t> parse_status(std::string_view text) {
  unsigned status = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), status);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size() || text.size() != 3) {
    return std::nullopt;
  }
  if (status < 100 || status > 599) return std::nullopt;
  return static_cast<std::uint16_t>(status);
}

// One rule: statuses or "any", or nothing for nginx's own choice, and how long.
std::optional<config::AuthCacheRule> parse_cache_rule(std::string_view text) {
  config::AuthCacheRule rule;
  bool any = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
    const std::string_view word = text.substr(0, end);
    text = trim(text.substr(end));
    if (text.empty()) {
      const auto seconds = parse_duration(word);
      if (!seconds) return std::nullopt;
      rule.seconds = *seconds;
    } else if (word == "any") {
      any = true;
    } else if (const auto status = parse_status(word)) {
      rule.statuses.push_back(*status);
    } else {
      return std::nullopt;
    }
  }
  if (rule.seconds == 0) return std::nullopt;
  if (any) {
    rule.statuses.clear();
  } else if (rule.statuses.empty()) {
    rule.statuses = {200};  // nginx's 301 and 302 decide nothing here
  }
  std::ranges::sort(rule.statuses);
  return rule;
}

}  // namespace

Result<AuthUrl> parse_auth_url(std::string_view value) {
  std::string_view rest = value;
  const auto tls = take_scheme(rest);
  if (!tls || value.size() > kLongestUrl || !is_url_text(value)) {
    return bad(value, " is no http:// or https:// URL.");
  }
  AuthUrl url{.tls = *tls, .host = {}, .port = 0, .target = {}};
  const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, end);
  if (authority.find('$') != std::string_view::npos) {
    return bad(value, " has a variable in its host: who decides must not be a client's to say.");
  }
  if (!split_authority(authority, url)) {
    return bad(value, " names no host and port (a user has no place there).");
  }
  if (is_this_machine(url.host)) {
    return fail(Reason::NotPermitted, quoted(value) + " is this machine itself.");
  }
  if (url.host.find('.') == std::string::npos && !is_ip_address(url.host)) {
    return bad(value, " names a host without a domain: write <service>.<namespace>.svc.");
  }
  url.target = rest.substr(end);
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  if (Status good = check_variables(value, url.target); !good) return fail(good.error());
  return url;
}

ClusterHost split_cluster_host(std::string_view host, std::string_view cluster_domain) {
  if (const std::string domain = '.' + to_lower(cluster_domain); host.ends_with(domain)) {
    host.remove_suffix(domain.size());
  }
  if (!host.ends_with(".svc")) return {};
  host.remove_suffix(4);
  const std::size_t dot = host.find('.');
  if (dot == std::string_view::npos || host.find('.', dot + 1) != std::string_view::npos) return {};
  return {std::string(host.substr(0, dot)), std::string(host.substr(dot + 1))};
}

Result<std::string> parse_signin(std::string_view value, std::string_view parameter) {
  std::string_view rest = value;
  if (!take_scheme(rest) || value.size() > kLongestUrl / 2 || !is_url_text(value)) {
    return bad(value, " is no http:// or https:// URL.");
  }
  const std::string_view authority =
      rest.substr(0, std::min(rest.find_first_of("/?"), rest.size()));
  const bool own_host = authority == "$host" || authority == "$http_host";
  if (AuthUrl unused; !own_host && !split_authority(authority, unused)) {
    return bad(value, " names no host; of variables, $host and $http_host may stand for one.");
  }
  std::string url(value);
  if (!has_argument(value, parameter)) {
    url.push_back(value.find('?') == std::string_view::npos ? '?' : '&');
    url.append(parameter).append("=$scheme://$http_host$escaped_request_uri");
  }
  if (Status good = check_variables(value, url); !good) return fail(good.error());
  return url;
}

Result<std::string> parse_signin_parameter(std::string_view value) {
  const bool plain = std::ranges::all_of(value, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._~").find(c) != std::string_view::npos;
  });
  if (value.empty() || value.size() > 64 || !plain) return bad(value, " is no argument's name.");
  return std::string(value);
}

Result<std::string> parse_auth_method(std::string_view value) {
  for (const std::string_view method :
       {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    if (value == method) return std::string(value);
  }
  return bad(value, " is none of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS.");
}

Result<std::vector<std::string>> parse_auth_headers(std::string_view value) {
  std::vector<std::string> names;
  while (!value.empty()) {
    const std::size_t end = std::min(value.find(','), value.size());
    const std::string_view name = trim(value.substr(0, end));
    value.remove_prefix(std::min(end + 1, value.size()));
    if (name.empty() || std::ranges::find(names, name) != names.end()) continue;
    if (!config::is_auth_header(name) || names.size() == config::kMostAuthHeaders) {
      return bad(name, " is no header that can be copied, or one too many.");
    }
    names.emplace_back(name);
  }
  return names;
}

Result<std::string> parse_auth_text(std::string_view value) {
  const bool printable = std::ranges::all_of(value, [](char c) { return c >= ' ' && c < 0x7f; });
  if (!printable) return bad(value, " holds what isn't printable.");
  if (Status good = check_variables(value, value); !good) return fail(good.error());
  return std::string(value);
}

Result<std::vector<config::AuthCacheRule>> parse_cache_durations(std::string_view value) {
  std::vector<config::AuthCacheRule> rules;
  const std::string_view whole = value;
  while (true) {
    const std::size_t end = std::min(value.find(','), value.size());
    auto rule = parse_cache_rule(trim(value.substr(0, end)));
    if (!rule || rules.size() == 16) {
      return bad(whole, " isn't statuses and a time, like \"200 202 401 5m\".");
    }
    rules.push_back(*std::move(rule));
    if (end == value.size()) return rules;
    value.remove_prefix(end + 1);
  }
}

}  // namespace handfast::translate
