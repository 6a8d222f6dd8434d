#include "proxy/net/listener.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstdlib>
#include <filesystem>

#include "tests/support/times.h"
#include "tests/unit/proxy/event/loop_driver.h"
#include "tests/unit/proxy/net/peer.h"

namespace handfast::net {
namespace {

class ListenerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    UniqueFd fd = std::move(open_listener(Address::from_ip("127.0.0.1", 0).value()).value());
    address_ = local_address(fd.get());
    listener_ = std::move(Listener::create(
                              *loop_, std::move(fd),
                              [this](Socket socket, const Address& peer) {
                                accepted_.push_back(std::move(socket));
                                last_peer_ = peer;
                              },
                              [this] { ++pauses_; })
                              .value());
  }

  handfast::testing::FakeClock clock_;
  std::unique_ptr<event::Loop> loop_ = std::move(event::Loop::create(clock_).value());
  handfast::testing::LoopDriver driver_{*loop_};
  Address address_;
  std::unique_ptr<Listener> listener_;
  std::vector<Socket> accepted_;
  Address last_peer_;
  int pauses_ = 0;
};

TEST_F(ListenerTest, AcceptsEveryConnectionThatIsQueued) {
  std::vector<std::unique_ptr<handfast::testing::Peer>> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(handfast::testing::Peer::connect(address_));

  EXPECT_TRUE(driver_.until([&] { return accepted_.size() == 20; }));
  EXPECT_EQ(last_peer_.ip(), "127.0.0.1");
}

TEST_F(ListenerTest, ClosingAcceptsWhatIsQueuedAndThenRefuses) {
  const auto client = handfast::testing::Peer::connect(address_);

  listener_->close();

  EXPECT_EQ(accepted_.size(), 1u);
  const UniqueFd late(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_NE(::connect(late.get(), address_.data(), address_.length()), 0);
}

// Takes all descriptors away from this process, which keeps those that it has.
class NoDescriptors {
 public:
  NoDescriptors() {
    check(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit none{0, before_.rlim_max};
    check(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(ListenerTest, PausesWithoutDescriptorsAndGoesOnByItself) {
  const auto client = handfast::testing::Peer::connect(address_);
  {
    const NoDescriptors none;
    driver_.settle();
  }
  ASSERT_TRUE(accepted_.empty());
  EXPECT_EQ(pauses_, 1);

  clock_.advance(std::chrono::milliseconds(200));

  EXPECT_TRUE(driver_.until([&] { return accepted_.size() == 1; }));
  EXPECT_EQ(pauses_, 1);
}

TEST_F(ListenerTest, TriesOncePerPauseHoweverManyArrive) {
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 20; ++i) clients.emplace_back(::socket(AF_INET, SOCK_STREAM, 0));
  {
    const NoDescriptors none;
    for (const UniqueFd& client : clients) {
      ASSERT_EQ(::connect(client.get(), address_.data(), address_.length()), 0);
      driver_.settle(3);
    }
    EXPECT_EQ(pauses_, 1);
    clock_.advance(std::chrono::milliseconds(200));
    driver_.settle();
    EXPECT_EQ(pauses_, 2);
  }
  clock_.advance(std::chrono::milliseconds(200));

  EXPECT_TRUE(driver_.until([&] { return accepted_.size() == clients.size(); }));
  EXPECT_EQ(pauses_, 2);
}

TEST_F(ListenerTest, TakesNewConnectionsAfterAPause) {
  const auto first = handfast::testing::Peer::connect(address_);
  {
    const NoDescriptors none;
    driver_.settle();
  }
  clock_.advance(std::chrono::milliseconds(200));
  ASSERT_TRUE(driver_.until([&] { return accepted_.size() == 1; }));

  const auto second = handfast::testing::Peer::connect(address_);

  EXPECT_TRUE(driver_.until([&] { return accepted_.size() == 2; }));
}

TEST(OpenListener, TakesIpv6AloneOnAnIpv6Address) {
  const auto v6 = open_listener(Address::from_ip("::", 0).value());
  if (!v6) GTEST_SKIP() << "no IPv6 here: " << v6.error().detail;
  const std::uint16_t port = local_address(v6->get()).port();
  const Address loopback = Address::from_ip("127.0.0.1", port).value();
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

  EXPECT_NE(::connect(client.get(), loopback.data(), loopback.length()), 0);
  EXPECT_TRUE(open_listener(Address::from_ip("0.0.0.0", port).value()));
}

TEST(OpenListener, SaysWhichAddressCannotBeHad) {
  const auto fd = open_listener(Address::from_ip("203.0.113.1", 1).value());

  ASSERT_FALSE(fd);
  EXPECT_NE(fd.error().detail.find("203.0.113.1:1"), std::string::npos);
}

class UnixListenerTest : public ::testing::Test {
 protected:
  UnixListenerTest() {
    std::string pattern = ::testing::TempDir() + "handfast-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
    path_ = directory_ + "/control";
  }
  ~UnixListenerTest() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
  std::string path_;
};

TEST_F(UnixListenerTest, IsForItsOwnerOnly) {
  const auto fd = open_unix_listener(path_);
  ASSERT_TRUE(fd) << fd.error();
  struct stat info{};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);

  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(UnixListenerTest, ReplacesASocketThatNobodyListensOnAndNoOther) {
  {
    const auto dead = open_unix_listener(path_);
    ASSERT_TRUE(dead) << dead.error();
  }
  const auto living = open_unix_listener(path_);
  ASSERT_TRUE(living) << living.error();

  EXPECT_FALSE(open_unix_listener(path_));
}

TEST_F(UnixListenerTest, RefusesAPathThatIsTooLong) {
  EXPECT_FALSE(open_unix_listener(directory_ + "/" + std::string(200, 'x')));
}

}  // namespace
}  // namespace handfast::net
