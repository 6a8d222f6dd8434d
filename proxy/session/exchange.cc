#include "proxy/session/exchange.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/http/forwarding.h"
#include "proxy/http/path.h"

namespace handfast::session {
namespace {

// RFC 9110 section 9.2.2.
bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE" ||
         method == "PUT" || method == "DELETE";
}

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

void RequestIds::next(char* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  for (int half = 0; half < 2; ++half) {
    // xorshift128+: fast, and unique enough for a correlation id.
    std::uint64_t x = a_;
    const std::uint64_t y = b_;
    a_ = y;
    x ^= x << 23;
    b_ = x ^ y ^ (x >> 17) ^ (y >> 26);
    std::uint64_t value = b_ + y;
    for (int i = 0; i < 16; ++i, value >>= 4) *out++ = kHex[value & 15];
  }
}

Context::Context(event::Loop& its_loop, BufferPool& its_buffers, SnapshotHolder& its_snapshots,
                 upstream::Pool& its_pool, upstream::Balancer& its_balancer,
                 upstream::Resolver& its_resolver, ExchangeObserver& its_observer,
                 RequestIds& its_request_ids, const Limits& its_limits)
    : loop(its_loop),
      buffers(its_buffers),
      snapshots(its_snapshots),
      pool(its_pool),
      balancer(its_balancer),
      resolver(its_resolver),
      observer(its_observer),
      request_ids(its_request_ids),
      limits(its_limits) {}
Context::~Context() = default;

Exchange::~Exchange() { drop_connection(); }

void Exchange::start(ClientSide& client, const ClientFacts& facts) {
  check(state_ == State::Idle);
  client_ = &client;
  facts_ = facts;
  snapshot_ = context_.snapshots.pin();
  host_ = nullptr;
  route_ = nullptr;
  tried_.clear();
  ++serial_;
  tries_ = 0;
  request_complete_ = request_sent_ = request_body_sent_ = head_sent_ = fresh_ = false;
  context_.request_ids.next(request_id_.data());
  started_ = context_.loop.clock().now();
  unix_milliseconds_ = std::chrono::duration_cast<std::chrono::milliseconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
  status_ = upstream_status_ = 0;
  request_bytes_ = response_bytes_ = 0;
  reason_ = Reason::Ok;
  detail_.clear();
  upstream_address_.clear();
  upstream_reused_ = false;
  upstream_tls_ = {};
  presented_ = nullptr;
  state_ = State::Connecting;
  route();
}

void Exchange::route() {
  const auto path = http::normalise_path(head.path, path_scratch_);
  if (!path && head.path != "*") {
    answer_status(400, {});
    return;
  }
  host_ = snapshot_->find_host(lower_host(head.host, host_scratch_));
  route_index_ =
      host_ == nullptr ? route::RouteTable::kNone : host_->table.find(path.value_or("/"));
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
  if (!facts_.tls && route_->ssl_redirect && redirect_to_https(path.value_or("/"))) return;
  choose_endpoint();
}

bool Exchange::redirect_to_https(std::string_view path) {
  if (path.starts_with(kAcmePrefix)) return false;
  if (head.host.empty()) {
    answer_status(400, {});
    return true;
  }
  std::string_view target = head.target == "*" ? std::string_view() : head.target;
  if (target.ends_with('/'))
    target.remove_suffix(1);  // as ingress-nginx without preserve-trailing-slash
  std::string location = "Location: https://";
  location.append(head.host);
  if (context_.limits.public_https_port != 443) {
    location.append(":").append(std::to_string(context_.limits.public_https_port));
  }
  location.append(target).append("\r\n");
  answer_status(308, location);
  return true;
}

// The Service is looked up in the newest snapshot: endpoints that went away while the exchange
// tried others aren't tried.
void Exchange::choose_endpoint() {
  const route::ServiceEntry* service = context_.snapshots.current().find_service(route_->service);
  if (service == nullptr) service = snapshot_->find_service(route_->service);
  if (service == nullptr) {
    answer(Reason::ServiceMissing, "the Service isn't part of this generation", 503);
    return;
  }
  if (service->config.refused) {
    const config::Refusal& refused = *service->config.refused;
    answer(refused.reason, refused.detail, refusal_status(refused.reason));
    return;
  }
  if (service->config.external_name && !service->config.endpoints.empty()) {
    await_name(service->config.endpoints.front());
    return;
  }
  use_addresses(service->addresses);
}

void Exchange::await_name(const config::Endpoint& endpoint) {
  if (const auto literal = net::Address::from_ip(endpoint.address, endpoint.port); literal) {
    // An ExternalName that is an address is nobody's endpoint list: the same rule as for names.
    use_addresses(literal->is_local_only() ? std::vector<net::Address>{} : std::vector{*literal});
    return;
  }
  // The answer may come when this object serves another request, or is no more.
  const upstream::Addresses addresses =
      context_.resolver.lookup(endpoint.address, endpoint.port,
                               [loop = &context_.loop, self = std::weak_ptr(self_),
                                serial = serial_](upstream::Addresses found) {
                                 loop->post([self, serial, found = std::move(found)] {
                                   const auto alive = self.lock();
                                   if (alive != nullptr && (*alive)->serial_ == serial)
                                     (*alive)->use_addresses(*found);
                                 });
                               });
  if (addresses != nullptr) use_addresses(*addresses);
}

void Exchange::use_addresses(const std::vector<net::Address>& addresses) {
  const net::Address* chosen = context_.balancer.pick(route_->service, addresses, tried_);
  if (chosen == nullptr) {
    if (reason_ != Reason::Ok) {
      answer(reason_, std::string(detail_),
             http_status(reason_));  // every endpoint failed: the last word
    } else {
      answer(Reason::NoEndpoints, "the Service has no endpoint that is ready", 503);
    }
    return;
  }
  try_endpoint(*chosen);
}

// The policy as it stands now. False: answered.
bool Exchange::policy_for_now(std::shared_ptr<const tls::UpstreamPolicy>& policy) {
  if (!config::is_tls(route_->protocol)) return true;
  policy = context_.snapshots.current().find_policy(route_->upstream_tls);
  // Its Ingress went away or changed its protocol meanwhile: the exchange ends as it began.
  if (policy == nullptr) policy = snapshot_->find_policy(route_->upstream_tls);
  if (policy == nullptr) {
    answer(Reason::Internal, "the route's TLS policy isn't part of its generation", 503);
    return false;
  }
  if (const Status usable = policy->usable(context_.loop.unix_now()); !usable) {
    answer(usable.error().reason, usable.error().detail, refusal_status(usable.error().reason));
    return false;
  }
  return true;
}

void Exchange::try_endpoint(const net::Address& address) {
  std::shared_ptr<const tls::UpstreamPolicy> policy;
  if (!policy_for_now(policy)) return;
  const net::Address target = address;  // may point into a list that goes away
  ++tries_;
  upstream_address_ = target.to_string();
  if (!fresh_) connection_ = context_.pool.take(target, policy.get(), *this);
  if (connection_ != nullptr) {
    upstream_reused_ = true;
    send_request();
    return;
  }
  upstream_reused_ = false;
  connection_ = context_.pool.connect(target, route_->service, std::move(policy), *this);
}

void Exchange::on_upstream_ready() {
  std::shared_ptr<const tls::UpstreamPolicy> policy;
  if (!policy_for_now(policy)) return;  // refused meanwhile: answer() has dropped the connection
  const auto& made_under = connection_->policy();
  if (policy != nullptr && (policy->key != made_under->key || policy->epoch != made_under->epoch)) {
    const net::Address address = connection_->address();
    drop_connection();
    --tries_;  // not the endpoint's fault
    try_endpoint(address);
    return;
  }
  send_request();
}

void Exchange::send_request() {
  state_ = State::Streaming;
  request_sent_ = true;
  note_connection();
  connection_->begin(head.method);
  std::string& scratch = context_.scratch;
  scratch.clear();
  const http::ForwardContext forward{.client_address = facts_.address,
                                     .scheme = facts_.tls ? "https" : "http",
                                     .public_port = facts_.tls ? context_.limits.public_https_port
                                                               : context_.limits.public_http_port,
                                     .request_id = {request_id_.data(), request_id_.size()}};
  http::append_request_head(scratch, head, forward);
  connection_->send(scratch);
  client_->resume_request_body();
}

void Exchange::note_connection() {
  upstream_tls_ = connection_->tls_facts();
  presented_ = connection_->policy() == nullptr ? nullptr : connection_->policy()->identity;
}

bool Exchange::wants_request_body() const {
  return state_ == State::Streaming && connection_ != nullptr && connection_->has_room();
}

void Exchange::on_request_body(std::string_view payload) {
  request_bytes_ += payload.size();
  if (connection_ == nullptr || payload.empty()) return;
  request_body_sent_ = true;
  if (head.framing == http::Framing::Chunked) {
    std::string& scratch = context_.scratch;
    scratch.clear();
    http::append_chunk(scratch, payload);
    connection_->send(scratch);
  } else {
    connection_->send(payload);
  }
}

void Exchange::on_request_end() {
  request_complete_ = true;
  if (connection_ == nullptr || head.framing != http::Framing::Chunked) return;
  std::string& scratch = context_.scratch;
  scratch.clear();
  http::append_last_chunk(scratch);
  request_body_sent_ = true;
  connection_->send(scratch);
}

void Exchange::on_client_room() {
  if (connection_ != nullptr && state_ == State::Streaming) connection_->resume();
}

void Exchange::on_upstream_drained() { client_->resume_request_body(); }

bool Exchange::wants_upstream_body() const { return client_->has_room(); }

void Exchange::on_upstream_head(const http::ResponseHead& response) {
  if (response.status < 200) {
    client_->send_informational(response);
    return;
  }
  reason_ = Reason::Ok;
  detail_.clear();
  status_ = upstream_status_ = response.status;
  head_sent_ = true;
  client_->send_head(response);
}

void Exchange::on_upstream_body(std::string_view payload) {
  response_bytes_ += payload.size();
  client_->send_body(payload);
}

void Exchange::on_upstream_end() {
  upstream::Connection* connection = std::exchange(connection_, nullptr);
  if (request_complete_) {
    context_.pool.release(*connection);
  } else {
    context_.pool.abandon(*connection);  // it still waits for a body that won't come
  }
  finish(/*cut=*/false);
}

// What may be sent again: only what can't have had an effect, or may have it twice.
bool Exchange::may_retry(const Error& error) const {
  if (head_sent_ || request_body_sent_ || tries_ >= context_.limits.upstream_tries) return false;
  if (!request_sent_) return true;
  if (error.reason == Reason::ResponseTimeout) return false;
  // A kept-alive connection that the backend closed just now, most likely (RFC 9112 section 9.3.1).
  return upstream_reused_ && is_idempotent(head.method) && head.framing == http::Framing::None;
}

void Exchange::on_upstream_failed(const Error& error) {
  const net::Address address = connection_->address();
  note_connection();
  connection_ = nullptr;  // it has closed itself
  reason_ = error.reason;
  detail_ = error.detail;
  if (head_sent_) {
    finish(/*cut=*/true);
    return;
  }
  if (may_retry(error)) {
    const bool stale = request_sent_;
    request_sent_ = false;
    state_ = State::Connecting;
    // Other connections that were kept alive are most likely as stale as this one.
    if (stale) {
      fresh_ = true;
    } else {
      tried_.push_back(address);
    }
    choose_endpoint();
    return;
  }
  answer(reason_, std::string(detail_), http_status(reason_));
}

void Exchange::answer(Reason reason, std::string_view detail, int status) {
  reason_ = reason;
  detail_ = detail;
  answer_status(status, {});
}

void Exchange::answer_status(int status, std::string_view extra) {
  drop_connection();
  status_ = status;
  head_sent_ = true;
  client_->send_own_response(status, extra);
  finish(/*cut=*/false);
}

void Exchange::drop_connection() {
  if (upstream::Connection* connection = std::exchange(connection_, nullptr);
      connection != nullptr) {
    context_.pool.abandon(*connection);
  }
}

void Exchange::abort() {
  if (state_ == State::Idle) return;
  drop_connection();
  if (status_ == 0) status_ = 499;  // nginx's "client closed request"
  report(/*cut=*/head_sent_);
  state_ = State::Idle;
  ++serial_;
  snapshot_.reset();
}

void Exchange::finish(bool cut) {
  drop_connection();
  report(cut);
  state_ = State::Idle;
  ++serial_;
  snapshot_.reset();
  ClientSide* client = std::exchange(client_, nullptr);
  cut ? client->on_exchange_cut() : client->on_exchange_done();
}

void Exchange::report(bool cut) {
  const auto value_of = [this](http::HeaderId id) {
    const http::Header* header = head.headers.find(id);
    return header == nullptr ? std::string_view() : header->value;
  };
  ExchangeRecord record;
  record.unix_milliseconds = unix_milliseconds_;
  record.duration =
      std::chrono::duration_cast<std::chrono::microseconds>(context_.loop.clock().now() - started_);
  record.client_address = facts_.address;
  record.scheme = facts_.tls ? "https" : "http";
  record.method = head.method;
  record.host = head.host;
  record.target = head.target;
  record.minor_version = head.minor_version;
  record.user_agent = value_of(http::HeaderId::UserAgent);
  record.referer = value_of(http::HeaderId::Referer);
  record.request_id = {request_id_.data(), request_id_.size()};
  record.status = status_;
  record.request_body_bytes = request_bytes_;
  record.response_body_bytes = response_bytes_;
  record.response_cut = cut;
  record.route = route_;
  if (route_ != nullptr && route_index_ < host_->metrics_ids.size()) {
    record.metrics_id = host_->metrics_ids[route_index_];
  }
  record.downstream_tls_version = facts_.tls_version;
  record.downstream_tls_cipher = facts_.tls_cipher;
  record.server_name = facts_.server_name;
  record.upstream_address = upstream_address_;
  record.upstream_status = upstream_status_;
  record.upstream_tries = tries_;
  record.upstream_reused = upstream_reused_;
  record.upstream_tls_version = upstream_tls_.version;
  record.upstream_tls_cipher = upstream_tls_.cipher;
  record.upstream_peer_subject = upstream_tls_.peer_subject;
  record.upstream_peer_serial = upstream_tls_.peer_serial;
  record.upstream_certificate_requested = upstream_tls_.certificate_requested;
  if (presented_ != nullptr && upstream_tls_.certificate_requested) {
    record.upstream_client_subject = presented_->info().subject;
    record.upstream_client_serial = presented_->info().serial;
  }
  record.reason = reason_;
  record.detail = detail_;
  context_.observer.on_exchange(record);
}

}  // namespace handfast::session
