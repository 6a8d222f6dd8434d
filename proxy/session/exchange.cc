#include "proxy/session/exchange.h"

#include <algorithm>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/http/chars.h"
#include "proxy/http/forwarding.h"
#include "proxy/http/grpc.h"
#include "proxy/tls/client_certificate.h"

namespace handfast::session {
namespace {

constexpr std::size_t kMaxRequestId = 128;

bool is_about_client_certificate(Reason reason) {
  return reason == Reason::NoClientCertificate || reason == Reason::BadClientCertificate ||
         reason == Reason::Misdirected;
}

std::int64_t wall_milliseconds() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void note_client(ExchangeRecord& record, const ClientFacts& facts) {
  record.client_address = facts.address;
  record.downstream_tls_version = facts.tls_version;
  record.downstream_tls_cipher = facts.tls_cipher;
  record.server_name = facts.server_name;
  if (facts.certificate == nullptr) return;
  record.client_verify = facts.certificate->verify_text();
  record.client_subject = facts.certificate->subject();
  record.client_issuer = facts.certificate->issuer();
  record.client_serial = facts.certificate->serial();
}

}  // namespace

OwnResponse own_response(const http::RequestHead& head, int status, std::string_view extra) {
  return {status, extra, http::is_grpc(head) ? http::grpc_status_of(status) : -1};
}

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
  record.unix_milliseconds = wall_milliseconds();
  note_client(record, facts);
  record.scheme = facts.tls ? "https" : "http";
  record.major_version = major_version;
  record.minor_version = major_version == 1 ? 1 : 0;
  record.status = status;
  record.detail = what;
  context.observer.on_exchange(record);
}

void report_refused_client(Context& context, const ClientFacts& facts, std::uint16_t tcp_port,
                           const ClientDenial& denial) {
  ExchangeRecord record;
  record.unix_milliseconds = wall_milliseconds();
  note_client(record, facts);
  record.scheme = "tls";
  record.host = facts.server_name;
  record.relay = true;
  record.tcp_port = tcp_port;
  record.status = denial.status;
  record.reason = denial.reason;
  record.detail = denial.detail;
  context.observer.on_exchange(record);
}

Exchange::~Exchange() {
  drop_channel();
  if (state_ != State::Idle) --context_.exchanges;
}

void Exchange::start(ClientSide& client, const ClientFacts& facts) {
  begin(client, facts);
  choose_request_id();
  if (admit_exchange()) route();
}

void Exchange::start_relay(ClientSide& client, const ClientFacts& facts, const RelayTarget& to) {
  begin(client, facts);
  relay_ = true;
  context_.request_ids.next(own_request_id_.data());
  request_id_ = {own_request_id_.data(), own_request_id_.size()};
  const route::TcpEntry* port = nullptr;
  if (to.tcp_port != 0) {
    port = snapshot_->find_tcp(to.tcp_port);
    if (port != nullptr) route_ = &port->route;
    if (port != nullptr && port->config.route.send_proxy_header) {
      prelude_ = net::write_proxy_header(to.endpoints);
    }
    tcp_port_ = to.tcp_port;
  } else {
    host_ = snapshot_->find_passthrough(to.server_name);
    if (host_ != nullptr) route_ = &*host_->passthrough;
  }
  if (!admit_exchange()) return;
  if (route_ == nullptr) {
    answer(Reason::NoRoute, "the route is gone", 404);
  } else if (route_->refused) {
    answer(route_->refused->reason, route_->refused->detail,
           refusal_status(route_->refused->reason));
  } else if (const auto denied = port == nullptr
                                     ? std::nullopt
                                     : deny_client(*port, facts_, context_.loop.unix_now())) {
    answer(denied->reason, denied->detail, denied->status);
  } else {
    choose_endpoint();
  }
}

void Exchange::begin(ClientSide& client, const ClientFacts& facts) {
  check(state_ == State::Idle);
  client_ = &client;
  facts_ = facts;
  learn_client();
  snapshot_ = context_.snapshots.pin();
  host_ = nullptr;
  route_ = nullptr;
  attempts_.begin({});
  asked_ = request_complete_ = request_body_sent_ = head_sent_ = upstream_ended_ = false;
  request_end_sent_ = response_complete_ = false;
  started_ = context_.loop.clock().now();
  upstream_times_ = {};
  unix_milliseconds_ = wall_milliseconds();
  status_ = upstream_status_ = 0;
  request_bytes_ = response_bytes_ = 0;
  reason_ = Reason::Ok;
  detail_.clear();
  upstream_reused_ = cancelled_ = false;
  upstream_tls_ = {};
  presented_ = nullptr;
  state_ = State::Connecting;
}

