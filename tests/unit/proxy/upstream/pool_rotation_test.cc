// Connections that end because time passed or rules changed: age, drains, audits, what a backend
// must ask for.

#include "proxy/upstream/pool.h"
#include "tests/unit/proxy/upstream/pool_fixture.h"

namespace handfast::upstream {
namespace {

using handfast::testing::RecordingUser;
using std::chrono::seconds;

class PoolRotationTest : public handfast::testing::PoolFixture {
 protected:
  PoolRotationTest() { policy_->identity = identity("client-1"); }

  std::shared_ptr<const pki::Identity> identity(const char* name) {
    return handfast::testing::load_identity(root_.issue(name));
  }
  bool takes(std::shared_ptr<const tls::UpstreamPolicy> policy) {
    RecordingUser user;
    Channel* const channel =
        pool_.take({.address = backend_.address(), .policy = std::move(policy)}, user);
    if (channel != nullptr) channel->abandon();
    return channel != nullptr;
  }
  // Ours is another certificate now.
  std::shared_ptr<tls::UpstreamPolicy> rotated(const char* key,
                                               std::optional<std::chrono::milliseconds> drain) {
    auto policy = policy_with(key, "epoch-1");
    policy->identity = identity(key);
    policy->drain = drain;
    return policy;
  }
  void open_busy(RecordingUser& user) {
    open_tls(user, policy_);
    request(user);
    driver_.settle();
  }
  void pass(seconds time) {
    clock_.advance(time);
    driver_.settle();
    pool_.close_expired();
    driver_.settle();
  }
};

TEST_F(PoolRotationTest, AConnectionBeyondItsAgeTakesNoNewRequest) {
  policy_->max_age = seconds(10);
  RecordingUser user;
  open_tls(user, policy_);
  exchange_tls(user);
  clock_.advance(seconds(10));
  driver_.settle();
  EXPECT_FALSE(takes(policy_));
  pass(seconds(0));
  EXPECT_EQ(pool_.total(), 0u);
  EXPECT_TRUE(causes_.empty());  // not by a change
}

TEST_F(PoolRotationTest, AConnectionInUseBeyondItsAgeEndsWithItsExchange) {
  policy_->max_age = seconds(10);
  RecordingUser user;
  open_busy(user);
  pass(seconds(11));
  EXPECT_EQ(user.reason(), Reason::Ok);
  tls_peers_.back()->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  ASSERT_TRUE(driver_.until([&] { return user.ended; }));
  std::exchange(user.channel, nullptr)->release();

  EXPECT_EQ(pool_.total(), 0u);
}

TEST_F(PoolRotationTest, AYoungConnectionIsKept) {
  policy_->max_age = seconds(10);
  RecordingUser user;
  open_tls(user, policy_);
  exchange_tls(user);
  pass(seconds(9));

  EXPECT_TRUE(takes(policy_));
}

TEST_F(PoolRotationTest, ConnectionsInUseUnderAnOldIdentityEndAfterTheDrainPeriod) {
  RecordingUser user;
  open_busy(user);
  pool_.on_snapshot(snapshot_with(rotated("key-2", seconds(5))), changed_);
  pass(seconds(4));
  EXPECT_EQ(user.reason(), Reason::Ok);
  pass(seconds(1));

  EXPECT_EQ(user.reason(), Reason::ClientCertificateExpired);
  EXPECT_EQ(causes_, std::vector<std::string>{"drained"});
}

TEST_F(PoolRotationTest, ASecondRotationDoesNotBeginTheDrainAnew) {
  RecordingUser user;
  open_busy(user);
  pool_.on_snapshot(snapshot_with(rotated("key-2", seconds(5))), changed_);
  pass(seconds(4));
  pool_.on_snapshot(snapshot_with(rotated("key-3", seconds(5))), changed_);
  pass(seconds(1));

  EXPECT_EQ(user.reason(), Reason::ClientCertificateExpired);
}

TEST_F(PoolRotationTest, WithoutADrainPeriodTheyLiveOn) {
  RecordingUser user;
  open_busy(user);
  pool_.on_snapshot(snapshot_with(rotated("key-2", std::nullopt)), changed_);
  pass(seconds(50));

  EXPECT_EQ(user.reason(), Reason::Ok);
}

// The rules changed, our certificate didn't.
TEST_F(PoolRotationTest, AChangeOfRulesAloneStartsNoDrain) {
  RecordingUser user;
  open_busy(user);
  auto ruled = policy_with("key-2", "epoch-1");
  ruled->drain = seconds(5);
  pool_.on_snapshot(snapshot_with(ruled), changed_);
  pass(seconds(50));

  EXPECT_EQ(user.reason(), Reason::Ok);
  EXPECT_EQ(judging_.size(), 1u);
}

// Trust was reduced, and the operator lets connections in use outlive it.
class PoolTrustDrainTest : public PoolRotationTest {
 protected:
  void reduce_trust(std::optional<std::chrono::milliseconds> drain) {
    auto policy = policy_with(policy_->key.c_str(), "epoch-2");
    policy->identity = policy_->identity;
    policy->trust_drain = drain;
    pool_.on_snapshot(snapshot_with(policy), changed_);
    ASSERT_EQ(judging_.size(), 1u);
    pool_.on_judged(judging_[0].connection, judging_[0].policy,
                    {.reason = Reason::Revoked, .detail = "revoked"});
    today_ = std::move(policy);
  }

