#include "proxy/session/authorization.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <utility>

#include "proxy/config/external_auth.h"
#include "proxy/http/chars.h"
#include "proxy/http/fields.h"
#include "proxy/http/trailers.h"

namespace handfast::session {
namespace {

using upstream::add_percent;
using upstream::PercentEncoder;
using upstream::RequestFacts;
using upstream::RequestValues;

// An auth server's page, which nobody gets; beyond it the connection is given up instead.
constexpr std::uint64_t kMostBody = 64 * 1024;
constexpr int kMostTries = 3;
// Of one text that variables are put into.
constexpr std::size_t kMostText = 32 * 1024;

// Of a key: what differs stays different.
struct KeySink {
  std::string& out;
  void add(std::string_view text) { out.append(text); }
  void add(char c) { out.push_back(c); }
};

// Of a field's value: what can't stand in one is percent-encoded.
struct ValueSink {
  std::string& out;
  void add(std::string_view text) {
    for (const char c : text) add(c);
  }
  void add(char c) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out.push_back(c);
    } else {
      add_percent(*this, c);
    }
  }
};

// Of a URL: the same for all that isn't visible ASCII, and for what no URL has.
struct UrlSink {
  std::string& out;
  void add(std::string_view text) {
    for (const char c : text) add(c);
  }
  void add(char c) {
    const bool visible = c > ' ' && c < 0x7f;
    if (visible && std::string_view("\"#<>\\^`{|}").find(c) == std::string_view::npos) {
      out.push_back(c);
    } else {
      add_percent(*this, c);
    }
  }
};

template <class Sink>
void append_parts(Sink& sink, const config::RequestExpression& expression,
                  const RequestFacts& facts) {
  RequestValues values(sink, facts);
  for (const config::RequestPart& part : expression.parts) values.add(part);
}

// In a URL, what a client says in a field or a cookie can't add an argument or an element; the
// target that it asked for, and parts of it, are escaped as they came.
bool is_escaped(const config::RequestPart& part) {
  switch (part.variable) {
    case config::RequestVariable::Field:
      return part.text != "host";
    case config::RequestVariable::Cookie:
    case config::RequestVariable::RemoteUser:
      return true;
    default:
      return false;
  }
}

std::string url_of(const config::RequestExpression& expression, const RequestFacts& facts) {
  std::string url;
  UrlSink sink{url};
  PercentEncoder encoder(sink);
  RequestValues plain(sink, facts);
  RequestValues escaped(encoder, facts);
  for (const config::RequestPart& part : expression.parts) {
    is_escaped(part) ? escaped.add(part) : plain.add(part);
  }
  return url;
}

std::string value_of(const config::RequestExpression& expression, const RequestFacts& facts) {
  std::string value;
  ValueSink sink{value};
  append_parts(sink, expression, facts);
  return value;
}

bool brings_nothing(std::string_view method) {
  return method != "POST" && method != "PUT" && method != "PATCH";
}

// For how many of `seconds` a Cache-Control lets an answer be kept.
std::uint32_t obey(std::string_view cache_control, std::uint32_t seconds) {
  while (const auto directive = http::take_list_element(cache_control)) {
    const std::size_t equals = std::min(directive->find('='), directive->size());
    const std::string_view name = directive->substr(0, equals);
    const auto is = [name](std::string_view word) { return http::equal_ignore_case(name, word); };
    if (is("no-store") || is("no-cache") || is("private")) return 0;
    if (!is("max-age") && !is("s-maxage")) continue;
    const std::string_view text = directive->substr(std::min(equals + 1, directive->size()));
    std::uint32_t most = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), most);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return 0;
    seconds = std::min(seconds, most);
  }
  return seconds;
}

