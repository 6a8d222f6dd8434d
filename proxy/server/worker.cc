#include "proxy/server/worker.h"

#include <malloc.h>
#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/session/opening.h"

namespace handfast::server {
namespace {

constexpr std::chrono::seconds kSecond{1};
constexpr std::chrono::milliseconds kDrainLook{64};
// Some 10 MiB: what fewer leave behind isn't worth a walk through the heap.
constexpr std::size_t kManySessions = 1'000;

std::uint64_t random_number() {
  std::uint64_t value = 0;
  check(::getrandom(&value, sizeof value, 0) == sizeof value, "getrandom");
  return value;
}

std::string name_of(upstream::EndpointHealth::State state) {
  switch (state) {
    case upstream::EndpointHealth::State::Whole:
      return "whole";
    case upstream::EndpointHealth::State::Growing:
      return "growing";
    case upstream::EndpointHealth::State::Resting:
      return "resting";
    case upstream::EndpointHealth::State::Probing:
      return "probing";
  }
  return "";
}

// The same peer with the same chain under the same policy is judged once.
bool same_question(const upstream::JudgeRequest& a, const upstream::JudgeRequest& b) {
  const bool same_staple =
      a.stapled == b.stapled ||
      (a.stapled != nullptr && b.stapled != nullptr && *a.stapled == *b.stapled);
  if (a.policy != b.policy || !same_staple || X509_cmp(a.leaf.get(), b.leaf.get()) != 0)
    return false;
  if (sk_X509_num(a.chain.get()) != sk_X509_num(b.chain.get())) return false;
  for (int i = 0; i < sk_X509_num(a.chain.get()); ++i) {
    if (X509_cmp(sk_X509_value(a.chain.get(), i), sk_X509_value(b.chain.get(), i)) != 0)
      return false;
  }
  return true;
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::create(std::size_t number, WorkerShared& shared,
                                               WorkerSockets sockets) {
  auto loop = event::Loop::create(shared.clock);
  if (!loop) return fail(loop.error());
  return std::unique_ptr<Worker>(new Worker(number, shared, std::move(*loop), std::move(sockets)));
}

Worker::Worker(std::size_t number, WorkerShared& shared, std::unique_ptr<event::Loop> loop,
               WorkerSockets sockets)
    : number_(number),
      shared_(shared),
      loop_(std::move(loop)),
      server_tls_(*this, shared.tickets, shared.clock),
      client_tls_(shared.clock, shared.sessions),
      snapshots_([this](session::SnapshotHolder::SnapshotPtr old) {
        shared_.off_loop([old = std::move(old)]() mutable { old.reset(); });
      }),
      pool_(*loop_, buffers_, client_tls_, shared.pool_limits, hooks()),
      balancer_(random_number()),
      request_ids_(random_number(), random_number()),
      context_(*loop_, buffers_, snapshots_, pool_, balancer_, shared.resolver, *this, request_ids_,
               shared.limits),
      sockets_(std::move(sockets)),
      second_(loop_->timers(), [this] { each_second(); }),
      drain_timer_(loop_->timers(), [this] { check_drained(); }) {
  if (shared.tcp_sockets == nullptr) return;
  tcp_listeners_.emplace(
      *loop_, *shared.tcp_sockets,
      [this](std::uint16_t port, net::Socket socket, const net::Address& peer) {
        accept_tcp(port, std::move(socket), peer);
      },
      [this] { shared_.process_metrics.on_accept_pause(); });
}

Worker::~Worker() { stop(); }

upstream::Pool::Hooks Worker::hooks() {
  return {
      .on_handshake =
          [this](const upstream::HandshakeOutcome& outcome) { shared_.on_handshake(outcome); },
      .judge = [this](std::vector<upstream::JudgeRequest> requests) { judge(std::move(requests)); },
      .on_closed_by_change =
          [this](std::string_view cause) { shared_.process_metrics.on_closed_by_change(cause); }};
}

void Worker::start() {
  thread_ = std::thread([this] {
    second_.set(loop_->now() + kSecond);
    loop_->run();
  });
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  // What is still under way gets its line in the log.
  loop_->post([this] {
    while (!sessions_.empty()) sessions_.back()->cut();
  });
  loop_->stop();
  thread_.join();
}

void Worker::publish(Publication publication, std::function<void()> done) {
  loop_->post([this, publication = std::move(publication), done = std::move(done)] {
    swap(publication);
    // In the next round: what was begun under the snapshot before has then been written.
    loop_->post(done);
  });
}

void Worker::swap(const Publication& publication) {
  const bool first = snapshots_.empty();
  snapshots_.replace(publication.snapshot);
  pool_.on_snapshot(*publication.snapshot, publication.changes->policies);
  balancer_.on_snapshot();
  const auto& keys = publication.snapshot->ticket_keys;
  server_tls_.set_ticket_keys(keys == nullptr ? shared_.tickets : keys);
  server_tls_.set_offer(publication.snapshot->front);
  for (const std::string& service : publication.changes->services_gone) balancer_.forget(service);
  if (first) listen();
  if (tcp_listeners_) {
    tcp_listeners_->follow(*publication.snapshot);
    tcp_ports_failed_.store(tcp_listeners_->failed(), std::memory_order_relaxed);
  }
  if (publication.changes->clients) judge_clients();
}

void Worker::listen() {
  const auto open = [this](UniqueFd& fd, bool tls) {
    auto listener = net::Listener::create(
        *loop_, std::move(fd),
        [this, tls](net::Socket socket, const net::Address& peer) {
          accept(std::move(socket), peer, tls);
        },
        [this] { shared_.process_metrics.on_accept_pause(); });
    check(listener.has_value(), "a listener can't be registered");
    listeners_.push_back(std::move(*listener));
  };
  for (UniqueFd& fd : sockets_.http) open(fd, false);
  for (UniqueFd& fd : sockets_.https) open(fd, true);
  sockets_ = {};
}

void Worker::accept(net::Socket socket, const net::Address& peer, bool tls) {
  open(std::move(socket), peer, tls, nullptr);
}

void Worker::accept_tcp(std::uint16_t port, net::Socket socket, const net::Address& peer) {
  const route::TcpEntry* const tcp = snapshots_.current().find_tcp(port);
  if (tcp == nullptr) return;
  open(std::move(socket), peer, tcp->certificate != nullptr, tcp);
}

void Worker::open(net::Socket socket, const net::Address& peer, bool tls,
                  const route::TcpEntry* tcp) {
  const bool full = sessions_.size() >= context_.limits.worker_connections;
  if (full) on_refused(session::RefusedConnection::WorkerConnections);
  auto place = full ? std::nullopt : try_place(peer);
  if (!place) {
    socket.reset_on_close();
    return;
  }
  std::unique_ptr<net::Stream> stream;
  tls::TlsStream* tls_stream = nullptr;
  if (tls) {
    std::optional<tls::PortTls> port;
    if (tcp != nullptr) port = {tcp->config.port, tcp->certificate, tcp->client};
    auto made = server_tls_.accept(std::move(socket), buffers_, std::move(port));
    tls_stream = made.get();
    stream = std::move(made);
  } else {
    stream = std::make_unique<net::PlainStream>(std::move(socket), buffers_);
  }
  auto session =
      std::make_unique<session::Opening>(context_, static_cast<session::SessionOwner&>(*this),
                                         std::move(stream), tls_stream, peer, tcp);
  if (!session->start()) return;
  session->slot = sessions_.size();
  sessions_.push_back(std::move(session));
  places_.push_back(std::move(*place));
  most_sessions_ = std::max(most_sessions_, sessions_.size());
  session_count_.store(sessions_.size(), std::memory_order_relaxed);
}

// Proxies that are believed bring the connections of many clients.
std::optional<net::ConnectionLimits::Slot> Worker::try_place(const net::Address& client) {
  const session::ClientTrust& trust = context_.limits.trust;
  const auto ip = client.ip_bytes();
  if (trust.proxy_protocol.contains(ip) || trust.forwarded.contains(ip)) {
    return net::ConnectionLimits::Slot();
  }
  auto place = shared_.connection_limits.try_take(client);
  if (!place) on_refused(session::RefusedConnection::AddressConnections);
  return place;
}

bool Worker::admit(session::Session& session, const net::Address& client) {
  auto place = try_place(client);
  if (place) places_[session.slot] = std::move(*place);
  return place.has_value();
}

void Worker::tell_unwell(std::function<void(std::vector<config::UnwellEndpoint>)> told) {
  loop_->post([this, told = std::move(told)] {
    std::vector<config::UnwellEndpoint> unwell;
    const Monotonic now = loop_->now();
    for (const upstream::Balancer::EndpointView& view : balancer_.unwell(now)) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(view.rest_until - now).count();
      unwell.push_back({.worker = number_,
                        .service = std::string(view.service),
                        .address = view.address->to_string(),
                        .state = name_of(view.state),
                        .failures = static_cast<std::uint64_t>(view.failures),
                        .milliseconds_left = left > 0 ? static_cast<std::uint64_t>(left) : 0});
    }
    told(std::move(unwell));
  });
}

void Worker::on_http2_flood(http::H2Flood flood) { shared_.process_metrics.on_http2_flood(flood); }

void Worker::on_authorization(const session::AuthOutcome& outcome) {
  shared_.process_metrics.on_authorization(outcome);
}

void Worker::on_request_refused(session::RefusedRequest why) {
  shared_.process_metrics.on_request_refused(why);
}

void Worker::on_refused(session::RefusedConnection why) { shared_.process_metrics.on_refused(why); }

void Worker::on_session_replaced(session::Session& session,
                                 std::unique_ptr<session::Session> next) {
  const std::size_t slot = session.slot;
  check(slot < sessions_.size() && sessions_[slot].get() == &session);
  next->slot = slot;
  loop_->defer_delete(std::move(sessions_[slot]));
  sessions_[slot] = std::move(next);
}

void Worker::on_session_closed(session::Session& session) {
  const std::size_t slot = session.slot;
  check(slot < sessions_.size() && sessions_[slot].get() == &session);
  loop_->defer_delete(std::move(sessions_[slot]));
  if (slot + 1 != sessions_.size()) {
    sessions_[slot] = std::move(sessions_.back());
    sessions_[slot]->slot = slot;
    places_[slot] = std::move(places_.back());
  }
  sessions_.pop_back();
  places_.pop_back();
  session_count_.store(sessions_.size(), std::memory_order_relaxed);
}

void Worker::on_exchange(const session::ExchangeRecord& record) {
  if (record.relay) {
    shared_.process_metrics.on_relay(record);
  } else {
    shared_.route_metrics.count(
        number_, record.route == nullptr ? RouteMetrics::kNoRoute : record.metrics_id,
        {.method = record.method,
         .status = record.status,
         .duration = record.duration,
         .connect = record.upstream_connect,
         .header = record.upstream_header,
         .response = record.upstream_response,
         .request_bytes = record.request_body_bytes,
         .response_bytes = record.response_body_bytes});
  }
  if (record.route == nullptr || record.route->access_log)
    shared_.access_log.append(number_, record);
  upstream_idle_.store(pool_.idle(), std::memory_order_relaxed);
  upstream_total_.store(pool_.total(), std::memory_order_relaxed);
}

tls::Identities Worker::select_certificates(std::string_view server_name) {
  const route::Snapshot& snapshot = snapshots_.current();
  if (!server_name.empty()) {
    const route::HostEntry* host = snapshot.find_host(server_name);
    if (host != nullptr && !host->certificates.empty()) return host->certificates;
  }
  return {&snapshot.default_certificate, 1};
}

// Without a name it is the host that serves all others: the one that answers such a client.
std::shared_ptr<const tls::ClientPolicy> Worker::select_client_policy(
    std::string_view server_name) {
  const route::HostEntry* host = snapshots_.current().find_host(server_name);
  return host == nullptr ? nullptr : host->client;
}

// Signatures are checked here, and a CRL may meet its issuer's key for the first time: not on the
// loop.
void Worker::judge(std::vector<upstream::JudgeRequest> requests) {
  auto shared_requests = std::make_shared<std::vector<upstream::JudgeRequest>>(std::move(requests));
  shared_.off_loop([this, shared_requests] {
    std::vector<pki::Verdict> verdicts;
    for (std::size_t i = 0; i < shared_requests->size(); ++i) {
      const upstream::JudgeRequest& request = (*shared_requests)[i];
      std::size_t same = 0;
      while (same < i && !same_question((*shared_requests)[same], request)) ++same;
      verdicts.push_back(same < i ? verdicts[same]
                                  : request.policy->judge(request.leaf.get(), request.chain.get(),
                                                          request.stapled.get(),
                                                          shared_.clock.unix_now()));
    }
    loop_->post([this, shared_requests, verdicts = std::move(verdicts)] {
      for (std::size_t i = 0; i < verdicts.size(); ++i) {
        const upstream::JudgeRequest& request = (*shared_requests)[i];
        pool_.on_judged(request.connection, request.policy, verdicts[i]);
      }
    });
  });
}

void Worker::each_second() {
  second_.set(loop_->now() + kSecond);
  pool_.close_expired();
  give_memory_back();
  requests_in_flight_.store(context_.exchanges, std::memory_order_relaxed);
  cut_outlived_clients();
  if (tcp_listeners_) {
    tcp_listeners_->try_again();
    tcp_ports_failed_.store(tcp_listeners_->failed(), std::memory_order_relaxed);
  }
  endpoints_resting_.store(balancer_.resting(), std::memory_order_relaxed);
  upstream_idle_.store(pool_.idle(), std::memory_order_relaxed);
  upstream_total_.store(pool_.total(), std::memory_order_relaxed);
}

// The allocator by itself gives back only what lies at the end of its heap, and something always
// does. The walk takes milliseconds for tens of MiB, in which this thread may wait for it.
void Worker::give_memory_back() {
  if (most_sessions_ < kManySessions || sessions_.size() > most_sessions_ / 2) return;
  most_sessions_ = sessions_.size();
  shared_.off_loop([] { ::malloc_trim(0); });
}

void Worker::take_leave() {
  loop_->post([this] { context_.draining = true; });
}

void Worker::drain(std::function<void()> done) {
  loop_->post([this, done = std::move(done)]() mutable {
    context_.draining = true;
    drained_ = std::move(done);
    std::vector<session::Session*> present;
    for (const auto& session : sessions_) present.push_back(session.get());
    for (session::Session* session : present) session->drain();
    check_drained();
  });
}

void Worker::check_drained() {
  if (drained_ == nullptr) return;
  if (!sessions_.empty()) {
    drain_timer_.set(loop_->now() + kDrainLook);
    return;
  }
  // What is queued in the backlog is still served: nobody who was let in is reset.
  for (const auto& listener : listeners_) listener->close();
  listeners_.clear();
  if (tcp_listeners_) tcp_listeners_->close();
  sockets_ = {};
  if (!sessions_.empty()) {
    drain_timer_.set(loop_->now() + kDrainLook);
    return;
  }
  pool_.close_idle();
  std::exchange(drained_, nullptr)();
}

}  // namespace handfast::server
