#include "proxy/upstream/dns_client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>

#include "proxy/upstream/resolver.h"
#include "tests/unit/proxy/upstream/dns_server.h"

namespace handfast::upstream {
namespace {

using handfast::testing::DnsServer;
using Kind = NameAnswer::Kind;
using Ips = std::vector<std::string>;

class DnsClientTest : public ::testing::Test {
 protected:
  ~DnsClientTest() override { std::filesystem::remove(resolv_conf_); }

  DnsClient::Options options() {
    return {.servers = server_.address(),
            .resolv_conf = resolv_conf_,
            .hosts_file = false,
            .timeout = std::chrono::milliseconds(2'000),
            .tries = 2,
            .has_route = [](const net::Address&) { return true; }};
  }
  void write_resolv_conf(const std::string& text) {
    // By another file in its place, as editors and kubelets do.
    std::ofstream(resolv_conf_ + ".new") << text;
    std::filesystem::rename(resolv_conf_ + ".new", resolv_conf_);
  }
  void start(DnsClient::Options options) {
    client_ = std::move(DnsClient::create(std::move(options)).value());
  }
  NameAnswer ask(const std::string& name) {
    if (client_ == nullptr) start(options());
    std::promise<NameAnswer> answered;
    client_->ask(name, [&](NameAnswer answer) { answered.set_value(std::move(answer)); });
    return answered.get_future().get();
  }
  static Ips ips(const NameAnswer& answer) {
    Ips all;
    for (const net::Address& address : answer.addresses) all.push_back(address.ip());
    std::ranges::sort(all);
    return all;
  }

  std::string resolv_conf_ = ::testing::TempDir() + "resolv.conf." + std::to_string(::getpid());
  DnsServer server_;
  std::unique_ptr<DnsClient> client_;
};

TEST_F(DnsClientTest, FindsAddressesOfBothFamiliesWithTheLeastTtl) {
  server_.add("db.example", "192.0.2.1", 300);
  server_.add("db.example", "192.0.2.2", 300);
  server_.add("db.example", "2001:db8::1", 120);

  const NameAnswer answer = ask("db.example");

  EXPECT_EQ(answer.kind, Kind::Found);
  EXPECT_EQ(ips(answer), (Ips{"192.0.2.1", "192.0.2.2", "2001:db8::1"}));
  EXPECT_EQ(answer.ttl, std::chrono::seconds(120));
}

TEST_F(DnsClientTest, ReckonsWithTheTtlOfAliases) {
  server_.add_alias("www.example", "cdn.example", 20);
  server_.add("cdn.example", "192.0.2.1", 300);

  const NameAnswer answer = ask("www.example");

  EXPECT_EQ(ips(answer), Ips{"192.0.2.1"});
  EXPECT_EQ(answer.ttl, std::chrono::seconds(20));
}

TEST_F(DnsClientTest, IsContentWithOneFamily) {
  server_.add("v6.example", "2001:db8::1");
  EXPECT_EQ(ips(ask("v6.example")), Ips{"2001:db8::1"});
  server_.add("half.example", "192.0.2.1");
  server_.set_failure("half.example", DnsServer::kServerFailure, DnsServer::kAaaa);

  EXPECT_EQ(ips(ask("half.example")), Ips{"192.0.2.1"});
}

TEST_F(DnsClientTest, LeavesOutWhatHasNoRouteWhereSomethingElseHas) {
  server_.add("db.example", "192.0.2.1");
  server_.add("db.example", "2001:db8::1");
  auto without_v6 = options();
  without_v6.has_route = [](const net::Address& address) { return address.family() == AF_INET; };
  start(without_v6);
  EXPECT_EQ(ips(ask("db.example")), Ips{"192.0.2.1"});

  server_.add("six.example", "2001:db8::1");
  EXPECT_EQ(ips(ask("six.example")), Ips{"2001:db8::1"});
}

TEST_F(DnsClientTest, TellsANameThatIsNotThereFromAServerThatFails) {
  server_.add("cert.example", "192.0.2.1");
  server_.set_failure("bad.example", DnsServer::kServerFailure);

  EXPECT_EQ(ask("none.example").kind, Kind::NoSuchName);
  const NameAnswer failed = ask("bad.example");

  EXPECT_EQ(failed.kind, Kind::Failed);
  EXPECT_FALSE(failed.detail.empty());
}

TEST_F(DnsClientTest, GivesUpOnAServerThatDoesNotAnswer) {
  auto hasty = options();
  hasty.timeout = std::chrono::milliseconds(20);
  start(hasty);
  server_.set_failure("silent.example", -1);
  server_.add("db.example", "192.0.2.1");

  EXPECT_EQ(ask("silent.example").kind, Kind::Failed);
  EXPECT_EQ(ask("db.example").kind, Kind::Found);
}

TEST_F(DnsClientTest, OneNameDoesNotWaitForAnother) {
  server_.set_failure("silent.example", -1);
  server_.add("db.example", "192.0.2.1");
  start(options());
  std::atomic<bool> answered = false;
  client_->ask("silent.example", [&](const NameAnswer&) { answered = true; });

  EXPECT_EQ(ask("db.example").kind, Kind::Found);

  EXPECT_FALSE(answered);
  client_ = nullptr;
  EXPECT_FALSE(answered);  // what isn't answered at the end never is
}

TEST_F(DnsClientTest, AnswersMoreNamesThanItAsksForAtOnce) {
  constexpr int kNames = 1'000;
  for (int i = 0; i < kNames; ++i) server_.add("n" + std::to_string(i) + ".example", "192.0.2.1");
  start(options());
  std::atomic<int> found = 0;
  std::atomic<int> left = kNames;
  std::promise<void> all;
  for (int i = 0; i < kNames; ++i) {
    client_->ask("n" + std::to_string(i) + ".example", [&](const NameAnswer& answer) {
      if (answer.kind == Kind::Found) ++found;
      if (--left == 0) all.set_value();
    });
  }
  all.get_future().wait();

  EXPECT_EQ(found, kNames);
}

TEST_F(DnsClientTest, AsksByTcpForAnAnswerThatIsTooLong) {
  for (int i = 1; i <= 100; ++i)
    server_.add("many.example", ("192.0.2." + std::to_string(i)).c_str());

  EXPECT_EQ(ips(ask("many.example")).size(), 100u);
}

TEST_F(DnsClientTest, TakesNamesOfAnyLength) {
  const std::string label(61, 'a');
  const std::string name = label + "." + label + "." + label + "." + label + ".abcd";
  ASSERT_EQ(name.size(), 252u);
  server_.add(name, "192.0.2.1");
  EXPECT_EQ(ask(name).kind, Kind::Found);

  EXPECT_NE(ask(name + "." + label).kind, Kind::Found);
  EXPECT_NE(ask(std::string(64, 'a') + ".example").kind, Kind::Found);
}

TEST_F(DnsClientTest, FollowsTheSearchDomainsAsTheyChange) {
  write_resolv_conf("nameserver 192.0.2.53\nsearch shop.svc.test svc.test\noptions ndots:3\n");
  server_.add("orders.shop.svc.test", "192.0.2.1");
  server_.add("orders.bank.svc.test", "192.0.2.2");
  server_.add("a.b.c.example", "192.0.2.3");
  EXPECT_EQ(ips(ask("orders")), Ips{"192.0.2.1"});
  EXPECT_EQ(ips(ask("orders.bank")), Ips{"192.0.2.2"});
  EXPECT_EQ(ips(ask("a.b.c.example")), Ips{"192.0.2.3"});
  EXPECT_FALSE(server_.asked().contains("a.b.c.example.shop.svc.test"));

  write_resolv_conf("search bank.svc.test\n");

  EXPECT_EQ(ips(ask("orders")), Ips{"192.0.2.2"});
}

TEST_F(DnsClientTest, ReadsTheHostsFileWithoutAskingAServer) {
  auto with_hosts = options();
  with_hosts.hosts_file = true;
  start(with_hosts);

  EXPECT_EQ(ask("localhost").kind, Kind::Found);
  EXPECT_TRUE(server_.asked().empty());
}

TEST_F(DnsClientTest, RefusesServersThatAreNone) {
  auto wrong = options();
  wrong.servers = "not a server";

  EXPECT_FALSE(DnsClient::create(wrong).has_value());
}

TEST_F(DnsClientTest, AnswersAResolver) {
  server_.add("db.example", "192.0.2.1");
  server_.add("db.example", "127.0.0.1");
  start(options());
  const SystemClock clock;
  Resolver resolver(clock, [this](const std::string& name, auto answered) {
    client_->ask(name, std::move(answered));
  });
  std::promise<Addresses> answered;
  ASSERT_EQ(resolver.lookup("db.example", 5432,
                            [&](Addresses found) { answered.set_value(std::move(found)); }),
            nullptr);

  EXPECT_EQ(*answered.get_future().get(),
            std::vector{net::Address::from_ip("192.0.2.1", 5432).value()});
  client_ = nullptr;
}

TEST(HasRoute, KnowsLoopbackAndNoOtherFamily) {
  EXPECT_TRUE(DnsClient::has_route(net::Address::from_ip("127.0.0.1", 0).value()));
  EXPECT_FALSE(DnsClient::has_route(net::Address()));
}

}  // namespace
}  // namespace handfast::upstream