// How long it may be kept: by the route's rules, and by what it says of itself.
std::uint32_t freshness_of(const http::ResponseHead& response, const config::ExternalAuth& auth) {
  const auto rule = std::ranges::find_if(auth.cache, [&](const config::AuthCacheRule& one) {
    return one.statuses.empty() ||
           std::ranges::find(one.statuses, response.status) != one.statuses.end();
  });
  if (rule == auth.cache.end() || !config::is_auth_verdict(response.status)) return 0;
  std::uint32_t seconds = rule->seconds;
  bool has_age = false;
  bool expires = false;
  for (const http::Header& field : response.headers.items()) {
    const auto is = [&field](std::string_view name) {
      return http::equal_ignore_case(field.name, name);
    };
    if (is("set-cookie") || is("x-accel-expires")) return 0;
    if (is("vary") && !http::equal_ignore_case(field.value, "accept-encoding")) return 0;
    if (is("cache-control")) {
      has_age = has_age || field.value.find("max") != std::string_view::npos;
      seconds = obey(field.value, seconds);
    }
    expires = expires || is("expires");
  }
  return expires && !has_age ? 0 : seconds;
}

// The statuses with which nginx's add_header adds a field.
bool is_plain_success(int status) {
  constexpr int kStatuses[] = {200, 201, 204, 206, 301, 302, 303, 304, 307, 308};
  return std::ranges::find(kStatuses, status) != std::end(kStatuses);
}

}  // namespace

std::string_view to_string(AuthResult result) {
  switch (result) {
    case AuthResult::Allowed:
      return "allowed";
    case AuthResult::Denied:
      return "denied";
    case AuthResult::Failed:
      break;
  }
  return "failed";
}

Authorization::Authorization(Context& context, AuthorizationUser& user)
    : context_(context),
      user_(user),
      attempts_(context, *this),
      timer_(context.loop.timers(), [this] { time_out(); }) {}

Authorization::~Authorization() { cancel(); }

void Authorization::ask(const AuthQuestion& question) {
  asked_.emplace(question);
  result_ = AuthResult::Failed;
  denial_ = 503;
  reason_ = last_ = Reason::Ok;
  detail_.clear();
  last_detail_.clear();
  answer_ = {};
  cached_ = answered_ = false;
  fields_.clear();
  key_.clear();
  body_ = freshness_ = 0;

  const config::Route& route = asked_->route;
  const config::ExternalAuth& auth = *route.auth;
  attempts_.begin({.service = &auth.service,
                   .upstream_tls = auth.upstream_tls.empty() ? nullptr : &auth.upstream_tls,
                   .wire = upstream::wire_of(auth.http2),
                   .connect_timeout = std::chrono::milliseconds(route.connect_timeout_ms),
                   .pinned = &asked_->pinned});
  if (use_kept()) return;
  compose();
  const bool fits =
      std::ranges::all_of(texts_, [](const std::string& text) { return text.size() <= kMostText; });
  if (!fits) {
    fail(Reason::InvalidValue, "what the auth server is to be asked is too long", 503);
    return;
  }
  began_ = context_.loop.now();
  timer_.set(began_ + std::chrono::milliseconds(route.read_timeout_ms));
  attempts_.next();
}

// Later: what it leads to may end this object, and a timer must not end from within itself.
void Authorization::time_out() {
  context_.loop.post([self = std::weak_ptr(self_), serial = serial_] {
    const auto alive = self.lock();
    if (alive == nullptr || (*alive)->serial_ != serial) return;
    (*alive)->fail(Reason::ResponseTimeout, "the auth server didn't answer in time",
                   http_status(Reason::ResponseTimeout));
  });
}

// True: told. Under a trust that was replaced, or is gone, nothing that was kept counts.
bool Authorization::use_kept() {
  if (asked_->rules.cache_key.parts.empty()) return false;
  // The key would tell of fields that the server isn't asked with: a yes without them isn't one to
  // a request that has them.
  if (http::takes_fields_out(asked_->facts.head.headers)) return false;
  std::shared_ptr<const tls::UpstreamPolicy> policy;
  if (const auto refused = attempts_.find_policy(policy)) {
    fail(refused->reason, refused->detail, refused->status);
    return true;
  }
  std::string text = asked_->rules.fingerprint;
  if (policy != nullptr) text.append(policy->key).append("/").append(policy->epoch);
  // Whatever the route's key says: no variable tells of the client's certificate.
  const http::ClientCertificateFields& client = asked_->forward.client_certificate;
  for (const std::string_view field :
       {client.verify, client.subject, client.issuer, client.certificate, client.forwarded}) {
    text.append(std::to_string(field.size())).append(":").append(field);
  }
  text.append("\n");
  KeySink sink{text};
  append_parts(sink, asked_->rules.cache_key, asked_->facts);
  key_ = config::sha256_hex(text);
  const AuthAnswer* kept = context_.auth_cache.find(key_, context_.loop.now());
  if (kept == nullptr) return false;
  answer_ = *kept;
  cached_ = true;
  settle();
  return true;
}