  std::shared_ptr<const tls::UpstreamPolicy> today_;
};

TEST_F(PoolTrustDrainTest, OneInUseLivesOnForTheDrainPeriodAndTakesNoNewRequest) {
  RecordingUser user;
  open_busy(user);
  reduce_trust(seconds(5));

  EXPECT_EQ(user.reason(), Reason::Ok);
  EXPECT_FALSE(takes(today_));
  pass(seconds(4));
  EXPECT_EQ(user.reason(), Reason::Ok);
  EXPECT_TRUE(causes_.empty());
  pass(seconds(1));
  EXPECT_EQ(user.reason(), Reason::Revoked);
  EXPECT_EQ(causes_, std::vector<std::string>{"trust"});
}

TEST_F(PoolTrustDrainTest, OneInUseEndsWithItsExchange) {
  RecordingUser user;
  open_busy(user);
  reduce_trust(seconds(50));
  tls_peers_.back()->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  ASSERT_TRUE(driver_.until([&] { return user.ended; }));
  std::exchange(user.channel, nullptr)->release();

  EXPECT_EQ(pool_.total(), 0u);
}

TEST_F(PoolTrustDrainTest, AnIdleOneIsClosedAtOnce) {
  RecordingUser user;
  open_tls(user, policy_);
  exchange_tls(user);
  reduce_trust(seconds(50));
  driver_.settle();

  EXPECT_EQ(pool_.total(), 0u);
}

TEST_F(PoolTrustDrainTest, WithoutThePermissionOneInUseIsClosedAtOnce) {
  RecordingUser user;
  open_busy(user);
  reduce_trust(std::nullopt);

  EXPECT_EQ(user.reason(), Reason::Revoked);
}

class PoolAuditTest : public PoolRotationTest {
 protected:
  PoolAuditTest() {
    policy_->rules.names = {"other.shop.svc"};
    policy_->audit_until = clock_.unix_now() + 30;
  }
};

TEST_F(PoolAuditTest, ConnectionsThatAnAuditLetThroughEndWithIt) {
  RecordingUser idle;
  open_tls(idle, policy_);
  exchange_tls(idle);
  RecordingUser busy;
  open_busy(busy);
  EXPECT_EQ(busy.channel->peer().tls.would_refuse, Reason::NameMismatch);
  EXPECT_TRUE(takes(policy_));
  pass(seconds(29));
  EXPECT_EQ(busy.reason(), Reason::Ok);
  pass(seconds(1));

  EXPECT_EQ(busy.reason(), Reason::NameMismatch);
  EXPECT_EQ(causes_.back(), "audit");
  EXPECT_EQ(pool_.total(), 0u);
  RecordingUser late;
  open_tls(late, policy_);
  EXPECT_EQ(late.reason(), Reason::NameMismatch);
}

TEST_F(PoolAuditTest, AnExpiredBackendPassesAsLongAsTheAuditLasts) {
  policy_->rules.names = {"orders.shop.svc"};
  server_ = handfast::testing::make_server_ctx(
      root_.issue("orders.shop.svc", {.not_after = clock_.unix_now() - 1}));
  RecordingUser user;
  open_busy(user);
  pass(seconds(20));
  EXPECT_EQ(user.reason(), Reason::Ok);
  pass(seconds(10));

  EXPECT_NE(user.reason(), Reason::Ok);
}

TEST_F(PoolAuditTest, ConnectionsThatPassOutliveIt) {
  policy_->rules.names = {"orders.shop.svc"};
  RecordingUser user;
  open_busy(user);
  pass(seconds(31));

  EXPECT_EQ(user.reason(), Reason::Ok);
}

TEST_F(PoolAuditTest, ANewTrustThatBelievesThePeerEndsItsAudit) {
  RecordingUser user;
  open_busy(user);
  pool_.on_snapshot(snapshot_with(policy_with("key-1", "epoch-2")), changed_);
  ASSERT_EQ(judging_.size(), 1u);
  pool_.on_judged(judging_[0].connection, judging_[0].policy, {});
  pass(seconds(31));

  EXPECT_EQ(user.reason(), Reason::Ok);
}

TEST_F(PoolRotationTest, ABackendThatNeverAskedForOurCertificateIsCutOffOnceItMust) {
  RecordingUser user;
  open_busy(user);
  auto demanding = policy_with("key-2", "epoch-1");
  demanding->require_certificate_request = true;
  pool_.on_snapshot(snapshot_with(demanding), changed_);

  EXPECT_EQ(user.reason(), Reason::ClientCertificateNotRequested);
  EXPECT_EQ(causes_, std::vector<std::string>{"trust"});
}

TEST_F(PoolRotationTest, ABackendThatAskedIsLeftAlone) {
  server_ = handfast::testing::make_server_ctx(leaf_, &root_);
  RecordingUser user;
  open_busy(user);
  auto demanding = policy_with("key-2", "epoch-1");
  demanding->require_certificate_request = true;
  pool_.on_snapshot(snapshot_with(demanding), changed_);
  driver_.settle();

  EXPECT_EQ(user.reason(), Reason::Ok);
}

}  // namespace
}  // namespace handfast::upstream
