// Where a request goes, and what it must not be or bring.

#include <strings.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

#include "proxy/http/authority.h"
#include "proxy/http/path.h"
#include "proxy/session/client_access.h"
#include "proxy/session/exchange.h"

namespace handfast::session {
namespace {

// ingress-nginx's no-tls-redirect-locations: certificates are issued over plain HTTP.
constexpr std::string_view kAcmePrefix = "/.well-known/acme-challenge";

std::string_view lower_host(std::string_view host, std::string& scratch) {
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  const auto is_upper = [](unsigned char c) { return c >= 'A' && c <= 'Z'; };
  if (std::ranges::none_of(host, is_upper)) return host;
  scratch.assign(host);
  for (char& c : scratch) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return scratch;
}

}  // namespace

void Exchange::route() {
  // A backend that echoes it would show a script the cookies, and anybody the fields that we add.
  if (head.method == "TRACE") {
    detail_ = "TRACE";
    answer_status(405, "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n");
    return;
  }
  const auto path = http::normalise_path(head.path, path_scratch_);
  if (!path && head.path != "*") {
    answer_status(400, {});
    return;
  }
  path_ = path.value_or("/");
  host_ = snapshot_->find_host(lower_host(head.host, host_scratch_));
  if (host_ != nullptr && host_->passthrough) {
    if (!https_ && redirect_to_https()) return;
    answer(Reason::Misdirected, "the host's TLS passes through: it is not served here", 421);
    return;
  }
  route_index_ = host_ == nullptr ? route::RouteTable::kNone : host_->table.find(path_);
  if (route_index_ == route::RouteTable::kNone) {
    answer(Reason::NoRoute, "no host or path matches", 404);
    return;
  }
  route_ = &host_->config.routes[route_index_];
  if (route_->refused) {
    answer(route_->refused->reason, route_->refused->detail,
           refusal_status(route_->refused->reason));
    return;
  }
  if (!https_ && route_->ssl_redirect && redirect_to_https()) return;
  if (!admit_address() || !admit_client() || !admit_body()) return;
  admit_upgrade();
  route_->auth ? authorize() : proceed();
}

void Exchange::proceed() {
  if (!route_->request_buffering || head.framing == http::Framing::None) {
    choose_endpoint();
    return;
  }
  begin_collecting();
  // A body of no bytes may have ended meanwhile.
  request_complete_ ? end_collecting(http::no_trailers()) : client_->resume_request_body();
}

void Exchange::add_guarded_host(std::vector<std::string_view>& hosts) const {
  const bool guarded = state_ != State::Idle && route_ != nullptr && route_->client;
  if (guarded) hosts.push_back(host_->config.host);
}

// False: answered.
bool Exchange::admit_address() {
  const auto& rules = host_->rules[route_index_].sources;
  const auto denied = rules ? deny_by_address(*rules, facts_.address) : std::nullopt;
  if (!denied) return true;
  answer(denied->reason, denied->detail, denied->status);
  return false;
}

// By its certificate. False: answered.
bool Exchange::admit_client() {
  const auto denied = deny_client(*snapshot_, *host_, *route_, facts_, context_.loop.unix_now());
  if (!denied) return true;
  const bool explained = denied->status == 400 && !route_->client->error_page.empty();
  if (!explained) {
    answer(denied->reason, denied->detail, denied->status);
    return false;
  }
  reason_ = denied->reason;
  detail_ = denied->detail;
  answer_status(302, "Location: " + route_->client->error_page + "\r\n");
  return false;
}

// False: answered.
bool Exchange::admit_body() {
  std::uint64_t most = route_->max_body_bytes;
  // What is buffered has an end even where bodies have none.
  if (most == 0 && route_->request_buffering) most = route_->max_temp_bytes;
  if (most == 0 || std::max(head.content_length, request_bytes_) <= most) return true;
  detail_ = "the request body is larger than proxy-body-size";
  answer_status(413, {});
  return false;
}

// An upgrade that isn't passed on is as if it weren't asked for (RFC 9110 section 7.8). "h2c" and
// TLS would hide requests from us in the tunnel.
void Exchange::admit_upgrade() {
  const auto is = [this](std::string_view prefix) {
    return head.upgrade.size() >= prefix.size() &&
           ::strncasecmp(head.upgrade.data(), prefix.data(), prefix.size()) == 0;
  };
  if (route_->http2 == config::Http2::Require || is("h2c") || is("HTTP/") || is("TLS")) {
    head.upgrade = {};
  }
}

bool Exchange::redirect_to_https() {
  if (path_.starts_with(kAcmePrefix)) return false;
  const bool told = facts_.believed && !origin_.host.empty();
  const auto authority = told ? http::parse_authority(origin_.host) : std::nullopt;
  const std::string_view host = authority ? authority->host : head.host;
  if (host.empty()) {
    answer_status(400, {});
    return true;
  }
  std::string_view target = head.target == "*" ? std::string_view() : head.target;
  if (target.ends_with('/'))
    target.remove_suffix(1);  // as ingress-nginx without preserve-trailing-slash
  std::string location = "Location: https://";
  location.append(host);
  if (context_.limits.public_https_port != 443) {
    location.append(":").append(std::to_string(context_.limits.public_https_port));
  }
  location.append(target).append("\r\n");
  answer_status(308, location);
  return true;
}

}  // namespace handfast::session
