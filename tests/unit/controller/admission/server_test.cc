#include "controller/admission/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "controller/admission/self_signed.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/base/unique_fd.h"
#include "tests/support/test_authority.h"
#include "tests/support/times.h"
#include "tests/unit/controller/admission/tls_client.h"

namespace handfast::admission {
namespace {

using handfast::testing::kDay;
using handfast::testing::kYear2120;
using handfast::testing::TestAuthority;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using testing::TlsClient;
using testing::TlsClientOptions;

// A port of loopback that was free just now.
std::string free_address() {
  const UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  check(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0, "bind");
  check(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0, "name");
  return "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

SelfSigned make() {
  const UnixSeconds now = SystemClock{}.unix_now();
  auto made = make_self_signed(
      {.names = {"a.svc"}, .not_before = now - 60, .not_after = now + 3600, .with_crl = false});
  check(made.has_value(), "no certificate");
  return std::move(*made);
}

// The wall clock, of which servers' threads ask while a test moves it.
class MovedClock final : public Clock {
 public:
  [[nodiscard]] Monotonic now() const override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] UnixSeconds unix_now() const override { return now_; }
  void set(UnixSeconds now) { now_ = now; }

 private:
  std::atomic<UnixSeconds> now_ = SystemClock{}.unix_now();
};

// A server at a free port, whose answers say how long the body was.
class OpenServer : public ::testing::Test {
 protected:
  OpenServer() { ::signal(SIGPIPE, SIG_IGN); }

  void open(const ServingTls::Files& files) {
    auto tls = ServingTls::open(files);
    check(tls.has_value(), "no TLS");
    tls_ = std::move(*tls);
    const SelfSigned pair = make();
    check(tls_->use(pair.certificate, pair.key).has_value(), "no pair");
    for (int tries = 0; tries < 20 && server_ == nullptr; ++tries) {
      address_ = free_address();
      auto opened = Server::open(
          address_, *tls_,
          [this](const std::string& body) {
            ++asked_;
            return Server::Reply{200, "{\"size\":" + std::to_string(body.size()) + "}"};
          },
          clock_);
      if (opened) server_ = std::move(*opened);
    }
    check(server_ != nullptr, "no free port");
  }

  MovedClock clock_;
  std::atomic<int> asked_ = 0;
  std::unique_ptr<ServingTls> tls_;
  std::string address_;
  std::unique_ptr<Server> server_;
};

class ServerTest : public OpenServer {
 protected:
  ServerTest() { open({}); }

