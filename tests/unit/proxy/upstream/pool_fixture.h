#pragma once
// A pool with a loop and a clock of its own, and users that write down what they are told.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "proxy/http/h1_parser.h"
#include "proxy/upstream/pool.h"
#include "tests/support/times.h"
#include "tests/unit/proxy/event/loop_driver.h"
#include "tests/unit/proxy/tls/tls_peer.h"

namespace handfast::testing {

class RecordingUser final : public upstream::ChannelUser {
 public:
  void on_upstream_ready(upstream::Channel& its_channel) override {
    channel = &its_channel;
    ready = true;
    if (when_ready) when_ready();
  }
  void on_upstream_head(const http::ResponseHead& head) override {
    statuses.push_back(head.status);
  }
  void on_upstream_body(std::string_view payload) override { body.append(payload); }
  void on_upstream_end(const http::HeaderList& its_trailers) override {
    ended = true;
    for (const http::Header& field : its_trailers.items()) {
      trailers.append(field.name).append("=").append(field.value).append(";");
    }
    if (when_ended) when_ended();
  }
  void on_upstream_failed(const upstream::Failure& its_failure) override {
    failure = its_failure.error;
    unprocessed = its_failure.unprocessed;
    channel = nullptr;
  }
  void on_upstream_drained() override { drained = true; }
  [[nodiscard]] bool wants_upstream_body() const override { return wants_body; }
  [[nodiscard]] std::shared_ptr<const tls::UpstreamPolicy> policy_today(
      const route::Snapshot& /*newest*/) const override {
    return today;
  }

  [[nodiscard]] Reason reason() const { return failure ? failure->reason : Reason::Ok; }

  upstream::Channel* channel = nullptr;
  std::function<void()> when_ready;
  std::function<void()> when_ended;
  bool ready = false;
  bool ended = false;
  bool drained = false;
  bool unprocessed = false;
  bool wants_body = true;
  std::vector<int> statuses;
  std::string body;
  std::string trailers;
  std::optional<Error> failure;
  std::shared_ptr<const tls::UpstreamPolicy> today;
};

class PoolFixture : public ::testing::Test {
 protected:
  static constexpr std::chrono::seconds kConnectTimeout{5};
  static constexpr std::chrono::seconds kReadTimeout{60};
  static constexpr std::chrono::seconds kSendTimeout{60};

  PoolFixture() {
    driver_.each_round([this] { backend_.pump(); });
    driver_.each_round([this] {
      for (auto& peer : tls_peers_) peer->pump();
    });
  }
  ~PoolFixture() override { driver_.settle(2); }

  upstream::Pool::Hooks hooks() {
    return {.on_handshake =
                [this](const upstream::HandshakeOutcome& outcome) {
                  outcomes_.push_back(outcome.reason);
                  resumed_.push_back(outcome.resumed);
                  last_policy_key_ = outcome.policy_key;
                  last_detail_ = outcome.detail;
                },
            .judge =
                [this](std::vector<upstream::JudgeRequest> requests) {
                  for (auto& request : requests) judging_.push_back(std::move(request));
                },
            .on_closed_by_change = [this](std::string_view cause) { causes_.emplace_back(cause); }};
  }

