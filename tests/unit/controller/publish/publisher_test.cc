#include "controller/publish/publisher.h"

#include <gtest/gtest.h>

#include "tests/support/times.h"
#include "tests/unit/controller/publish/faulty_file_system.h"
#include "tests/unit/controller/publish/samples.h"

namespace handfast::publish {
namespace {

using testing::add_app;
using testing::FaultyFileSystem;
using testing::is_whole;
using testing::read_current;
using testing::ScriptedProxy;
using Kind = Outcome::Kind;

constexpr char kPolicy[] = "tls/shop/orders/orders:443";

class Publishing : public ::testing::Test {
 protected:
  Publishing() {
    EXPECT_TRUE(writer_.recover(nullptr));
    add_app(one_, "orders", "1", "authority");
    add_app(two_, "orders", "2", "authority");
  }

  std::uint64_t current() { return read_current(files_).value_or(testing::Seen{}).generation; }

  config::UpstreamTls served_policy() {
    const auto seen = read_current(files_);
    EXPECT_TRUE(seen) << seen.error();
    return std::get<config::UpstreamTls>(config::parse_shard(seen->shards.at(kPolicy)).value());
  }

  static std::vector<config::Rejection> rejection(const std::string& field) {
    return {{kPolicy, field, "", Reason::KeyMismatch, "the key is another's"}};
  }

  Content one_, two_;
  FaultyFileSystem files_;
  GenerationWriter writer_{files_};
  ScriptedProxy proxy_;
  handfast::testing::FakeClock clock_;
  Publisher publisher_{writer_, proxy_, clock_};
};

TEST_F(Publishing, SwitchesOnceTheProxyHasAcknowledged) {
  const Outcome outcome = publisher_.publish(one_);

  EXPECT_EQ(outcome.kind, Kind::Acknowledged);
  EXPECT_EQ(outcome.generation, 1u);
  EXPECT_EQ(publisher_.acknowledged(), 1u);
  EXPECT_EQ(current(), 1u);
}

TEST_F(Publishing, WritesNothingWhenNothingChanged) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);

  EXPECT_EQ(publisher_.publish(one_).kind, Kind::Unchanged);
  EXPECT_EQ(writer_.newest(), 1u);
  EXPECT_EQ(proxy_.asked.size(), 1u);
}

TEST_F(Publishing, AChangeLeavesWhatItDoesNotName) {
  add_app(one_, "stock", "1", "authority");
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  ASSERT_FALSE(publisher_.needs_whole());
  two_.is_change = true;

  EXPECT_EQ(publisher_.publish(two_).kind, Kind::Acknowledged);

  Content both;
  add_app(both, "orders", "2", "authority");
  add_app(both, "stock", "1", "authority");
  EXPECT_TRUE(is_whole(*read_current(files_), both));
}

TEST_F(Publishing, AChangeTakesOutWhatIsGone) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  Content change;
  change.is_change = true;
  for (const config::Shard& shard : one_.shards) change.gone.push_back(config::shard_name(shard));
  change.gone.emplace_back("host/never-there.example");

  EXPECT_EQ(publisher_.publish(change).kind, Kind::Acknowledged);
  EXPECT_TRUE(is_whole(*read_current(files_), Content{}));

  // What only that generation used goes with it.
  for (int i = 0; i < 3; ++i) {
    Content other;
    add_app(other, "other" + std::to_string(i), "1", "authority");
    other.is_change = true;
    ASSERT_EQ(publisher_.publish(other).kind, Kind::Acknowledged);
  }
  EXPECT_FALSE(writer_.has_directory(
      directory_of(std::get<config::UpstreamTls>(one_.shards.back()).ca.front().path)));
}

TEST_F(Publishing, AChangeThatChangesNothingIsNone) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  one_.is_change = true;

  EXPECT_EQ(publisher_.publish(one_).kind, Kind::Unchanged);
  EXPECT_EQ(writer_.newest(), 1u);
}