  std::string ask(const std::string& head, const std::string& body, std::string_view end) {
    TlsClient client{address_};
    check(client.connected(), "no connection");
    client.send(head + "\r\n\r\n" + body);
    return client.receive(end);
  }
};

constexpr const char* kPost = "POST /validate?timeout=5s HTTP/1.1\r\nHost: a\r\n";

TEST_F(ServerTest, AnswersAReview) {
  const std::string got = ask(std::string(kPost) + "Content-Length: 3", "abc", "}");

  EXPECT_THAT(got, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(got, HasSubstr("application/json"));
  EXPECT_THAT(got, HasSubstr("{\"size\":3}"));
}

TEST_F(ServerTest, AnswersSeveralOnOneConnection) {
  TlsClient client{address_};
  for (int n = 0; n < 3; ++n) {
    client.send(std::string(kPost) + "Content-Length: 1\r\n\r\nx");
    EXPECT_THAT(client.receive("}"), HasSubstr("{\"size\":1}"));
  }
}

TEST_F(ServerTest, KnowsOnePath) {
  EXPECT_THAT(ask("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0", "", "found"),
              StartsWith("HTTP/1.1 404"));
}

TEST_F(ServerTest, TakesNothingButPosts) {
  EXPECT_THAT(ask("GET /validate HTTP/1.1\r\nHost: a\r\nContent-Length: 0", "", "POST\n"),
              StartsWith("HTTP/1.1 405"));
}

TEST_F(ServerTest, WantsToKnowHowLongABodyIs) {
  EXPECT_THAT(ask(std::string(kPost) + "Transfer-Encoding: chunked", "1\r\nx\r\n0\r\n\r\n", "miss"),
              StartsWith("HTTP/1.1 411"));
}

// It is answered, or the connection ends while the rest is being sent.
TEST_F(ServerTest, WhatIsTooLongNeverReachesTheHandler) {
  const std::string got =
      ask(std::string(kPost) + "Content-Length: 3145729", std::string(3145729, 'x'), "MiB");

  EXPECT_THAT(got, AnyOf(IsEmpty(), StartsWith("HTTP/1.1 413")));
  EXPECT_EQ(asked_, 0);
}

TEST_F(ServerTest, SpeaksNoOldTls) {
  EXPECT_FALSE(TlsClient(address_, {.certificate = {}, .key = {}, .most_version = TLS1_1_VERSION})
                   .connected());
  EXPECT_TRUE(TlsClient(address_, {.certificate = {}, .key = {}, .most_version = TLS1_2_VERSION})
                  .connected());
}

TEST_F(ServerTest, ShowsANewCertificateToNewConnectionsAndKeepsTheOthers) {
  TlsClient before{address_};
  const SelfSigned next = make();

  ASSERT_TRUE(tls_->use(next.certificate, next.key).has_value());

  EXPECT_EQ(TlsClient{address_}.certificate(), next.certificate);
  EXPECT_NE(before.certificate(), next.certificate);
  before.send(std::string(kPost) + "Content-Length: 1\r\n\r\nx");
  EXPECT_THAT(before.receive("}"), HasSubstr("{\"size\":1}"));
}

TEST_F(ServerTest, EndsAConnectionWhoseHeadDoesNotEnd) {
  TlsClient client{address_};
  client.send(kPost);
  const std::string field = "X-A: " + std::string(1000, 'a') + "\r\n";
  for (int n = 0; n < 5'000; ++n) client.send(field);

  EXPECT_THAT(client.receive("HTTP"), AnyOf(IsEmpty(), StartsWith("HTTP/1.1 431")));
}

TEST_F(ServerTest, ThoseThatSendNoBodyKeepNobodyWaiting) {
  std::vector<std::unique_ptr<TlsClient>> idle;
  for (int n = 0; n < 40; ++n) {
    idle.push_back(std::make_unique<TlsClient>(address_));
    idle.back()->send(std::string(kPost) + "Content-Length: 3\r\n\r\na");
  }

  EXPECT_THAT(ask(std::string(kPost) + "Content-Length: 3", "abc", "}"), HasSubstr("{\"size\":3}"));
  // The newest of them may still end theirs, the oldest not.
  idle.back()->send("bc");
  EXPECT_THAT(idle.back()->receive("}"), HasSubstr("{\"size\":3}"));
  idle.front()->send("bc");
  EXPECT_THAT(idle.front()->receive("arrive\n"), Not(HasSubstr("HTTP/1.1 200")));
}

TEST_F(ServerTest, ThoseThatOnlyConnectKeepNobodyWaiting) {
  TlsClient known{address_};
  known.send(std::string(kPost) + "Content-Length: 1\r\n\r\nx");
  ASSERT_THAT(known.receive("}"), HasSubstr("{\"size\":1}"));
  std::vector<std::unique_ptr<TlsClient>> idle;
  for (int n = 0; n < 300; ++n) idle.push_back(std::make_unique<TlsClient>(address_));

  EXPECT_THAT(ask(std::string(kPost) + "Content-Length: 3", "abc", "}"), HasSubstr("{\"size\":3}"));
  // Who has asked before is the last to be given up.
  known.send(std::string(kPost) + "Content-Length: 2\r\n\r\nxy");
  EXPECT_THAT(known.receive("}"), HasSubstr("{\"size\":2}"));
}

// Of a server with a client CA in a file.
class ServerWithClientCaTest : public OpenServer {
 protected:
  ServerWithClientCaTest() {
    std::filesystem::create_directory(folder_);
    write_client_ca(first_);
    ServingTls::Files files;
    files.client_ca = folder_ / "clients.crt";
    open(files);
  }
  ~ServerWithClientCaTest() override {
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  void write_client_ca(const TestAuthority& authority) const {
    std::ofstream{folder_ / "new"} << authority.cert_pem();
    std::filesystem::rename(folder_ / "new", folder_ / "clients.crt");
  }
  [[nodiscard]] std::unique_ptr<TlsClient> connect(const TestAuthority& authority) const {
    const auto shown = authority.issue("apiserver");
    return std::make_unique<TlsClient>(
        address_, TlsClientOptions{.certificate = shown.cert_pem(), .key = shown.key_pem()});
  }
  static std::string ask(TlsClient& client) {
    client.send(std::string(kPost) + "Content-Length: 3\r\n\r\nabc");
    return client.receive("}");
  }

  const TestAuthority first_{"first"}, second_{"second"};
  const std::filesystem::path folder_ =
      std::filesystem::path{::testing::TempDir()} /
      ("server_" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) +
       ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(ServerWithClientCaTest, NobodyAsksOverAConnectionThatAnotherClientCaLetIn) {
  const auto known = connect(first_);
  ASSERT_THAT(ask(*known), HasSubstr("{\"size\":3}"));

  write_client_ca(second_);

  EXPECT_THAT(ask(*known), Not(HasSubstr("{\"size\":3}")));
  const auto next = connect(second_);
  EXPECT_THAT(ask(*next), HasSubstr("{\"size\":3}"));
}

TEST_F(ServerWithClientCaTest, ConnectionsThatAnotherClientCaLetInEnd) {
  const auto known = connect(first_);
  ASSERT_THAT(ask(*known), HasSubstr("{\"size\":3}"));

  write_client_ca(second_);

  EXPECT_EQ(known->receive("}"), "");
}

TEST_F(ServerWithClientCaTest, TheSameClientCaInANewFileEndsNothing) {
  const auto known = connect(first_);
  ASSERT_THAT(ask(*known), HasSubstr("{\"size\":3}"));

  write_client_ca(first_);

  EXPECT_THAT(ask(*known), HasSubstr("{\"size\":3}"));
}

TEST_F(ServerWithClientCaTest, ConnectionsOfAClientWhoseCertificateExpiredEnd) {
  const auto known = connect(first_);
  ASSERT_THAT(ask(*known), HasSubstr("{\"size\":3}"));
  clock_.set(kYear2120);
  ASSERT_THAT(ask(*known), HasSubstr("{\"size\":3}"));

  clock_.set(kYear2120 + 1);

  EXPECT_EQ(known->receive("}"), "");
}

TEST_F(ServerWithClientCaTest, NobodyAsksWithACertificateThatExpired) {
  const auto known = connect(first_);
  ASSERT_THAT(ask(*known), HasSubstr("{\"size\":3}"));

  clock_.set(kYear2120 + 1);

  EXPECT_THAT(ask(*known), Not(HasSubstr("{\"size\":3}")));
}

TEST_F(ServerWithClientCaTest, ACaThatExpiredEndsWhomItLetIn) {
  const TestAuthority brief{"first", {.not_after = kYear2120 - kDay}};
  write_client_ca(brief);
  const auto known = connect(brief);
  ASSERT_THAT(ask(*known), HasSubstr("{\"size\":3}"));

  clock_.set(kYear2120 - kDay + 1);

  EXPECT_EQ(known->receive("}"), "");
}

TEST(Server, SaysWhatIsWrongWithAnAddress) {
  const auto tls = ServingTls::open({});
  ASSERT_TRUE(tls.has_value());
  for (const char* address : {"", "9443", ":0", "a b:1", "127.0.0.1:99999"}) {
    const auto opened = Server::open(address, **tls, {}, SystemClock{});
    ASSERT_FALSE(opened.has_value()) << address;
    EXPECT_EQ(opened.error().reason, Reason::InvalidValue) << address;
  }
}

}  // namespace
}  // namespace handfast::admission