void Authorization::add(std::string_view name, std::string_view value) {
  if (!value.empty()) added_.push_back({name, value, http::HeaderId::Protected});
}

// As nginx's auth_request asks, with ingress-nginx's fields.
void Authorization::compose() {
  const config::ExternalAuth& auth = *asked_->route.auth;
  const route::AuthRules& rules = asked_->rules;
  const http::RequestHead& of = asked_->facts.head;
  texts_.clear();
  added_.clear();

  head_.method = auth.method.empty() ? std::string_view("GET") : auth.method;
  head_.target = texts_.emplace_back(url_of(rules.target, asked_->facts));
  const std::size_t query = std::min(head_.target.find('?'), head_.target.size());
  head_.path = head_.target.substr(0, query);
  head_.query = head_.target.substr(std::min(query + 1, head_.target.size()));
  head_.authority = head_.host = auth.authority;
  head_.headers = of.headers;
  head_.framing = brings_nothing(head_.method) ? http::Framing::None : http::Framing::Length;
  head_.content_length = 0;

  std::string& url = texts_.emplace_back(asked_->facts.https ? "https://" : "http://");
  url.append(of.authority).append(of.target);
  add("X-Original-URL", url);
  add("X-Original-Method", of.method);
  add("X-Original-URI", of.target);
  add("X-Sent-From", "nginx-ingress-controller");
  add("X-Auth-Request-Redirect",
      rules.request_redirect.parts.empty()
          ? of.target
          : std::string_view(texts_.emplace_back(value_of(rules.request_redirect, asked_->facts))));
  for (const auto& [name, value] : rules.set_headers) {
    add(name, texts_.emplace_back(value_of(value, asked_->facts)));
  }
  http::ForwardContext& forward = asked_->forward;
  if (forward.forwarded_host.empty()) forward.forwarded_host = of.authority;
  // The one text that a change of trust may replace while this waits for a connection.
  std::string_view& verify = forward.client_certificate.verify;
  verify = texts_.emplace_back(verify);
  forward.withheld = rules.withheld;
  forward.added = added_;
}

PolicyToday Authorization::find_policy_today(const route::Snapshot& newest) const {
  const config::Route& began = asked_->route;
  const config::Route* const now =
      newest.find_successor(asked_->facts.server_name, asked_->facts.path, began);
  if (now == nullptr || !now->auth || now->auth->service != began.auth->service) return {};
  return {&now->auth->upstream_tls, now->refused ? &*now->refused : nullptr};
}

void Authorization::on_way(upstream::Channel& channel) {
  channel_ = &channel;
  const config::Route& route = asked_->route;
  channel.begin({head_, asked_->forward, std::chrono::milliseconds(route.read_timeout_ms),
                 std::chrono::milliseconds(route.send_timeout_ms)});
  if (channel_ != nullptr && head_.framing != http::Framing::None) {
    channel_->end_body(http::no_trailers());
  }
}

void Authorization::on_no_way(const NoWay& why) {
  if (why.exhausted && last_ != Reason::Ok) {
    fail(last_, last_detail_, http_status(last_));
    return;
  }
  if (why.crowded) context_.observer.on_request_refused(RefusedRequest::EndpointConnections);
  fail(why.reason, why.detail, why.status);
}

void Authorization::on_upstream_head(const http::ResponseHead& response) {
  if (response.status < 200) return;
  answered_ = true;
  take(response);
  if (response.framing != http::Framing::Length || response.content_length <= kMostBody) return;
  drop_channel();
  settle();
}