TEST_F(Publishing, NeedsTheWholeAtFirstAndAfterAFailure) {
  EXPECT_TRUE(publisher_.needs_whole());
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  EXPECT_FALSE(publisher_.needs_whole());
  proxy_.reject({{"", "", "", Reason::Io, "index.yaml can't be read"}});

  ASSERT_EQ(publisher_.publish(two_).kind, Kind::Failed);

  EXPECT_TRUE(publisher_.needs_whole());
}

TEST_F(Publishing, AChangeKeepsWhatStandsInForARejectedShard) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  proxy_.reject(rejection("identity"));
  two_.is_change = true;
  ASSERT_EQ(publisher_.publish(two_).kind, Kind::Acknowledged);
  const config::UpstreamTls before = served_policy();
  Content change;
  add_app(change, "stock", "1", "authority");
  change.is_change = true;

  ASSERT_EQ(publisher_.publish(change).kind, Kind::Acknowledged);

  EXPECT_EQ(publisher_.replaced_count(), 1u);
  EXPECT_EQ(served_policy(), before);
}

TEST_F(Publishing, DoesNotSwitchWhileTheProxyHasNotAnswered) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  proxy_.be(ScriptedProxy::Kind::Failed);

  EXPECT_EQ(publisher_.publish(two_).kind, Kind::Pending);
  EXPECT_EQ(current(), 1u);
  EXPECT_EQ(publisher_.poll().kind, Kind::Acknowledged);
  EXPECT_EQ(current(), 2u);
}

TEST_F(Publishing, SwitchesWithoutAProxySoThatOneCanStart) {
  proxy_.be(ScriptedProxy::Kind::Absent);
  proxy_.be(ScriptedProxy::Kind::Absent);

  EXPECT_EQ(publisher_.publish(one_).kind, Kind::Pending);
  EXPECT_EQ(current(), 1u);
  EXPECT_EQ(publisher_.publish(two_).kind, Kind::Pending);
  EXPECT_EQ(current(), 2u);
  EXPECT_EQ(publisher_.acknowledged(), 0u);

  EXPECT_EQ(publisher_.poll().kind, Kind::Acknowledged);
  EXPECT_EQ(publisher_.acknowledged(), 2u);
}

TEST_F(Publishing, DoesNotSwitchToWhatTheProxyDiedOver) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  proxy_.be(ScriptedProxy::Kind::Failed);
  proxy_.be(ScriptedProxy::Kind::Absent);

  EXPECT_EQ(publisher_.publish(two_).kind, Kind::Pending);
  EXPECT_EQ(publisher_.poll().kind, Kind::Pending);

  EXPECT_EQ(current(), 1u);
}

TEST_F(Publishing, KeepsTheLastGoodItemOfARejectedShard) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  add_app(two_, "pay", "1", "authority");
  proxy_.reject(rejection("identity"));

  const Outcome outcome = publisher_.publish(two_);

  EXPECT_EQ(outcome.kind, Kind::Acknowledged);
  EXPECT_EQ(outcome.generation, 3u);
  ASSERT_EQ(outcome.replaced.size(), 1u);
  EXPECT_EQ(outcome.replaced[0].shard, kPolicy);
  EXPECT_EQ(served_policy(), std::get<config::UpstreamTls>(one_.shards[2]));
  EXPECT_EQ(read_current(files_)->shards.count("host/pay.example"), 1u);
}

TEST_F(Publishing, KeepsAShardReplacedUntilItsContentChanges) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  proxy_.reject(rejection("identity"));
  ASSERT_EQ(publisher_.publish(two_).kind, Kind::Acknowledged);

  EXPECT_EQ(publisher_.publish(two_).kind, Kind::Unchanged);
  EXPECT_EQ(publisher_.replaced_count(), 1u);
  Content three;
  add_app(three, "orders", "3", "authority");
  const Outcome outcome = publisher_.publish(three);

  EXPECT_EQ(outcome.kind, Kind::Acknowledged);
  EXPECT_TRUE(outcome.replaced.empty());
  EXPECT_EQ(publisher_.replaced_count(), 0u);
  EXPECT_TRUE(is_whole(read_current(files_).value(), three));
}

