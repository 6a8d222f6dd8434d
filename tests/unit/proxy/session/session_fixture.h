#pragma once
// A worker without its thread: sessions, exchanges and a pool on one loop, driven round by round,
// between scripted clients and backends on loopback.

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "proxy/session/opening.h"
#include "tests/support/times.h"
#include "tests/unit/proxy/event/loop_driver.h"
#include "tests/unit/proxy/tls/tls_peer.h"

namespace handfast::testing {

// What is worth keeping of a record after the call.
struct Seen {
  std::string method, host, target, upstream_address, detail;
  int status = 0;
  int upstream_status = 0;
  int tries = 0;
  bool cut = false;
  bool reused = false;
  Reason reason = Reason::Ok;
  std::uint64_t request_bytes = 0;
  std::uint64_t response_bytes = 0;
  std::string client_subject;
};

class SnapshotMaker {
 public:
  SnapshotMaker() { snapshot_->generation = 1; }

  SnapshotMaker& host(config::VirtualHost host) {
    const std::string name = host.host;
    bucket(name).hosts.put(std::make_shared<route::HostEntry>(std::move(host)));
    return *this;
  }
  SnapshotMaker& service(const std::string& name, std::vector<net::Address> addresses) {
    auto entry = std::make_shared<route::ServiceEntry>();
    entry->config.name = name;
    entry->addresses = std::move(addresses);
    bucket(name).services.put(std::move(entry));
    return *this;
  }
  SnapshotMaker& external(const std::string& name, const std::string& target) {
    auto entry = std::make_shared<route::ServiceEntry>();
    entry->config.name = name;
    entry->config.external_name = true;
    entry->config.endpoints = {{target, 80, true, true, false}};
    bucket(name).services.put(std::move(entry));
    return *this;
  }
  SnapshotMaker& tcp(config::TcpPort port) {
    const std::uint16_t number = port.port;
    snapshot_->tcp_ports[number] = std::make_shared<route::TcpEntry>(std::move(port));
    return *this;
  }
  SnapshotMaker& passed(const std::string& name, const std::string& service) {
    config::VirtualHost passed;
    passed.host = name;
    passed.passthrough.emplace().service = service;
    ++snapshot_->passthrough_hosts;
    return host(std::move(passed));
  }
  SnapshotMaker& strict_transport(std::string value) {
    snapshot_->strict_transport = std::move(value);
    return *this;
  }
  SnapshotMaker& policy(std::shared_ptr<const tls::UpstreamPolicy> policy) {
    const std::string name = policy->name;
    bucket(name).policies.put(std::move(policy));
    return *this;
  }
  [[nodiscard]] std::shared_ptr<const route::Snapshot> done() const { return snapshot_; }

