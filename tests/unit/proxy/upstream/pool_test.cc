#include "proxy/upstream/pool.h"

#include <algorithm>
#include <array>

#include "tests/unit/proxy/upstream/pool_fixture.h"

namespace handfast::upstream {
namespace {

using handfast::testing::RecordingUser;

constexpr std::string_view kEmptyAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

class PoolTest : public handfast::testing::PoolFixture {
 protected:
  Channel* take(std::shared_ptr<const tls::UpstreamPolicy> policy, RecordingUser& user) {
    user.channel = pool_.take({.address = backend_.address(), .policy = std::move(policy)}, user);
    return user.channel;
  }
};

TEST_F(PoolTest, HandsAnIdleConnectionOutAgain) {
  RecordingUser user;
  open(user);
  Channel* const first = user.channel;
  exchange(user);
  EXPECT_EQ(pool_.idle(), 1u);

  RecordingUser next;
  EXPECT_EQ(take(nullptr, next), first);
  EXPECT_EQ(pool_.idle(), 0u);
  exchange(next);
  EXPECT_EQ(next.body, "ok");
}

TEST_F(PoolTest, KeepsAddressesApart) {
  RecordingUser user;
  open(user);
  exchange(user);
  const net::Address other = net::Address::from_ip("127.0.0.1", 1).value();

  EXPECT_EQ(pool_.take({.address = other}, user), nullptr);
}

TEST_F(PoolTest, KeepsPoliciesApartAndPlainFromTls) {
  RecordingUser user;
  open_tls(user, policy_);
  exchange_tls(user);
  ASSERT_EQ(pool_.idle(), 1u);

  EXPECT_EQ(take(nullptr, user), nullptr);
  EXPECT_EQ(take(policy_with("key-2", "epoch-1"), user), nullptr);
  EXPECT_NE(take(policy_, user), nullptr);
}

TEST_F(PoolTest, HandsNothingOutThatWasNotJudgedUnderThePresentTrust) {
  RecordingUser user;
  open_tls(user, policy_);
  exchange_tls(user);

  EXPECT_EQ(take(policy_with("key-1", "epoch-2"), user), nullptr);
}

TEST_F(PoolTest, HasIdleConnectionsJudgedWhenTheTrustChanges) {
  RecordingUser user;
  open_tls(user, policy_);
  exchange_tls(user);
  const auto renewed = policy_with("key-1", "epoch-2");

  pool_.on_snapshot(snapshot_with(renewed), changed_);
  ASSERT_EQ(judging_.size(), 1u);
  const pki::Verdict verdict =
      renewed->judge(judging_[0].leaf.get(), judging_[0].chain.get(), nullptr, clock_.unix_now());
  EXPECT_TRUE(verdict.ok()) << verdict.detail;
  pool_.on_judged(judging_[0].connection, judging_[0].policy, verdict);

  EXPECT_NE(take(renewed, user), nullptr);
}

TEST_F(PoolTest, KeepsNothingOfTheTrustThatAConnectionWasMadeUnder) {
  RecordingUser user;
  auto old = policy_with("key-1", "epoch-1");
  const std::weak_ptr<const tls::UpstreamPolicy> kept = old;
  open_tls(user, old);
  exchange_tls(user);
  const auto renewed = policy_with("key-1", "epoch-2");

  pool_.on_snapshot(snapshot_with(renewed), changed_);
  ASSERT_EQ(judging_.size(), 1u);
  pool_.on_judged(judging_[0].connection, judging_[0].policy, {});
  old.reset();
  driver_.settle();

  EXPECT_TRUE(kept.expired());
  EXPECT_EQ(pool_.total(), 1u);
}

TEST_F(PoolTest, ClosesIdleConnectionsThatFailTheNewTrust) {
  RecordingUser user;
  open_tls(user, policy_);
  exchange_tls(user);
  const auto revoking = policy_with("key-1", "epoch-2");
  handfast::testing::add_crl(*revoking, root_.crl_pem({&leaf_}));

  pool_.on_snapshot(snapshot_with(revoking), changed_);
  ASSERT_EQ(judging_.size(), 1u);
  const pki::Verdict verdict =
      revoking->judge(judging_[0].leaf.get(), judging_[0].chain.get(), nullptr, clock_.unix_now());
  EXPECT_EQ(verdict.reason, Reason::Revoked);
  pool_.on_judged(judging_[0].connection, judging_[0].policy, verdict);

  EXPECT_EQ(pool_.total(), 0u);
  EXPECT_EQ(causes_, std::vector<std::string>{"trust"});
  EXPECT_TRUE(driver_.until([&] { return tls_peers_.back()->ended; }));
}

TEST_F(PoolTest, TellsTheUserOfAConnectionThatFailsTheNewTrust) {
  RecordingUser user;
  open_tls(user, policy_);
  request(user);
  driver_.settle();
  pool_.on_snapshot(snapshot_with(policy_with("key-1", "epoch-2")), changed_);
  ASSERT_EQ(judging_.size(), 1u);

  pool_.on_judged(judging_[0].connection, judging_[0].policy,
                  {.reason = Reason::Revoked, .detail = "revoked"});

  EXPECT_EQ(user.reason(), Reason::Revoked);
  EXPECT_EQ(pool_.total(), 0u);
}

TEST_F(PoolTest, ClosesIdleConnectionsOfAnIdentityThatWasReplaced) {
  RecordingUser user;
  open_tls(user, policy_);
  exchange_tls(user);

  pool_.on_snapshot(snapshot_with(policy_with("key-2", "epoch-1")), changed_);

  EXPECT_EQ(pool_.total(), 0u);
  EXPECT_EQ(causes_, std::vector<std::string>{"identity"});
}

TEST_F(PoolTest, ClosesIdleConnectionsOfAPolicyThatIsGoneOrRefused) {
  RecordingUser user;
  open_tls(user, policy_);
  exchange_tls(user);
  pool_.on_snapshot(route::Snapshot{}, changed_);
  EXPECT_EQ(pool_.total(), 0u);

  open_tls(user, policy_);
  exchange_tls(user);
  const auto refused = policy_with("", "");
  refused->refused = Error{Reason::CaMissing, "no ca.crt"};
  pool_.on_snapshot(snapshot_with(refused), changed_);
  EXPECT_EQ(pool_.total(), 0u);
}

// A trust that is gone altogether has shrunk; a bad pair of ours says nothing against the backend.
TEST_F(PoolTest, ClosesConnectionsInUseWhoseTrustIsGone) {
  for (const Reason reason : {Reason::CaMissing, Reason::NotPermitted, Reason::KeyMismatch}) {
    RecordingUser user;
    open_tls(user, policy_);
    request(user);
    driver_.settle();
    const auto refused = policy_with("", "");
    refused->refused = Error{reason, "refused"};

    pool_.on_snapshot(snapshot_with(refused), changed_);

    if (reason == Reason::KeyMismatch) {
      EXPECT_FALSE(user.failure);
    } else {
      EXPECT_EQ(user.reason(), reason);
    }
  }
}

TEST_F(PoolTest, LeavesAConnectionInUseAloneWhenItsIdentityIsReplaced) {
  RecordingUser user;
  open_tls(user, policy_);
  request(user);
  pool_.on_snapshot(snapshot_with(policy_with("key-2", "epoch-1")), changed_);
  tls_peers_.back()->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");

  EXPECT_TRUE(driver_.until([&] { return user.ended; }));
  EXPECT_EQ(user.body, "ok");
}

// What a name rule or a depth says now holds for connections in use too, though CA and CRL are the
// same bytes as before (design invariant 7).
TEST_F(PoolTest, HasConnectionsInUseJudgedWhenOnlyTheRulesChange) {
  RecordingUser user;
  open_tls(user, policy_);
  request(user);
  driver_.settle();
  const auto renamed = policy_with("key-2", "epoch-1");
  renamed->rules.names = {"billing.shop.svc"};

  pool_.on_snapshot(snapshot_with(renamed), changed_);

  EXPECT_EQ(judging_.size(), 1u);
}

// Two Ingresses with the same rules share connections; what becomes of one's says nothing of the
// other's.
TEST_F(PoolTest, HoldsAConnectionInUseToThePolicyOfItsUser) {
  RecordingUser user;
  open_tls(user, policy_);
  request(user);
  driver_.settle();
  user.today = policy_;
  const auto renamed = policy_with("key-2", "epoch-1");
  renamed->rules.names = {"billing.shop.svc"};
  pool_.on_snapshot(snapshot_with(renamed), changed_);
  pool_.on_snapshot(route::Snapshot{}, changed_);
  EXPECT_EQ(judging_.size(), 0u);

  user.today = policy_with("key-1", "epoch-2");
  pool_.on_snapshot(route::Snapshot{}, {"shop/another"});
  pool_.on_snapshot(route::Snapshot{}, {"shop/another"});
  ASSERT_EQ(judging_.size(), 1u);
  EXPECT_EQ(judging_[0].policy, user.today);

  const auto refused = policy_with("", "");
  refused->refused = Error{Reason::CaMissing, "no ca.crt"};
  user.today = refused;
  pool_.on_snapshot(route::Snapshot{}, {"shop/another"});
  EXPECT_EQ(user.reason(), Reason::CaMissing);
}

// An identity or rules that were replaced while the connection was in use: it must not become idle,
// or it would be there again when the old ones come back, never judged by what holds then.
TEST_F(PoolTest, DoesNotPoolAConnectionWhoseRulesWereReplacedWhileItWasInUse) {
  RecordingUser user;
  open_tls(user, policy_);
  request(user);
  pool_.on_snapshot(snapshot_with(policy_with("key-2", "epoch-1")), changed_);
  tls_peers_.back()->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  ASSERT_TRUE(driver_.until([&] { return user.ended; }));

  user.channel->release();

  EXPECT_EQ(pool_.idle(), 0u);
  EXPECT_EQ(pool_.total(), 0u);
}

TEST_F(PoolTest, ClosesAnIdleConnectionOnBytesThatNobodyAskedFor) {
  RecordingUser user;
  open(user);
  exchange(user);
  backend_.last().send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");

  EXPECT_TRUE(driver_.until([&] { return pool_.total() == 0; }));
}

TEST_F(PoolTest, DoesNotPoolAConnectionWithBytesBehindTheResponse) {
  RecordingUser user;
  open(user);
  request(user);
  ASSERT_TRUE(driver_.until([&] { return !backend_.last().received.empty(); }));
  backend_.last().send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n");
  ASSERT_TRUE(driver_.until([&] { return user.ended; }));
  user.channel->release();

  EXPECT_EQ(pool_.total(), 0u);
}

// The second record came in the same receive as the first and lies in OpenSSL's buffer: no event
// will ever tell of it.
TEST_F(PoolTest, DoesNotPoolATlsConnectionWithARecordBehindTheResponse) {
  RecordingUser user;
  open_tls(user, policy_);
  driver_.settle();
  exchange_tls(user, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  driver_.settle();

  RecordingUser next;
  EXPECT_EQ(take(policy_, next), nullptr);
  EXPECT_EQ(pool_.total(), 0u);
}

// Bytes that fill the read to its last byte leave more in the socket, of which no event tells.
TEST_F(PoolTest, DoesNotPoolAConnectionWithBytesLeftInTheSocket) {
  RecordingUser user;
  open(user);
  request(user);
  ASSERT_TRUE(driver_.until([&] { return !backend_.last().received.empty(); }));
  std::string head = "HTTP/1.1 200 OK\r\nContent-Length: ";
  const std::size_t body = BufferPool::kBlockSize - head.size() - 5 - 4;
  head += std::to_string(body) + "\r\n\r\n";
  ASSERT_EQ(head.size() + body, BufferPool::kBlockSize);
  backend_.last().send(head + std::string(body, 'x') + "HTTP/1.1 200 OK\r\n\r\n");
  ASSERT_TRUE(driver_.until([&] { return user.ended; }));
  user.channel->release();
  driver_.settle();

  EXPECT_EQ(pool_.total(), 0u);
}

// Bytes that come before a byte of the request has gone out can't be its answer.
TEST_F(PoolTest, TakesNoAnswerThatCameBeforeTheRequestWasSent) {
  RecordingUser first;
  open(first);
  RecordingUser second;
  open(second);
  request(second);
  driver_.settle();
  request(first);
  driver_.settle();
  backend_.peers[0]->send(kEmptyAnswer);
  ASSERT_TRUE(driver_.until([&] { return first.ended; }));
  std::exchange(first.channel, nullptr)->release();
  RecordingUser next;
  second.when_ended = [&] {
    ASSERT_NE(take(nullptr, next), nullptr);
    request(next);
  };

  // Both are met in one round, the answer first: the connection is asked before its event comes.
  backend_.peers[1]->send(kEmptyAnswer);
  backend_.peers[1]->pump();
  backend_.peers[0]->send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  backend_.peers[0]->pump();
  ASSERT_TRUE(driver_.until([&] { return next.failure.has_value() || !next.statuses.empty(); }));

  EXPECT_TRUE(next.statuses.empty());
  EXPECT_EQ(next.reason(), Reason::BadResponse);
  EXPECT_TRUE(next.unprocessed);
}

TEST_F(PoolTest, ClosesAnIdleConnectionThatTheBackendCloses) {
  RecordingUser user;
  open(user);
  exchange(user);
  backend_.last().finish();

  EXPECT_TRUE(driver_.until([&] { return pool_.total() == 0; }));
}

TEST_F(PoolTest, DoesNotPoolWhatTheBackendWantsClosed) {
  RecordingUser user;
  open(user);
  request(user);
  backend_.last().send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(driver_.until([&] { return user.ended; }));
  user.channel->release();

  EXPECT_EQ(pool_.total(), 0u);
}

TEST_F(PoolTest, DoesNotPoolAResponseThatIsNotWhole) {
  RecordingUser user;
  open(user);
  request(user);
  driver_.settle();
  user.channel->release();

  EXPECT_EQ(pool_.total(), 0u);
}

TEST_F(PoolTest, ClosesIdleConnectionsAfterAWhile) {
  RecordingUser user;
  open(user);
  exchange(user);
  clock_.advance(limits_.idle + std::chrono::seconds(1));

  EXPECT_TRUE(driver_.until([&] { return pool_.total() == 0; }));
}

TEST_F(PoolTest, HandsNothingOutBeyondTheTimeThatItsVerificationRestsOn) {
  leaf_ = root_.issue("orders.shop.svc", {.not_after = clock_.unix_now() + 30});
  server_ = handfast::testing::make_server_ctx(leaf_);
  RecordingUser user;
  open_tls(user, policy_);
  exchange_tls(user);
  clock_.advance(std::chrono::seconds(31));
  driver_.settle();

  EXPECT_EQ(take(policy_, user), nullptr);
  driver_.settle();
  pool_.close_expired();
  EXPECT_EQ(pool_.total(), 0u);
}

TEST_F(PoolTest, EndsConnectionsInUseWhenOurCertificateExpires) {
  const auto client = root_.issue("handfast-client", {.not_after = clock_.unix_now() + 30});
  policy_->identity = handfast::testing::load_identity(client);
  RecordingUser user;
  open_tls(user, policy_);
  request(user);
  clock_.advance(std::chrono::seconds(31));
  driver_.settle();
  pool_.close_expired();

  EXPECT_EQ(user.reason(), Reason::ClientCertificateExpired);
}

// Design invariant 7: connections in use end when our certificate or the peer's expires.
TEST_F(PoolTest, EndsConnectionsInUseWhenThePeersCertificateExpires) {
  leaf_ = root_.issue("orders.shop.svc", {.not_after = clock_.unix_now() + 30});
  server_ = handfast::testing::make_server_ctx(leaf_);
  RecordingUser user;
  open_tls(user, policy_);
  request(user);
  clock_.advance(std::chrono::seconds(31));
  driver_.settle();
  pool_.close_expired();

  EXPECT_EQ(user.reason(), Reason::Expired);
}

class ResumedPoolTest : public PoolTest, public ::testing::WithParamInterface<int> {
 protected:
  // An idle connection that took up the session of one before.
  void open_resumed(RecordingUser& user) {
    policy_->min_version = policy_->max_version = GetParam();
    RecordingUser first;
    open_tls(first, policy_);
    exchange_tls(first);
    pool_.close_idle();
    open_tls(user, policy_);
    ASSERT_EQ(resumed_, (std::vector<bool>{false, true}));
  }
};

INSTANTIATE_TEST_SUITE_P(Versions, ResumedPoolTest,
                         ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION));

TEST_P(ResumedPoolTest, TellsWhoThePeerIsThoughNoCertificateWasSent) {
  policy_->identity = handfast::testing::load_identity(root_.issue("handfast-client"));
  server_ = handfast::testing::make_server_ctx(leaf_, &root_);
  SSL_CTX_set_session_id_context(server_.get(), reinterpret_cast<const unsigned char*>("x"), 1);
  RecordingUser user;
  open_resumed(user);

  const TlsFacts& facts = user.channel->peer().tls;
  EXPECT_TRUE(facts.resumed);
  EXPECT_TRUE(facts.certificate_requested);
  EXPECT_EQ(facts.peer_subject, "CN=orders.shop.svc");
  EXPECT_EQ(facts.peer_serial, leaf_.serial());
}

TEST_P(ResumedPoolTest, HasAResumedConnectionJudgedWhenTheTrustChanges) {
  RecordingUser user;
  open_resumed(user);
  request(user);
  driver_.settle();
  const auto revoking = policy_with("key-1", "epoch-2");
  handfast::testing::add_crl(*revoking, root_.crl_pem({&leaf_}));

  pool_.on_snapshot(snapshot_with(revoking), changed_);
  ASSERT_EQ(judging_.size(), 1u);
  const pki::Verdict verdict =
      revoking->judge(judging_[0].leaf.get(), judging_[0].chain.get(), nullptr, clock_.unix_now());
  EXPECT_EQ(verdict.reason, Reason::Revoked);
  pool_.on_judged(judging_[0].connection, judging_[0].policy, verdict);
  EXPECT_EQ(user.reason(), Reason::Revoked);

  RecordingUser next;
  open_tls(next, revoking);
  EXPECT_EQ(next.reason(), Reason::Revoked);
}

TEST_P(ResumedPoolTest, HandsAResumedConnectionOutNoLongerThanItsVerificationHolds) {
  handfast::testing::add_crl(*policy_, root_.crl_pem({}, {.next_update = clock_.unix_now() + 30}));
  RecordingUser user;
  open_resumed(user);
  exchange_tls(user);
  clock_.advance(std::chrono::seconds(31));
  driver_.settle();

  EXPECT_EQ(take(policy_, user), nullptr);
}

TEST_P(ResumedPoolTest, EndsAResumedConnectionInUseWhenThePeersCertificateExpires) {
  leaf_ = root_.issue("orders.shop.svc", {.not_after = clock_.unix_now() + 30});
  server_ = handfast::testing::make_server_ctx(leaf_);
  RecordingUser user;
  open_resumed(user);
  request(user);
  clock_.advance(std::chrono::seconds(31));
  driver_.settle();
  pool_.close_expired();

  EXPECT_EQ(user.reason(), Reason::Expired);
}

TEST_F(PoolTest, ClosesAllIdleOnesAtTheEnd) {
  RecordingUser user;
  open(user);
  exchange(user);
  pool_.close_idle();

  EXPECT_EQ(pool_.total(), 0u);
  EXPECT_TRUE(driver_.until([&] { return backend_.last().ended; }));
}

TEST_F(PoolTest, WhoWaitsNoMoreOrAbandonsLeavesNothingBehind) {
  RecordingUser connecting;
  connect(connecting);
  pool_.cancel(connecting);
  RecordingUser refused;
  ASSERT_TRUE(pool_.connect({.address = net::Address::from_ip("127.0.0.1", 1).value()}, "shop/x:80",
                            refused));
  pool_.cancel(refused);
  RecordingUser busy;
  open(busy);
  request(busy);
  busy.channel->abandon();
  driver_.settle();

  EXPECT_EQ(pool_.total(), 0u);
  EXPECT_FALSE(connecting.ready || connecting.failure || refused.failure || busy.failure);
}

TEST_F(PoolTest, KeepsNoMoreIdleConnectionsThanItsLimit) {
  limits_.max_idle = 2;
  Pool small(*loop_, buffers_, tls_, limits_, hooks());
  std::array<RecordingUser, 4> users;
  for (RecordingUser& user : users) {
    ASSERT_TRUE(small.connect({.address = backend_.address()}, "shop/orders:80", user));
  }
  ASSERT_TRUE(driver_.until([&] {
    return std::ranges::all_of(users, [](const RecordingUser& user) { return user.ready; }) &&
           backend_.peers.size() == users.size();
  }));
  for (RecordingUser& user : users) request(user);
  driver_.settle();
  for (auto& peer : backend_.peers) peer->send(kEmptyAnswer);
  ASSERT_TRUE(driver_.until([&] {
    return std::ranges::all_of(users, [](const RecordingUser& user) { return user.ended; });
  }));

  for (RecordingUser& user : users) user.channel->release();

  EXPECT_EQ(small.idle(), 2u);
  EXPECT_EQ(small.total(), 2u);
  driver_.settle();
}

TEST_F(PoolTest, MakesNoMoreConnectionsToAnEndpointThanItsLimit) {
  Pool small(*loop_, buffers_, tls_, {.max_per_endpoint = 2}, hooks());
  const Target target{.address = backend_.address()};
  std::array<RecordingUser, 3> users;
  ASSERT_TRUE(small.connect(target, "shop/orders:80", users[0]));
  ASSERT_TRUE(small.connect(target, "shop/orders:80", users[1]));
  EXPECT_FALSE(small.connect(target, "shop/orders:80", users[2]));
  EXPECT_TRUE(small.connect({.address = net::Address::from_ip("127.0.0.1", 1).value()},
                            "shop/orders:80", users[2]));
  ASSERT_TRUE(driver_.until([&] { return users[0].ready && users[1].ready && users[2].failure; }));
  EXPECT_FALSE(small.connect(target, "shop/orders:80", users[2]));

  users[0].channel->abandon();

  EXPECT_TRUE(small.connect(target, "shop/orders:80", users[2]));
  small.cancel(users[2]);
  EXPECT_TRUE(small.connect(target, "shop/orders:80", users[0]));
  small.cancel(users[0]);
  users[1].channel->abandon();
  driver_.settle(2);
}

TEST_F(PoolTest, AnIdleConnectionOfAnotherIdentityMakesRoom) {
  Pool small(*loop_, buffers_, tls_, {.max_per_endpoint = 1}, hooks());
  RecordingUser user;
  ASSERT_TRUE(small.connect({.address = backend_.address()}, "shop/orders:80", user));
  ASSERT_TRUE(driver_.until([&] { return user.ready && backend_.peers.size() == 1; }));
  exchange(user);
  EXPECT_EQ(small.idle(), 1u);
  RecordingUser other;

  EXPECT_TRUE(
      small.connect({.address = backend_.address(), .policy = policy_}, "shop/orders:443", other));
  EXPECT_EQ(small.idle(), 0u);
  small.cancel(other);
  driver_.settle(2);
}

TEST_F(PoolTest, WhoWaitedForAnAttemptThatTurnedOutHttp1IsToldThatTheEndpointIsFull) {
  Pool small(*loop_, buffers_, tls_, {.max_per_endpoint = 1}, hooks());
  const Target target{.address = backend_.address(), .policy = policy_, .wire = Wire::Either};
  std::array<RecordingUser, 2> users;
  backend_.reading = false;
  for (RecordingUser& user : users) ASSERT_TRUE(small.connect(target, "shop/orders:443", user));
  ASSERT_TRUE(driver_.until([&] { return !backend_.peers.empty(); }));
  tls_peers_.push_back(std::make_unique<handfast::testing::TlsPeer>(backend_.last().release(),
                                                                    server_, /*server=*/true));

  ASSERT_TRUE(driver_.until([&] { return users[0].ready && users[1].failure; }));
  EXPECT_EQ(users[1].reason(), Reason::NoEndpoints);
  users[0].channel->abandon();
  driver_.settle(2);
}

}  // namespace
}  // namespace handfast::upstream
