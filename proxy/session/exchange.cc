#include "proxy/session/exchange.h"

#include <strings.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/http/authority.h"
#include "proxy/http/chars.h"
#include "proxy/http/forwarding.h"
#include "proxy/http/path.h"
#include "proxy/upstream/hash_key.h"

namespace handfast::session {
namespace {

// RFC 9110 section 9.2.2; TRACE goes nowhere.
bool is_idempotent(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "PUT" ||
         method == "DELETE";
}

// ingress-nginx's no-tls-redirect-locations: certificates are issued over plain HTTP.
constexpr std::string_view kAcmePrefix = "/.well-known/acme-challenge";

constexpr std::size_t kMaxRequestId = 128;

std::string_view lower_host(std::string_view host, std::string& scratch) {
  if (!host.empty() && host.back() == '.') host.remove_suffix(1);
  const auto is_upper = [](unsigned char c) { return c >= 'A' && c <= 'Z'; };
  if (std::ranges::none_of(host, is_upper)) return host;
  scratch.assign(host);
  for (char& c : scratch) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return scratch;
}

// gRPC's own code for an answer of ours, or -1: the client doesn't speak it. (gRPC over HTTP/2,
// "Responses"; design: 12 where nothing is routed, 16 and 7 for client certificates.)
int grpc_status_for(const http::RequestHead& head, int status) {
  if (head.major_version != 2) return -1;
  std::string_view type;
  for (const http::Header& header : head.headers.items()) {
    if (header.name == "content-type") type = header.value;
  }
  constexpr std::string_view kGrpc = "application/grpc";
  if (!type.starts_with(kGrpc)) return -1;
  type.remove_prefix(kGrpc.size());
  if (!type.empty() && type.front() != '+' && type.front() != ';') return -1;  // grpc-web
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 413:
      return 8;
    default:
      return 14;
  }
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

void report_refusal(Context& context, const ClientFacts& facts, int major_version, int status,
                    std::string_view what) {
  ExchangeRecord record;
  record.unix_milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(
                                 std::chrono::system_clock::now().time_since_epoch())
                                 .count();
  record.client_address = facts.address;
  record.scheme = facts.tls ? "https" : "http";
  record.major_version = major_version;
  record.minor_version = major_version == 1 ? 1 : 0;
  record.downstream_tls_version = facts.tls_version;
  record.downstream_tls_cipher = facts.tls_cipher;
  record.server_name = facts.server_name;
  record.status = status;
  record.detail = what;
  context.observer.on_exchange(record);
}

Exchange::~Exchange() { drop_channel(); }

void Exchange::start(ClientSide& client, const ClientFacts& facts) {
  check(state_ == State::Idle);
  client_ = &client;
  facts_ = facts;
  learn_client();
  snapshot_ = context_.snapshots.pin();
  host_ = nullptr;
  route_ = nullptr;
  tried_.clear();
  ++serial_;
  tries_ = 0;
  request_complete_ = request_body_sent_ = head_sent_ = fresh_ = upstream_ended_ = false;
  request_end_sent_ = response_complete_ = false;
  choose_request_id();
  started_ = context_.loop.clock().now();
  unix_milliseconds_ = std::chrono::duration_cast<std::chrono::milliseconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
  status_ = upstream_status_ = 0;
  request_bytes_ = response_bytes_ = 0;
  reason_ = Reason::Ok;
  detail_.clear();
  upstream_address_ = {};
  upstream_reused_ = false;
  upstream_tls_ = {};
  presented_ = nullptr;
  state_ = State::Connecting;
  route();
}

// ingress-nginx passes the client's on, if there is one. Only one that can stand in a log.
void Exchange::choose_request_id() {
  request_id_ = {};
  std::size_t found = 0;
  for (const http::Header& header : head.headers.items()) {
    if (header.id != http::HeaderId::Protected) continue;
    if (!http::equal_ignore_case(header.name, "X-Request-ID")) continue;
    request_id_ = header.value;
    ++found;
  }
  const auto visible = [](unsigned char c) { return c > ' ' && c < 0x7f; };
  if (found == 1 && !request_id_.empty() && request_id_.size() <= kMaxRequestId &&
      std::ranges::all_of(request_id_, visible)) {
    return;
  }
  context_.request_ids.next(own_request_id_.data());
  request_id_ = {own_request_id_.data(), own_request_id_.size()};
}

// From the proxies in front of us, as far as they are believed.
void Exchange::learn_client() {
  https_ = facts_.tls || facts_.tls_in_front;
  if (!facts_.believed) return;
  const auto peer = net::Address::from_ip(facts_.address, 0);
  facts_.believed = peer.has_value();
  if (!peer) return;
  read_client_origin(head.headers, *peer, context_.limits.trust, origin_);
  facts_.address = origin_.address;
  if (!origin_.scheme.empty()) https_ = origin_.scheme == "https";
}

http::ForwardContext Exchange::forward_context() const {
  http::ForwardContext context{
      .client_address = facts_.address,
      .scheme = https_ ? "https" : "http",
      .public_port = https_ ? context_.limits.public_https_port : context_.limits.public_http_port,
      .request_id = request_id_};
  if (!facts_.believed) return context;
  if (origin_.port != 0) context.public_port = origin_.port;
  context.forwarded_for = origin_.forwarded_for;
  context.forwarded_host = origin_.host;
  context.original_forwarded_for = origin_.original_for;
  context.original_forwarded_host = origin_.original_host;
  return context;
}

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
  if (!admit_body()) return;
  admit_upgrade();
  if (route_->request_buffering && head.framing != http::Framing::None) {
    begin_collecting();
  } else {
    choose_endpoint();
  }
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

std::uint64_t Exchange::hash() const {
  if (route_->load_balance != config::LoadBalance::ConsistentHash) return upstream::kNoHash;
  return upstream::hash_key(host_->hash_by[route_index_], {.head = head,
                                                           .path = path_,
                                                           .server_name = host_->config.host,
                                                           .client = facts_.address,
                                                           .tls = facts_.tls});
}

void Exchange::use_addresses(const std::vector<net::Address>& addresses) {
  const upstream::Balancer::Choice choice =
      context_.balancer.pick({.service = route_->service,
                              .addresses = addresses,
                              .tried = tried_,
                              .algorithm = route_->load_balance,
                              .hash = hash()},
                             context_.loop.now());
  if (choice.address == nullptr) {
    if (reason_ != Reason::Ok) {
      answer(reason_, std::string(detail_),
             http_status(reason_));  // every endpoint failed: the last word
    } else {
      answer(Reason::NoEndpoints, "the Service has no endpoint that is ready", 503);
    }
    return;
  }
  attempt_ = context_.balancer.start(choice, context_.loop.now());
  try_endpoint(*choice.address);
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

upstream::Wire Exchange::wire() const {
  if (!head.upgrade.empty()) return upstream::Wire::Http1;
  switch (route_->http2) {
    case config::Http2::Off:
      return upstream::Wire::Http1;
    case config::Http2::Offer:
      return upstream::Wire::Either;
    case config::Http2::Require:
      return upstream::Wire::Http2;
  }
  return upstream::Wire::Http1;
}

void Exchange::try_endpoint(const net::Address& address) {
  upstream::Target target;
  if (!policy_for_now(target.policy)) return;
  target.address = address;
  target.wire = wire();
  target.connect_timeout = std::chrono::milliseconds(route_->connect_timeout_ms);
  ++tries_;
  upstream_address_ = target.address;
  tried_.push_back(target.address);
  upstream::Channel* const channel = fresh_ ? nullptr : context_.pool.take(target, *this);
  if (channel != nullptr) {
    send_request(*channel);
  } else {
    context_.pool.connect(target, route_->service, *this);
  }
}

void Exchange::on_upstream_ready(upstream::Channel& channel) {
  channel_ = &channel;
  std::shared_ptr<const tls::UpstreamPolicy> policy;
  if (!policy_for_now(policy)) return;  // refused meanwhile: answer() has dropped the channel
  const auto& made_under = channel.peer().policy;
  if (policy != nullptr && (policy->key != made_under->key || policy->epoch != made_under->epoch)) {
    const net::Address address = channel.peer().address;
    upstream::Balancer::Attempt attempt = std::move(attempt_);  // it goes on
    drop_channel();
    attempt_ = std::move(attempt);
    --tries_;  // not the endpoint's fault
    tried_.pop_back();
    try_endpoint(address);
    return;
  }
  send_request(channel);
}

void Exchange::send_request(upstream::Channel& channel) {
  channel_ = &channel;
  state_ = State::Streaming;
  upstream_reused_ = channel.reused();
  note_peer(channel.peer());
  const http::ForwardContext forward = forward_context();
  channel.begin({head, forward, std::chrono::milliseconds(route_->read_timeout_ms),
                 std::chrono::milliseconds(route_->send_timeout_ms)});
  if (request_spool_ == nullptr) {
    // A body of no bytes ended before there was anyone to tell.
    if (request_complete_ && head.framing != http::Framing::None) {
      channel.end_body(http::no_trailers());
    }
    client_->resume_request_body();
  } else {
    request_spool_->rewind();
    request_end_sent_ = false;
    send_spooled_request();
  }
}

void Exchange::note_peer(const upstream::PeerFacts& peer) {
  upstream_address_ = peer.address;
  upstream_tls_ = peer.tls;
  presented_ = peer.policy == nullptr ? nullptr : peer.policy->identity;
}

void Exchange::on_upstream_head(const http::ResponseHead& response) {
  upstream_status_ = response.status;
  const bool upgraded = response.status == 101;
  if (response.status < 200 && !upgraded) {
    client_->send_informational(response);
    return;
  }
  if (tries_another_for(response.status)) {
    attempt_.finish(upstream::Outcome::Failed, context_.loop.now());
    drop_channel();
    state_ = State::Connecting;
    choose_endpoint();
    return;
  }
  reason_ = Reason::Ok;
  detail_.clear();
  status_ = response.status;
  head_sent_ = true;
  if (upgraded) {
    state_ = State::Tunnel;
    request_complete_ = false;  // the client's direction of the tunnel
  }
  client_->send_head(response);
  if (upgraded) client_->resume_request_body();  // what came behind the request
}

// Whether the request could be sent once more, as far as the client and the route's limits go.
bool Exchange::may_try_again() const {
  const config::RetryPolicy& retry = route_->retry;
  if (head_sent_ || (request_body_sent_ && request_spool_ == nullptr)) return false;
  if (retry.tries > 0 && static_cast<std::uint32_t>(tries_) >= retry.tries) return false;
  return retry.timeout_ms == 0 ||
         context_.loop.clock().now() - started_ < std::chrono::milliseconds(retry.timeout_ms);
}

// A kept-alive connection that the backend closed just now, most likely (RFC 9112 section 9.3.1).
bool Exchange::is_stale(const upstream::Failure& failure) const {
  return state_ == State::Streaming && upstream_reused_ && !failure.malformed &&
         (!failure.stream_alone || failure.unprocessed) &&
         failure.error.reason == Reason::BadResponse;
}

// What may be sent again: only what can't have had an effect, or may have it twice.
bool Exchange::may_retry(const upstream::Failure& failure) const {
  const config::RetryPolicy& retry = route_->retry;
  if (!may_try_again()) return false;
  const Reason reason = failure.error.reason;
  const bool timeout = reason == Reason::ConnectTimeout || reason == Reason::HandshakeTimeout ||
                       reason == Reason::ResponseTimeout;
  const bool named = timeout             ? retry.timeout
                     : failure.malformed ? retry.invalid_header
                                         : retry.error;
  if (!named && !is_stale(failure)) return false;
  return failure.unprocessed || retry.non_idempotent || is_idempotent(head.method);
}

// proxy-next-upstream http_5xx: the answer of the last endpoint is passed on all the same.
bool Exchange::tries_another_for(int status) {
  const auto& statuses = route_->retry.statuses;
  if (statuses.empty() || std::ranges::find(statuses, status) == statuses.end()) return false;
  if (!may_try_again()) return false;
  if (!route_->retry.non_idempotent && !is_idempotent(head.method)) return false;
  const route::ServiceEntry* service = context_.snapshots.current().find_service(route_->service);
  return service != nullptr &&
         std::ranges::any_of(service->addresses, [this](const net::Address& address) {
           return std::ranges::find(tried_, address) == tried_.end();
         });
}

void Exchange::on_upstream_failed(const upstream::Failure& failure) {
  channel_ = nullptr;
  attempt_.finish(is_stale(failure) ? upstream::Outcome::Aborted : upstream::Outcome::Failed,
                  context_.loop.now());
  note_peer(*failure.peer);
  reason_ = failure.error.reason;
  detail_ = failure.error.detail;
  if (state_ == State::Tunnel) {
    finish(/*cut=*/true);
    return;
  }
  if (head_sent_) {
    finish(/*cut=*/true);
    return;
  }
  if (may_retry(failure)) {
    // Other connections that were kept alive are most likely as stale as this one; the endpoint
    // itself isn't to blame.
    if (is_stale(failure)) {
      fresh_ = true;
      tried_.pop_back();
    }
    state_ = State::Connecting;
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
  drop_channel();
  status_ = status;
  head_sent_ = true;
  client_->send_own_response({status, extra, grpc_status_for(head, status)});
  finish(/*cut=*/false);
}

void Exchange::drop_channel() {
  attempt_ = {};
  context_.pool.cancel(*this);
  if (upstream::Channel* channel = std::exchange(channel_, nullptr); channel != nullptr) {
    channel->abandon();
  }
}

void Exchange::abort(int status) {
  if (state_ == State::Idle) return;
  drop_channel();
  const bool tunnel = state_ == State::Tunnel;  // an end like any other
  if (status_ == 0) status_ = status;
  report(/*cut=*/head_sent_ && !tunnel);
  drop_spools();
  state_ = State::Idle;
  ++serial_;
  snapshot_.reset();
}

void Exchange::finish(bool cut, const http::HeaderList& trailers) {
  drop_channel();
  report(cut);
  drop_spools();
  state_ = State::Idle;
  ++serial_;
  snapshot_.reset();
  ClientSide* client = std::exchange(client_, nullptr);
  cut ? client->on_exchange_cut() : client->on_exchange_done(trailers);
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
  record.scheme = https_ ? "https" : "http";
  record.method = head.method;
  record.host = head.host;
  record.target = head.target;
  record.major_version = head.major_version;
  record.minor_version = head.minor_version;
  record.user_agent = value_of(http::HeaderId::UserAgent);
  record.referer = value_of(http::HeaderId::Referer);
  record.request_id = request_id_;
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
  std::array<char, net::Address::kMaxText> upstream_address;
  if (tries_ > 0) record.upstream_address = upstream_address_.write(upstream_address);
  record.upstream_status = upstream_status_;
  record.upstream_tries = tries_;
  record.upstream_reused = upstream_reused_;
  record.upstream_tls_version = upstream_tls_.version;
  record.upstream_tls_cipher = upstream_tls_.cipher;
  record.upstream_peer_subject = upstream_tls_.peer_subject;
  record.upstream_peer_serial = upstream_tls_.peer_serial;
  record.upstream_certificate_requested = upstream_tls_.certificate_requested;
  record.upstream_tls_resumed = upstream_tls_.resumed;
  if (presented_ != nullptr && upstream_tls_.certificate_requested) {
    record.upstream_client_subject = presented_->info().subject;
    record.upstream_client_serial = presented_->info().serial;
  }
  record.reason = reason_;
  record.detail = detail_;
  context_.observer.on_exchange(record);
}

}  // namespace handfast::session
