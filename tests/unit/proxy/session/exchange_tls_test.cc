// Identity and trust over the life of an exchange: what is in force when a request is sent decides.

#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::make_server_ctx;
using handfast::testing::Peer;
using handfast::testing::TestCertificate;
using handfast::testing::TlsPeer;

class ExchangeTlsTest : public handfast::testing::SessionFixture {
 protected:
  ExchangeTlsTest() {
    policy_->identity = handfast::testing::load_identity(one_);
    backend_.reading = false;  // what comes is for the TLS servers that take over
    publish(tls_site(policy_));
  }
  // Waits for the backend's next connection and serves TLS on it, up to a request.
  TlsPeer& serve_next() {
    const std::size_t taken = tls_backends_.size();
    check(driver_.until([&] { return backend_.peers.size() > taken; }), "a connection");
    return take_over(server_);
  }
  [[nodiscard]] bool gets_request(TlsPeer& peer) {
    return driver_.until([&] { return peer.received.ends_with("\r\n\r\n"); });
  }
  static std::string client_of(const TlsPeer& peer) {
    const X509* seen = SSL_get0_peer_certificate(peer.ssl());
    return seen == nullptr ? "nobody" : pki::describe(*seen).subject;
  }
  [[nodiscard]] std::shared_ptr<tls::UpstreamPolicy> copy(const char* key,
                                                          const char* epoch) const {
    auto made = std::make_shared<tls::UpstreamPolicy>(*policy_);
    made->key = key;
    made->epoch = epoch;
    return made;
  }
  std::shared_ptr<tls::UpstreamPolicy> rotated() const {
    auto made = copy("key-2", "epoch-1");
    made->identity = handfast::testing::load_identity(two_);
    return made;
  }
  void exchange(Peer& client, TlsPeer& peer) {
    ASSERT_TRUE(gets_request(peer));
    peer.take();
    peer.send(kOk);
    ASSERT_TRUE(client_gets(client, "ok"));
    client.take();
  }

  TestCertificate one_ = root_.issue("client-one");
  TestCertificate two_ = root_.issue("client-two");
  TestCertificate leaf_ = root_.issue("orders.shop.svc");
  handfast::testing::SslCtx server_ = make_server_ctx(leaf_, &root_);
  std::shared_ptr<tls::UpstreamPolicy> policy_ =
      handfast::testing::make_policy(root_, {"orders.shop.svc"});
  const std::unordered_set<std::string> changed_{policy_->name};
};

TEST_F(ExchangeTlsTest, PresentsItsCertificateAndRecordsWhatWasPresented) {
  Peer& client = connect();
  client.send(kGet);
  TlsPeer& peer = serve_next();
  exchange(client, peer);

  EXPECT_EQ(client_of(peer), "CN=client-one");
  EXPECT_EQ(seen_.back().client_subject, "CN=client-one");
}

TEST_F(ExchangeTlsTest, UsesTheNewIdentityForTheNextRequest) {
  Peer& client = connect();
  client.send(kGet);
  exchange(client, serve_next());
  publish(tls_site(rotated()), changed_);
  client.send(kGet);
  TlsPeer& second = serve_next();
  exchange(client, second);

  EXPECT_EQ(client_of(second), "CN=client-two");
  EXPECT_EQ(seen_.back().client_subject, "CN=client-two");
}

// The identity is replaced while a connection with the old one is being made.
TEST_F(ExchangeTlsTest, SendsNothingOverAConnectionMadeUnderAnIdentityThatWasReplaced) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(driver_.until([&] { return backend_.peers.size() == 1; }));
  publish(tls_site(rotated()), changed_);
  TlsPeer& old = take_over(server_);
  TlsPeer& second = serve_next();
  exchange(client, second);

  EXPECT_EQ(client_of(second), "CN=client-two");
  EXPECT_EQ(old.received, "");
}

TEST_F(ExchangeTlsTest, SendsNothingOverAConnectionMadeUnderATrustThatWasReplaced) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(driver_.until([&] { return backend_.peers.size() == 1; }));
  const auto revoking = copy("key-1", "epoch-2");
  handfast::testing::add_crl(*revoking, root_.crl_pem({&leaf_}));
  publish(tls_site(revoking), changed_);
  TlsPeer& old = take_over(server_);
  serve_next();

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 502 "));
  EXPECT_EQ(seen_.back().reason, Reason::Revoked);
  EXPECT_EQ(old.received, "");
}