void Authorization::take(const http::ResponseHead& response) {
  const config::ExternalAuth& auth = *asked_->route.auth;
  answer_.status = response.status;
  answer_.values.resize(auth.response_headers.size());
  for (const http::Header& field : response.headers.items()) {
    for (std::size_t i = 0; i < auth.response_headers.size(); ++i) {
      if (!http::equal_ignore_case(field.name, auth.response_headers[i])) continue;
      std::string& value = answer_.values[i];
      if (!value.empty()) value.append(", ");
      value.append(field.value);
    }
    if (http::equal_ignore_case(field.name, "www-authenticate")) {
      answer_.challenges.emplace_back(field.value);
    } else if (http::equal_ignore_case(field.name, "set-cookie")) {
      answer_.cookies.emplace_back(field.value);
    }
  }
  freshness_ = key_.empty() ? 0 : freshness_of(response, auth);
}

void Authorization::on_upstream_body(std::string_view payload) {
  body_ += payload.size();
  if (body_ <= kMostBody) return;
  drop_channel();
  settle();
}

void Authorization::on_upstream_end(const http::HeaderList& /*trailers*/) {
  attempts_.finish(upstream::Outcome::Ok);
  std::exchange(channel_, nullptr)->release();
  settle();
}

void Authorization::on_upstream_failed(const upstream::Failure& failure) {
  channel_ = nullptr;
  if (failure.crowded) {
    attempts_.leave();
    return;
  }
  const bool for_nothing = attempts_.costs_nothing(failure);
  attempts_.finish(for_nothing ? upstream::Outcome::Aborted : upstream::Outcome::Failed);
  last_ = failure.error.reason;
  last_detail_ = failure.error.detail;
  const bool harmless = failure.unprocessed || brings_nothing(head_.method);
  if (!answered_ && harmless && (for_nothing || attempts_.counted() < kMostTries)) {
    if (for_nothing) attempts_.forgive(failure);
    attempts_.next();
    return;
  }
  fail(last_, last_detail_, http_status(last_));
}

void Authorization::drop_channel() {
  attempts_.cancel();
  if (upstream::Channel* channel = std::exchange(channel_, nullptr); channel != nullptr) {
    channel->abandon();
  }
}

void Authorization::cancel() {
  ++serial_;
  timer_.cancel();
  drop_channel();
}

void Authorization::settle() {
  ++serial_;
  timer_.cancel();
  const int status = answer_.status;
  if (!config::is_auth_verdict(status)) {
    // nginx's auth_request answers 500 for what it doesn't expect.
    fail(Reason::BadResponse, "the auth server answered " + std::to_string(status), 500);
    return;
  }
  if (freshness_ > 0) {
    context_.auth_cache.put(key_, answer_, context_.loop.now() + std::chrono::seconds(freshness_));
  }
  if (status >= 300) {
    denial_ = status;
    tell(AuthResult::Denied);
    return;
  }
  const auto& names = asked_->route.auth->response_headers;
  for (std::size_t i = 0; i < answer_.values.size(); ++i) {
    if (answer_.values[i].empty()) continue;
    fields_.push_back({names[i], answer_.values[i], http::HeaderId::Protected});
  }
  tell(AuthResult::Allowed);
}

void Authorization::fail(Reason reason, std::string_view detail, int status) {
  std::string text = "auth: ";
  text.append(detail);
  detail_ = std::move(text);
  reason_ = reason;
  denial_ = status;
  cancel();
  tell(AuthResult::Failed);
}

void Authorization::tell(AuthResult result) {
  result_ = result;
  AuthOutcome outcome;
  outcome.result = result;
  outcome.reason = reason_;
  outcome.cached = cached_;
  if (attempts_.tries() > 0) outcome.took = context_.loop.now() - began_;
  context_.observer.on_authorization(outcome);
  user_.on_authorized();
}

bool Authorization::gives_cookies(int status) const {
  return !answer_.cookies.empty() &&
         (asked_->route.auth->always_set_cookie || is_plain_success(status));
}

std::string Authorization::signin() const { return url_of(asked_->rules.signin, asked_->facts); }

std::string_view Authorization::address(std::array<char, net::Address::kMaxText>& text) const {
  if (attempts_.tries() == 0) return {};
  return attempts_.address().write(text);
}

}  // namespace handfast::session