TEST_F(Publishing, RefusesAShardThatWasNeverGood) {
  proxy_.reject(rejection("identity"));

  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);

  const auto policy = served_policy();
  ASSERT_TRUE(policy.refused);
  EXPECT_EQ(policy.refused->reason, Reason::KeyMismatch);
  EXPECT_EQ(policy.refused->detail, "identity: the key is another's");
}

TEST_F(Publishing, RefusesAShardWhoseLastGoodFormIsRejectedToo) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  proxy_.reject(rejection("identity"));
  proxy_.reject(rejection("identity"));

  ASSERT_EQ(publisher_.publish(two_).kind, Kind::Acknowledged);

  EXPECT_TRUE(served_policy().refused);
}

TEST_F(Publishing, FailsWhenTheWholeGenerationIsRejected) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  proxy_.reject({{"", "", "", Reason::Io, "index.yaml can't be read"}});

  const Outcome outcome = publisher_.publish(two_);

  EXPECT_EQ(outcome.kind, Kind::Failed);
  EXPECT_NE(outcome.error.detail.find("index.yaml can't be read"), std::string::npos);
  EXPECT_EQ(current(), 1u);
}

TEST_F(Publishing, GivesUpOnAProxyThatRejectsEverything) {
  for (int i = 0; i < 100; ++i) proxy_.reject(rejection("identity"));

  EXPECT_EQ(publisher_.publish(one_).kind, Kind::Failed);
  EXPECT_LT(proxy_.asked.size(), 20u);
}

TEST_F(Publishing, GoesOnWithoutARejectedDefaultCertificate) {
  one_.default_certificate = std::get<config::UpstreamTls>(one_.shards[2]).identity;
  proxy_.reject({{"", "default_certificate", "", Reason::BadCertificate, "is not PEM"}});

  const Outcome outcome = publisher_.publish(one_);

  EXPECT_EQ(outcome.kind, Kind::Acknowledged);
  EXPECT_FALSE(writer_.manifest(writer_.current()).default_certificate);
  EXPECT_EQ(publisher_.publish(one_).kind, Kind::Unchanged);
}

TEST_F(Publishing, RefusesAPolicyWhoseFilesAreGone) {
  Content lost = one_;
  lost.files.clear();
  add_app(lost, "pay", "1", "authority");

  const Outcome outcome = publisher_.publish(lost);

  EXPECT_EQ(outcome.kind, Kind::Acknowledged);
  EXPECT_EQ(outcome.replaced.size(), 1u);
  EXPECT_TRUE(served_policy().refused);
}

TEST_F(Publishing, TakesAPolicyBackOnceItsFilesAreThereAgain) {
  Content lost = one_;
  lost.files.clear();
  ASSERT_EQ(publisher_.publish(lost).kind, Kind::Acknowledged);
  ASSERT_TRUE(served_policy().refused);

  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);

  EXPECT_FALSE(served_policy().refused);
  EXPECT_EQ(publisher_.replaced_count(), 0u);
  EXPECT_TRUE(is_whole(read_current(files_).value(), one_));
}