// An annotation gives way to a policy object, say: the rules have another name then.
TEST_F(ExchangeTlsTest, SendsNothingUnderAPolicyThatAnotherHasTakenThePlaceOf) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(driver_.until([&] { return backend_.peers.size() == 1; }));
  const auto revoking = copy("key-2", "epoch-2");
  revoking->name = "shop/orders@utls/orders:443";
  handfast::testing::add_crl(*revoking, root_.crl_pem({&leaf_}));
  publish(tls_site(revoking), {policy_->name, revoking->name});
  TlsPeer& old = take_over(server_);
  serve_next();

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 502 "));
  EXPECT_EQ(seen_.back().reason, Reason::Revoked);
  EXPECT_EQ(old.received, "");
}

TEST_F(ExchangeTlsTest, TriesNothingInPlainOnceTheRouteHasTls) {
  backend_.reading = true;
  second_.reading = false;
  config::Route route = handfast::testing::route_to("/", "shop/orders:80");
  route.retry.statuses = {503};
  publish(handfast::testing::SnapshotMaker()
              .host(handfast::testing::host_with("shop.example", {route}))
              .service("shop/orders:80", {backend_.address()}));
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());

  route.protocol = config::BackendProtocol::Https;
  route.upstream_tls = policy_->name;
  publish(handfast::testing::SnapshotMaker()
              .host(handfast::testing::host_with("shop.example", {route}))
              .service("shop/orders:80", {backend_.address(), second_.address()})
              .policy(policy_),
          changed_);
  backend_.peers[0]->send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(driver_.until([&] { return second_.peers.size() == 1; }));
  tls_backends_.push_back(
      std::make_unique<TlsPeer>(second_.last().release(), server_, /*server=*/true));

  exchange(client, *tls_backends_.back());
}

TEST_F(ExchangeTlsTest, ARouteThatIsGoneMeanwhileEndsAsItBegan) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(driver_.until([&] { return backend_.peers.size() == 1; }));
  publish(handfast::testing::SnapshotMaker(), changed_);
  exchange(client, take_over(server_));
}

// However often the connection had to be made anew for it.
TEST_F(ExchangeTlsTest, AnAttemptCountsForItsEndpoint) {
  const auto revoking = copy("key-1", "epoch-2");
  handfast::testing::add_crl(*revoking, root_.crl_pem({&leaf_}));
  for (int i = 0; i < upstream::EndpointHealth::kFailuresToRest; ++i) {
    EXPECT_EQ(balancer_.resting(), 0u);
    Peer& client = connect();
    client.send(kGet);
    if (i == 0) {
      ASSERT_TRUE(driver_.until([&] { return backend_.peers.size() == 1; }));
      publish(tls_site(revoking), changed_);
      take_over(server_);
    }
    serve_next();
    ASSERT_TRUE(client_gets(client, "HTTP/1.1 502 "));
  }
  EXPECT_EQ(balancer_.resting(), 1u);
}

TEST_F(ExchangeTlsTest, APolicyThatIsRefusedMeanwhileAnswers503AndSendsNothing) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(driver_.until([&] { return backend_.peers.size() == 1; }));
  auto refused = std::make_shared<tls::UpstreamPolicy>();
  refused->name = policy_->name;
  refused->refused = Error{Reason::CaMissing, "Secret shop/ca has no ca.crt"};
  publish(tls_site(refused), changed_);
  TlsPeer& old = take_over(server_);

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 503 "));
  EXPECT_EQ(seen_.back().reason, Reason::CaMissing);
  EXPECT_EQ(old.received, "");
}

TEST_F(ExchangeTlsTest, AnIdentityOutsideItsTimeAnswers503WithoutAConnection) {
  policy_->identity = handfast::testing::load_identity(
      root_.issue("old-client", {.not_after = clock_.unix_now() - 1}));
  Peer& client = connect();
  client.send(kGet);

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 503 "));
  EXPECT_EQ(seen_.back().reason, Reason::ClientCertificateExpired);
  EXPECT_TRUE(backend_.peers.empty());
}