 private:
  route::SnapshotBucket& bucket(const std::string& name) {
    auto& mine = buckets_[route::snapshot_bucket(name)];
    if (mine == nullptr) {
      mine = std::make_shared<route::SnapshotBucket>();
      snapshot_->buckets[route::snapshot_bucket(name)] = mine;
    }
    return *mine;
  }
  std::shared_ptr<route::Snapshot> snapshot_ = std::make_shared<route::Snapshot>();
  std::map<std::size_t, std::shared_ptr<route::SnapshotBucket>> buckets_;
};

inline config::Route route_to(const std::string& path, const std::string& service) {
  config::Route route;
  route.path = path;
  route.service = service;
  route.ingress_namespace = "shop";
  route.ingress = "shop";
  route.max_body_bytes = 0;
  return route;
}

inline config::VirtualHost host_with(const std::string& name, std::vector<config::Route> routes) {
  config::VirtualHost host;
  host.host = name;
  host.routes = std::move(routes);
  return host;
}

class SessionFixture : public ::testing::Test,
                       private session::SessionOwner,
                       private session::ExchangeObserver,
                       private tls::CertificateSelector {
 protected:
  explicit SessionFixture(upstream::PoolLimits pool_limits = {}) : pool_limits_(pool_limits) {
    driver_.each_round([this] {
      for (auto& client : clients_) client->pump();
      for (auto& client : tls_clients_) client->pump();
      backend_.pump();
      second_.pump();
      for (auto& peer : tls_backends_) peer->pump();
      if (each_round_) each_round_();
    });
    serve();
  }
  ~SessionFixture() override {
    sessions_.clear();
    driver_.settle(2);
  }

  // "shop.example" leads to backend_.
  void serve() {
    publish(SnapshotMaker()
                .host(host_with("shop.example", {route_to("/", "shop/orders:80")}))
                .service("shop/orders:80", {backend_.address()}));
  }
  void publish(const SnapshotMaker& maker, const std::unordered_set<std::string>& policies = {}) {
    snapshots_.replace(maker.done());
    pool_.on_snapshot(snapshots_.current(), policies);
  }
  SnapshotMaker tls_site(std::shared_ptr<const tls::UpstreamPolicy> policy) {
    config::Route route = route_to("/", "shop/orders:443");
    route.protocol = config::BackendProtocol::Https;
    route.upstream_tls = policy->name;
    return SnapshotMaker()
        .host(host_with("shop.example", {route}))
        .service("shop/orders:443", {backend_.address()})
        .policy(std::move(policy));
  }

  Peer& connect() {
    auto [far, near] = tcp_pair();
    clients_.push_back(std::make_unique<Peer>(std::move(far)));
    adopt(std::make_unique<net::PlainStream>(net::Socket(std::move(near)), buffers_), nullptr);
    return *clients_.back();
  }
  TlsPeer& connect_tls() {
    auto [far, near] = tcp_pair();
    tls_clients_.push_back(
        std::make_unique<TlsPeer>(std::move(far), make_client_ctx(), false, "shop.example"));
    auto stream = server_tls_.accept(net::Socket(std::move(near)), buffers_);
    tls::TlsStream* const tls = stream.get();
    adopt(std::move(stream), tls);
    return *tls_clients_.back();
  }

  // As a client of a TCP port of the snapshot.
  Peer& connect_tcp(std::uint16_t port) {
    auto [far, near] = tcp_pair();
    clients_.push_back(std::make_unique<Peer>(std::move(far)));
    adopt(std::make_unique<net::PlainStream>(net::Socket(std::move(near)), buffers_), nullptr,
          snapshots_.current().find_tcp(port));
    return *clients_.back();
  }
  // As bytes on the TLS port.
  Peer& connect_to_tls_port() {
    auto [far, near] = tcp_pair();
    clients_.push_back(std::make_unique<Peer>(std::move(far)));
    auto stream = server_tls_.accept(net::Socket(std::move(near)), buffers_);
    tls::TlsStream* const tls = stream.get();
    adopt(std::move(stream), tls);
    return *clients_.back();
  }

  // The backend has a connection on which `bytes` (or anything) arrived.
  [[nodiscard]] bool backend_gets(std::string_view bytes = "\r\n\r\n", std::size_t peer = 0) {
    return driver_.until([this, bytes, peer] {
      return backend_.peers.size() > peer &&
             backend_.peers[peer]->received.find(bytes) != std::string::npos;
    });
  }
  [[nodiscard]] bool client_gets(const Peer& client, std::string_view bytes) {
    return driver_.until(
        [&client, bytes] { return client.received.find(bytes) != std::string::npos; });
  }
  [[nodiscard]] bool client_ends(const Peer& client) {
    return driver_.until([&client] { return client.ended; });
  }
  // The newest backend connection becomes a TLS server's; call with backend_.reading == false.
  TlsPeer& take_over(const SslCtx& server) {
    tls_backends_.push_back(
        std::make_unique<TlsPeer>(backend_.last().release(), server, /*server=*/true));
    const int on = 1;
    ::setsockopt(tls_backends_.back()->fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return *tls_backends_.back();
  }

  static constexpr const char* kGet = "GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n";
  static constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

  FakeClock clock_;
  std::unique_ptr<event::Loop> loop_ = std::move(event::Loop::create(clock_).value());
  LoopDriver driver_{*loop_};
  BufferPool buffers_;
  TestAuthority root_{"shop-root"};
  std::shared_ptr<const pki::Identity> front_ = load_identity(root_.issue("shop.example"));
  tls::ServerContext server_tls_{*this, tls::TicketKeyRing::make(), clock_};
  tls::ClientContext client_tls_{clock_};
  std::vector<session::SnapshotHolder::SnapshotPtr> retired_;
  session::SnapshotHolder snapshots_{
      [this](session::SnapshotHolder::SnapshotPtr old) { retired_.push_back(std::move(old)); }};
  upstream::PoolLimits pool_limits_;
  std::vector<upstream::JudgeRequest> judging_;
  upstream::Pool pool_{*loop_,
                       buffers_,
                       client_tls_,
                       pool_limits_,
                       {.on_handshake = [](const upstream::HandshakeOutcome&) {},
                        .judge =
                            [this](std::vector<upstream::JudgeRequest> requests) {
                              for (auto& request : requests) judging_.push_back(std::move(request));
                            },
                        .on_closed_by_change = [](std::string_view) {}}};
  upstream::Balancer balancer_{0};
  using Answered = std::function<void(upstream::NameAnswer)>;
  upstream::NameQuery resolve_ = [](const std::string&, const Answered& answered) { answered({}); };
  upstream::Resolver resolver_{clock_, [this](const std::string& name, Answered answered) {
                                 resolve_(name, std::move(answered));
                               }};
  session::RequestIds ids_{1, 2};
  session::Limits limits_{.keep_alive_requests = 0};
  session::Context context_{*loop_,    buffers_, snapshots_, pool_,  balancer_,
                            resolver_, *this,    ids_,       limits_};
  std::vector<std::unique_ptr<session::Session>> sessions_;
  TestBackend backend_;
  TestBackend second_;
  std::vector<std::unique_ptr<Peer>> clients_;
  std::vector<std::unique_ptr<TlsPeer>> tls_clients_;
  std::vector<std::unique_ptr<TlsPeer>> tls_backends_;
  std::vector<Seen> seen_;
  std::vector<http::H2Flood> floods_;
  std::function<void()> each_round_;
  net::Address peer_ = net::Address::from_ip("192.0.2.9", 1234).value();  // of the clients
  std::vector<session::RefusedConnection> refused_;
  std::vector<session::RefusedRequest> refused_requests_;
  std::vector<net::Address> admitted_;
  bool admits_ = true;

 private:
  void adopt(std::unique_ptr<net::Stream> stream, tls::TlsStream* tls,
             const route::TcpEntry* tcp = nullptr) {
    auto session = std::make_unique<session::Opening>(
        context_, static_cast<session::SessionOwner&>(*this), std::move(stream), tls, peer_, tcp);
    check(session->start().has_value(), "start");
    session->slot = sessions_.size();
    sessions_.push_back(std::move(session));
  }
  void on_session_replaced(session::Session& session,
                           std::unique_ptr<session::Session> next) override {
    next->slot = session.slot;
    loop_->defer_delete(std::move(sessions_[session.slot]));
    const std::size_t slot = next->slot;
    sessions_[slot] = std::move(next);
  }
  void on_session_closed(session::Session& session) override {
    const std::size_t slot = session.slot;
    loop_->defer_delete(std::move(sessions_[slot]));
    if (slot + 1 != sessions_.size()) {
      sessions_[slot] = std::move(sessions_.back());
      sessions_[slot]->slot = slot;
    }
    sessions_.pop_back();
  }
  bool admit(session::Session& /*session*/, const net::Address& client) override {
    admitted_.push_back(client);
    return admits_;
  }
  void on_refused(session::RefusedConnection why) override { refused_.push_back(why); }
  void on_exchange(const session::ExchangeRecord& record) override {
    seen_.push_back({.method = std::string(record.method),
                     .host = std::string(record.host),
                     .target = std::string(record.target),
                     .upstream_address = std::string(record.upstream_address),
                     .detail = std::string(record.detail),
                     .status = record.status,
                     .upstream_status = record.upstream_status,
                     .tries = record.upstream_tries,
                     .cut = record.response_cut,
                     .reused = record.upstream_reused,
                     .reason = record.reason,
                     .request_bytes = record.request_body_bytes,
                     .response_bytes = record.response_body_bytes,
                     .client_subject = std::string(record.upstream_client_subject)});
  }
  void on_http2_flood(http::H2Flood flood) override { floods_.push_back(flood); }
  void on_request_refused(session::RefusedRequest why) override {
    refused_requests_.push_back(why);
  }
  tls::Identities select_certificates(std::string_view /*server_name*/) override {
    return {&front_, 1};
  }
};

}  // namespace handfast::testing