  void connect(RecordingUser& user, std::shared_ptr<const tls::UpstreamPolicy> policy = nullptr) {
    ASSERT_TRUE(pool_.connect({.address = backend_.address(), .policy = std::move(policy)},
                              "shop/orders:443", user));
  }
  // A plain connection that is ready.
  void open(RecordingUser& user) {
    connect(user);
    const std::size_t before = backend_.peers.size();
    ASSERT_TRUE(driver_.until([&] { return user.ready && backend_.peers.size() > before; }));
  }
  // A TLS connection that is ready; the backend's side is tls_peers_.back().
  void open_tls(RecordingUser& user, std::shared_ptr<const tls::UpstreamPolicy> policy) {
    backend_.reading = false;  // the bytes are for the TLS peer that takes over
    connect(user, std::move(policy));
    const std::size_t before = backend_.peers.size();
    ASSERT_TRUE(driver_.until([&] { return backend_.peers.size() > before; }));
    backend_.reading = true;
    tls_peers_.push_back(
        std::make_unique<TlsPeer>(backend_.last().release(), server_, /*server=*/true));
    const int on = 1;
    ::setsockopt(tls_peers_.back()->fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ASSERT_TRUE(driver_.until(
        [&] { return (user.ready && tls_peers_.back()->done) || user.failure.has_value(); }));
  }
  // `extra`: complete header lines.
  void request(RecordingUser& user, const std::string& method = "GET",
               const std::string& extra = "") {
    user.ended = false;
    const std::string text = method + " / HTTP/1.1\r\nHost: x\r\n" + extra + "\r\n";
    http::RequestHead head;
    ASSERT_EQ(http::H1RequestParser().parse(text, head).status, http::ParseStatus::Complete);
    user.channel->begin({head,
                         {.client_address = "192.0.2.9", .scheme = "http", .request_id = "1"},
                         kReadTimeout,
                         kSendTimeout});
  }
  // One exchange with an answer of two bytes, after which the connection is given back.
  void exchange(RecordingUser& user) {
    request(user);
    ASSERT_TRUE(driver_.until([&] { return !backend_.last().received.empty(); }));
    backend_.last().take();
    backend_.last().send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    ASSERT_TRUE(driver_.until([&] { return user.ended; }));
    std::exchange(user.channel, nullptr)->release();
  }
  void exchange_tls(RecordingUser& user, std::string_view extra = {}) {
    request(user);
    ASSERT_TRUE(driver_.until([&] { return !tls_peers_.back()->received.empty(); }));
    tls_peers_.back()->take();
    tls_peers_.back()->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    if (!extra.empty()) {
      tls_peers_.back()->pump();  // a record of its own
      tls_peers_.back()->send(extra);
      tls_peers_.back()->pump();
    }
    ASSERT_TRUE(driver_.until([&] { return user.ended; }));
    std::exchange(user.channel, nullptr)->release();
  }
  static route::Snapshot snapshot_with(std::shared_ptr<const tls::UpstreamPolicy> policy) {
    route::Snapshot snapshot;
    auto bucket = std::make_shared<route::SnapshotBucket>();
    const std::string name = policy->name;
    bucket->policies.put(std::move(policy));
    snapshot.buckets[route::snapshot_bucket(name)] = std::move(bucket);
    return snapshot;
  }
  // A copy to change.
  [[nodiscard]] std::shared_ptr<tls::UpstreamPolicy> policy_with(const char* key,
                                                                 const char* epoch) const {
    auto policy = std::make_shared<tls::UpstreamPolicy>(*policy_);
    policy->key = key;
    policy->epoch = epoch;
    return policy;
  }

  FakeClock clock_;
  std::unique_ptr<event::Loop> loop_ = std::move(event::Loop::create(clock_).value());
  LoopDriver driver_{*loop_};
  BufferPool buffers_;
  tls::SessionStore sessions_;
  tls::ClientContext tls_{clock_, &sessions_};
  upstream::PoolLimits limits_;
  std::vector<Reason> outcomes_;
  std::string last_policy_key_;
  std::string last_detail_;
  std::vector<bool> resumed_;  // of each outcome
  std::vector<upstream::JudgeRequest> judging_;
  std::vector<std::string> causes_;
  TestBackend backend_;
  TestAuthority root_{"shop-root"};
  TestCertificate leaf_ = root_.issue("orders.shop.svc");
  SslCtx server_ = make_server_ctx(leaf_);
  std::shared_ptr<tls::UpstreamPolicy> policy_ = make_policy(root_, {"orders.shop.svc"});
  std::vector<std::unique_ptr<TlsPeer>> tls_peers_;
  upstream::Pool pool_{*loop_, buffers_, tls_, limits_, hooks()};
  const std::unordered_set<std::string> changed_{"shop/shop/orders:443"};
};

}  // namespace handfast::testing