TEST_F(ExchangeTlsTest, AChainRevokedUnderAnOpenResponseCutsIt) {
  Peer& client = connect();
  client.send(kGet);
  TlsPeer& peer = serve_next();
  ASSERT_TRUE(gets_request(peer));
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  ASSERT_TRUE(client_gets(client, "half"));
  const auto revoking = copy("key-1", "epoch-2");
  handfast::testing::add_crl(*revoking, root_.crl_pem({&leaf_}));
  publish(tls_site(revoking), changed_);
  ASSERT_EQ(judging_.size(), 1u);
  loop_->post([&] {
    pool_.on_judged(judging_[0].connection, judging_[0].policy,
                    judging_[0].policy->judge(judging_[0].leaf.get(), judging_[0].chain.get(),
                                              nullptr, clock_.unix_now()));
  });

  EXPECT_TRUE(client_ends(client));
  EXPECT_EQ(seen_.back().reason, Reason::Revoked);
  EXPECT_TRUE(seen_.back().cut);
}

TEST_F(ExchangeTlsTest, ABackendThatFailsItsVerificationAnswers502WithTheWord) {
  struct Row {
    handfast::testing::SslCtx server;
    Reason reason;
  };
  const handfast::testing::TestAuthority stranger("stranger");
  const Row rows[] = {
      {make_server_ctx(stranger.issue("orders.shop.svc")), Reason::UntrustedIssuer},
      {make_server_ctx(root_.issue("billing.shop.svc")), Reason::NameMismatch},
      {make_server_ctx(
           root_.issue("orders.shop.svc", {.not_after = handfast::testing::kYear2020 + 9})),
       Reason::Expired},
  };
  for (const Row& row : rows) {
    server_ = row.server;
    Peer& client = connect();
    client.send(kGet);
    TlsPeer& peer = serve_next();

    EXPECT_TRUE(client_gets(client, "HTTP/1.1 502 "));
    EXPECT_EQ(seen_.back().reason, row.reason);
    EXPECT_EQ(peer.received, "");
  }
}

TEST_F(ExchangeTlsTest, ABackendThatRefusesOurCertificateAnswers502WithTheWord) {
  const handfast::testing::TestAuthority other("other");
  server_ = make_server_ctx(leaf_, &other);
  Peer& client = connect();
  client.send(kGet);
  serve_next();

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 502 "));
  EXPECT_EQ(seen_.back().reason, Reason::ClientCertificateRejected);
}

// A cut at the TLS layer must not pass for the end of a body.
TEST_F(ExchangeTlsTest, ABodyUntilCloseThatEndsWithoutCloseNotifyIsCut) {
  Peer& client = connect();
  client.send(kGet);
  TlsPeer& peer = serve_next();
  ASSERT_TRUE(gets_request(peer));
  peer.send("HTTP/1.1 200 OK\r\n\r\nhalf");
  ASSERT_TRUE(client_gets(client, "half"));
  peer.close();

  EXPECT_TRUE(client_ends(client));
  EXPECT_FALSE(client.received.ends_with("0\r\n\r\n"));
  EXPECT_TRUE(seen_.back().cut);
}

// Whoever came by the policy that is gone lives on by the one that took its place.
TEST_F(ExchangeTlsTest, AChainThatASuccessorsTrustRefusesCutsAnOpenResponse) {
  Peer& client = connect();
  client.send(kGet);
  TlsPeer& peer = serve_next();
  ASSERT_TRUE(gets_request(peer));
  peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  ASSERT_TRUE(client_gets(client, "half"));
  const auto renamed = copy("key-2", "epoch-1");
  renamed->name = "shop/orders@utls/orders:443";
  publish(tls_site(renamed), {policy_->name, renamed->name});
  ASSERT_EQ(judging_.size(), 1u);
  EXPECT_EQ(judging_[0].policy, renamed);
  publish(tls_site(renamed), {"shop/others"});
  EXPECT_EQ(judging_.size(), 1u) << "was asked already";

  auto revoking = std::make_shared<tls::UpstreamPolicy>(*renamed);
  revoking->epoch = "epoch-2";
  handfast::testing::add_crl(*revoking, root_.crl_pem({&leaf_}));
  publish(tls_site(revoking), {revoking->name});
  ASSERT_EQ(judging_.size(), 2u);
  loop_->post([&] {
    pool_.on_judged(judging_[1].connection, judging_[1].policy,
                    judging_[1].policy->judge(judging_[1].leaf.get(), judging_[1].chain.get(),
                                              nullptr, clock_.unix_now()));
  });

  EXPECT_TRUE(client_ends(client));
  EXPECT_EQ(seen_.back().reason, Reason::Revoked);
}

}  // namespace
}  // namespace handfast::session