// False: answered.
bool Exchange::admit_exchange() {
  if (++context_.exchanges <= context_.limits.worker_requests) return true;
  context_.observer.on_request_refused(RefusedRequest::WorkerRequests);
  detail_ = "the worker has as many requests as it may (--max-worker-requests)";
  answer_status(503, {});
  return false;
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
  context.client_certificate = certificate_fields(*route_, facts_);
  if (asked_) {
    context.withheld = route_->auth->response_headers;
    context.added = authorization_->fields();
  }
  if (!facts_.believed) return context;
  if (origin_.port != 0) context.public_port = origin_.port;
  context.forwarded_for = origin_.forwarded_for;
  context.forwarded_host = origin_.host;
  context.original_forwarded_for = origin_.original_for;
  context.original_forwarded_host = origin_.original_host;
  return context;
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
  OwnResponse response = own_response(head, status, extra);
  response.strict_transport = strict_transport();
  if (response.grpc_status >= 0) response.grpc_status = grpc_status(response.grpc_status);
  client_->send_own_response(response);
  finish(/*cut=*/false);
}

// As ingress-nginx: over TLS that ends here, whoever else may have ended some before.
std::string_view Exchange::strict_transport() const {
  return facts_.tls ? std::string_view(snapshot_->strict_transport) : std::string_view();
}

// What the client is told where its own code says more than the status does. A backend whose time
// is up cancels the call, most likely before the client's own clock says so.
int Exchange::grpc_status(int by_status) const {
  if (is_about_client_certificate(reason_)) return http::kGrpcUnauthenticated;
  const auto timeout = http::grpc_timeout(head);
  if (timeout && context_.loop.clock().now() - started_ >= *timeout) {
    return http::kGrpcDeadlineExceeded;
  }
  return cancelled_ ? http::kGrpcCancelled : by_status;
}

void Exchange::drop_channel() {
  if (asked_) authorization_->cancel();
  attempts_.cancel();
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
  go_idle();
}

void Exchange::go_idle() {
  drop_spools();
  state_ = State::Idle;
  --context_.exchanges;
  snapshot_.reset();
}

void Exchange::finish(bool cut, const http::HeaderList& trailers) {
  drop_channel();
  report(cut);
  go_idle();
  ClientSide* client = std::exchange(client_, nullptr);
  cut ? client->on_exchange_cut(cancelled_) : client->on_exchange_done(trailers);
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
  note_client(record, facts_);
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
  record.relay = relay_;
  record.tcp_port = tcp_port_;
  if (relay_) {
    record.scheme = tcp_port_ == 0 ? "passthrough" : facts_.tls ? "tls" : "tcp";
    record.host = facts_.server_name;
  } else if (route_ != nullptr && route_index_ < host_->rules.size()) {
    record.metrics_id = host_->rules[route_index_].metrics_id;
  }
  std::array<char, net::Address::kMaxText> upstream_address;
  if (attempts_.tries() > 0) record.upstream_address = attempts_.address().write(upstream_address);
  const auto upstream_time = [this](Monotonic until) {
    if (until == Monotonic{}) return std::chrono::microseconds(-1);
    return std::chrono::duration_cast<std::chrono::microseconds>(until - upstream_times_.chosen);
  };
  record.upstream_connect = upstream_time(upstream_times_.connected);
  record.upstream_header = upstream_time(upstream_times_.head);
  record.upstream_response = upstream_time(upstream_times_.end);
  record.upstream_status = upstream_status_;
  record.upstream_tries = attempts_.tries();
  record.upstream_reused = upstream_reused_;
  record.upstream_tls_version = upstream_tls_.version;
  record.upstream_tls_cipher = upstream_tls_.cipher;
  record.upstream_peer_subject = upstream_tls_.peer_subject;
  record.upstream_peer_serial = upstream_tls_.peer_serial;
  record.upstream_certificate_requested = upstream_tls_.certificate_requested;
  record.upstream_tls_resumed = upstream_tls_.resumed;
  record.upstream_would_refuse = upstream_tls_.would_refuse;
  if (presented_ != nullptr && upstream_tls_.certificate_requested) {
    record.upstream_client_subject = presented_->info().subject;
    record.upstream_client_serial = presented_->info().serial;
  }
  std::array<char, net::Address::kMaxText> auth_address;
  if (asked_) {
    const Authorization& auth = *authorization_;
    record.auth = to_string(auth.result());
    record.auth_upstream = auth.address(auth_address);
    record.auth_status = auth.answer().status;
    record.auth_cached = auth.cached();
  }
  record.reason = reason_;
  record.detail = detail_;
  context_.observer.on_exchange(record);
}

}  // namespace handfast::session