// Many Ingresses make one host, and nobody counts their paths.
TEST_F(Publishing, AHostThatIsTooLargeForAnybodyHurtsOnlyItself) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  Content change;
  add_app(change, "pay", "1", "authority");
  auto host = std::get<config::VirtualHost>(one_.shards[0]);
  for (char c = 'a'; c <= 'z'; ++c) {
    host.routes.push_back(host.routes.front());
    host.routes.back().path = '/' + std::string(400'000, c);
  }
  change.shards.emplace_back(host);
  change.is_change = true;

  const Outcome outcome = publisher_.publish(change);

  EXPECT_EQ(outcome.kind, Kind::Acknowledged);
  ASSERT_EQ(outcome.replaced.size(), 1u);
  EXPECT_EQ(outcome.replaced[0].shard, "host/orders.example");
  const auto seen = read_current(files_);
  ASSERT_TRUE(seen) << seen.error();
  EXPECT_EQ(seen->shards.count("host/pay.example"), 1u);
  const auto served = config::parse_shard(seen->shards.at("host/orders.example"));
  ASSERT_TRUE(served) << served.error();
  const auto& closed_host = std::get<config::VirtualHost>(*served);
  ASSERT_EQ(closed_host.routes.size(), 1u);
  EXPECT_TRUE(closed_host.routes[0].refused);

  EXPECT_EQ(publisher_.publish(change).kind, Kind::Unchanged);
  change.shards.back() = one_.shards[0];
  EXPECT_EQ(publisher_.publish(change).kind, Kind::Acknowledged);
  EXPECT_EQ(publisher_.replaced_count(), 0u);
}

TEST_F(Publishing, AShardAgainstTheRulesIsNeverWritten) {
  std::get<config::UpstreamTls>(one_.shards[2]).names = {"orders\nshop"};
  add_app(one_, "pay", "1", "authority");

  const Outcome outcome = publisher_.publish(one_);

  EXPECT_EQ(outcome.kind, Kind::Acknowledged);
  ASSERT_EQ(outcome.replaced.size(), 1u);
  EXPECT_TRUE(served_policy().refused);
}

TEST_F(Publishing, ClosesAShardWhoseRefusalIsRejectedToo) {
  add_app(one_, "pay", "1", "authority");
  std::get<config::UpstreamTls>(one_.shards[2]).ciphers = "NOBODY-KNOWS";
  proxy_.reject(rejection("ciphers"));
  proxy_.reject(rejection("ciphers"));

  const Outcome outcome = publisher_.publish(one_);

  EXPECT_EQ(outcome.kind, Kind::Acknowledged);
  EXPECT_TRUE(served_policy().refused);
  EXPECT_TRUE(served_policy().ciphers.empty());
  EXPECT_EQ(read_current(files_)->shards.count("host/pay.example"), 1u);
}

TEST_F(Publishing, KeepsTheFilesOfACandidateAndGoesOnWithoutThemIfTheyAreGone) {
  const auto policy_of = [](Content& content) -> config::UpstreamTls& {
    for (config::Shard& shard : content.shards) {
      if (auto* tls = std::get_if<config::UpstreamTls>(&shard)) return *tls;
    }
    return std::get<config::UpstreamTls>(content.shards.front());
  };
  Content waiting = one_;
  policy_of(waiting).candidate = config::Candidate{.identity = policy_of(two_).identity, .ca = {}};
  waiting.files.insert(two_.files.begin(), two_.files.end());
  EXPECT_EQ(publisher_.publish(waiting).kind, Kind::Acknowledged);
  EXPECT_TRUE(writer_.read_item_file(served_policy().candidate->identity->key));

  Content lost = one_;
  policy_of(lost).candidate = config::Candidate{
      .identity = config::KeyPairRef{"tls/shop/orders-tls/00000000000000ff/tls.crt",
                                     "tls/shop/orders-tls/00000000000000ff/tls.key", "Secret/a/b"},
      .ca = {}};
  EXPECT_TRUE(publisher_.publish(lost).replaced.empty());
  EXPECT_FALSE(served_policy().refused);
  EXPECT_FALSE(served_policy().candidate);
}

TEST_F(Publishing, WritesFilesAnewThatTheProxyFindsDamaged) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  const std::string key = std::get<config::UpstreamTls>(one_.shards[2]).identity->key;
  testing::damage(files_, key, "");
  auto damaged = rejection("identity");
  damaged[0].file = key;
  proxy_.reject(damaged);

  const Outcome found = publisher_.poll();

  EXPECT_EQ(found.kind, Kind::Failed);
  EXPECT_NE(found.error.detail.find(directory_of(key)), std::string::npos) << found.error;
  EXPECT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  EXPECT_EQ(current(), 2u);
  EXPECT_EQ(publisher_.replaced_count(), 0u);
  EXPECT_TRUE(is_whole(read_current(files_).value(), one_));
}

TEST_F(Publishing, WritesFilesAnewThatItFindsDamagedAtItsStart) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  testing::damage(files_, one_.files.begin()->first, nullptr);
  GenerationWriter writer{files_};
  ASSERT_TRUE(writer.recover(nullptr));
  Publisher publisher{writer, proxy_, clock_};

  EXPECT_EQ(publisher.publish(one_).kind, Kind::Acknowledged);

  EXPECT_TRUE(is_whole(read_current(files_).value(), one_));
  EXPECT_EQ(publisher.publish(one_).kind, Kind::Unchanged);
}

TEST_F(Publishing, RefusesOnlyThePolicyWhoseDamagedFilesNobodyHas) {
  add_app(one_, "pay", "1", "authority");
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  const auto& policy = std::get<config::UpstreamTls>(one_.shards[2]);
  testing::damage(files_, policy.identity->key, "");
  GenerationWriter writer{files_};
  ASSERT_TRUE(writer.recover(nullptr));
  Publisher publisher{writer, proxy_, clock_};
  Content bad = one_;
  bad.files.clear();  // as if both stayed at their last good

  const Outcome outcome = publisher.publish(bad);

  EXPECT_EQ(outcome.kind, Kind::Acknowledged);
  ASSERT_EQ(outcome.replaced.size(), 1u);
  EXPECT_EQ(outcome.replaced[0].shard, kPolicy);
  EXPECT_TRUE(served_policy().refused);
}

TEST_F(Publishing, RefusesAShardWhoseLastGoodFilesAreDamagedWhileTheyStandIn) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  proxy_.reject(rejection("identity"));
  ASSERT_EQ(publisher_.publish(two_).kind, Kind::Acknowledged);
  const std::string key = std::get<config::UpstreamTls>(one_.shards[2]).identity->key;
  testing::damage(files_, key, "");
  auto damaged = rejection("identity");
  damaged[0].file = key;
  proxy_.reject(damaged);
  ASSERT_EQ(publisher_.poll().kind, Kind::Failed);

  EXPECT_EQ(publisher_.publish(two_).kind, Kind::Acknowledged);

  EXPECT_TRUE(served_policy().refused);
  EXPECT_EQ(publisher_.publish(two_).kind, Kind::Unchanged) << "the wanted form stays rejected";
}

TEST_F(Publishing, SurvivesAFullDisk) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  const auto before = files_.files();
  files_.fail_at(3, FaultyFileSystem::Fault::Error);

  const Outcome outcome = publisher_.publish(two_);

  EXPECT_EQ(outcome.kind, Kind::Failed);
  EXPECT_EQ(outcome.error.reason, Reason::Io);
  EXPECT_EQ(files_.files(), before);
  EXPECT_EQ(publisher_.publish(two_).kind, Kind::Acknowledged);
}

TEST_F(Publishing, LoadsAgainWhatAProxyThatStartedAnewMayLack) {
  ASSERT_EQ(publisher_.publish(one_).kind, Kind::Acknowledged);
  proxy_.be(ScriptedProxy::Kind::Absent);

  EXPECT_EQ(publisher_.poll().kind, Kind::Pending);
  EXPECT_EQ(publisher_.poll().kind, Kind::Unchanged);
  EXPECT_EQ(proxy_.asked, (std::vector<std::uint64_t>{1, 1, 1}));
}

}  // namespace
}  // namespace handfast::publish
