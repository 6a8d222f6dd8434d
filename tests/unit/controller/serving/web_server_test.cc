#include "controller/serving/web_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proxy/base/check.h"
#include "proxy/base/unique_fd.h"

namespace handfast::serving {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

class Client {
 public:
  // `from`: another address of this machine.
  explicit Client(const sockaddr_in& address, const char* from = "127.0.0.1") {
    sockaddr_in own{};
    own.sin_family = AF_INET;
    check(::inet_pton(AF_INET, from, &own.sin_addr) == 1, "address");
    check(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) == 0, "bind");
    check(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
          "connect");
  }
  void send(const std::string& bytes) const {
    (void)::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // Until `end` came, or the connection's end.
  [[nodiscard]] std::string receive(const std::string& end = "\n") const {
    std::string got;
    std::array<char, 4096> bytes{};
    while (got.find("\r\n\r\n") == std::string::npos || !got.ends_with(end)) {
      const ssize_t count = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
      if (count <= 0) break;
      got.append(bytes.data(), static_cast<std::size_t>(count));
    }
    return got;
  }

 private:
  UniqueFd fd_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
};

// Of loopback, with a port that was free just now.
sockaddr_in free_address() {
  const UniqueFd probe{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  check(::bind(probe.get(), name, length) == 0, "bind");
  check(::getsockname(probe.get(), name, &length) == 0, "name");
  return address;
}

class WebServerTest : public ::testing::Test {
 protected:
  void open(WebLimits limits) {
    for (int tries = 0; tries < 20 && server_ == nullptr; ++tries) {
      address_ = free_address();
      auto opened = WebServer::open(
          "127.0.0.1:" + std::to_string(ntohs(address_.sin_port)), limits,
          {.refuse = {}, .handle = [this](const WebRequest& request) {
             const AtOnce counted{*this, std::string(request.path)};
             if (request.path == "/slow") released_.wait();
             return WebReply{.body = std::string(request.path) + ' ' + request.body + '\n'};
           }});
      if (opened) server_ = std::move(*opened);
    }
    check(server_ != nullptr, "no free port");
  }

  // How many are in the handler at once.
  struct AtOnce {
    AtOnce(WebServerTest& of, std::string path) : test(of) {
      const std::lock_guard lock{test.mutex_};
      test.handled_.push_back(std::move(path));
      test.most_ = std::max(test.most_, ++test.inside_);
      test.entered_.notify_all();
    }
    ~AtOnce() {
      const std::lock_guard lock{test.mutex_};
      --test.inside_;
    }
    AtOnce(const AtOnce&) = delete;
    AtOnce& operator=(const AtOnce&) = delete;
    WebServerTest& test;
  };
  void wait_for_inside(int count) {
    std::unique_lock lock{mutex_};
    entered_.wait(lock, [&] { return inside_ >= count; });
  }

  void wait_for_waiting(std::size_t count) const {
    while (server_->waiting() < count) std::this_thread::yield();
  }

  std::mutex mutex_;
  std::condition_variable entered_;
  int inside_ = 0;  // guarded by mutex_, as most_ and handled_
  int most_ = 0;
  std::vector<std::string> handled_;
  sockaddr_in address_{};
  std::promise<void> release_;
  const std::shared_future<void> released_ = release_.get_future().share();
  std::unique_ptr<WebServer> server_;
};

TEST_F(WebServerTest, AnswersSeveralRequestsOnOneConnection) {
  open({.body_bytes = 10});
  const Client client{address_};
  client.send(kGet);
  EXPECT_THAT(client.receive(), StartsWith("HTTP/1.1 200 OK\r\n"));
  client.send("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz");
  EXPECT_THAT(client.receive(), HasSubstr("\r\n\r\n/b xyz\n"));
}

TEST_F(WebServerTest, AHeadMayComeInPieces) {
  open({});
  const Client client{address_};
  for (const char c : std::string(kGet)) client.send(std::string(1, c));
  EXPECT_THAT(client.receive(), HasSubstr("/a"));
}

TEST_F(WebServerTest, AnAnswerToHeadHasNoBody) {
  open({});
  const Client client{address_};
  client.send("HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string got = client.receive("nothing");
  EXPECT_THAT(got, HasSubstr("Content-Length: 4\r\n"));
  EXPECT_TRUE(got.ends_with("\r\n\r\n"));
}

TEST_F(WebServerTest, WhatIsTooLargeOrWrongIsAnsweredAndEnds) {
  open({.head_bytes = 1000, .body_bytes = 10});
  for (const auto& [text, status] : std::vector<std::pair<std::string, std::string>>{
           {"nonsense\r\n\r\n", "400"},
           {"GET / HTTP/1.1\r\nA: " + std::string(2000, 'a'), "431"},
           {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n", "413"},
           {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "411"}}) {
    const Client client{address_};
    client.send(text);
    EXPECT_THAT(client.receive("nothing"), StartsWith("HTTP/1.1 " + status)) << text;
  }
}

TEST_F(WebServerTest, ThoseWhoOnlyConnectNeverTakeMoreThanTheLimit) {
  open({.connections = 8});
  std::vector<std::unique_ptr<Client>> idle;
  for (int n = 0; n < 100; ++n) {
    idle.push_back(std::make_unique<Client>(address_));
    ASSERT_LE(server_->connections(), 8U);
  }
  const Client client{address_};
  client.send(kGet);
  EXPECT_THAT(client.receive(), HasSubstr("/a"));
  EXPECT_EQ(idle.front()->receive(), "") << "the one that has waited longest";
}

TEST_F(WebServerTest, WhoHasAskedBeforeIsGivenUpLast) {
  open({.connections = 4});
  const Client known{address_};
  known.send(kGet);
  ASSERT_THAT(known.receive(), HasSubstr("/a"));
  std::vector<std::unique_ptr<Client>> idle;
  for (int n = 0; n < 20; ++n) idle.push_back(std::make_unique<Client>(address_));
  const Client last{address_};
  last.send(kGet);
  ASSERT_THAT(last.receive(), HasSubstr("/a"));

  known.send(kGet);
  EXPECT_THAT(known.receive(), HasSubstr("/a"));
}

TEST_F(WebServerTest, WhoHasManyConnectionsDrivesOutNobodyElse) {
  open({.connections = 4});
  std::vector<std::unique_ptr<Client>> many;
  for (int n = 0; n < 3; ++n) {
    many.push_back(std::make_unique<Client>(address_, "127.0.0.2"));
    many.back()->send(kGet);
    ASSERT_THAT(many.back()->receive(), HasSubstr("/a"));
  }
  // It never asked so far, and all others did.
  const Client alone{address_};
  for (int n = 0; n < 10; ++n) {
    many.push_back(std::make_unique<Client>(address_, "127.0.0.2"));
    many.back()->send(kGet);
    ASSERT_THAT(many.back()->receive(), HasSubstr("/a"));
  }

  alone.send(kGet);
  EXPECT_THAT(alone.receive(), HasSubstr("/a"));
}

TEST_F(WebServerTest, WhatIsLateEnds) {
  open({.body_bytes = 10,
        .head_time = milliseconds{100},
        .body_time = milliseconds{100},
        .idle_time = milliseconds{100}});
  const Client silent{address_};
  const Client head{address_};
  head.send("GET / HT");
  const Client body{address_};
  body.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nx");
  const Client idle{address_};
  idle.send(kGet);

  EXPECT_EQ(silent.receive(), "");
  EXPECT_EQ(head.receive(), "");
  EXPECT_THAT(body.receive("nothing"), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(idle.receive(), HasSubstr("/a"));
  EXPECT_EQ(idle.receive(), "");
}

TEST_F(WebServerTest, TheOldestBodyIsGivenUpForTheNext) {
  open({.bodies = 2, .body_bytes = 10, .body_grace = milliseconds{0}});
  std::vector<std::unique_ptr<Client>> clients;
  for (int n = 0; n < 3; ++n) {
    clients.push_back(std::make_unique<Client>(address_));
    // The server asks for the rest, so that they have an order.
    clients.back()->send(
        "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    ASSERT_THAT(clients.back()->receive("\r\n\r\n"), HasSubstr(" 100 "));
  }
  EXPECT_EQ(clients.front()->receive(), "");
  clients.back()->send("xyz");
  EXPECT_THAT(clients.back()->receive(), HasSubstr("/b xyz"));
}

TEST_F(WebServerTest, ABodyThatBeganJustNowIsWaitedFor) {
  open({.bodies = 1, .body_bytes = 10, .body_grace = milliseconds{10'000}});
  const std::string head =
      "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
  const Client first{address_};
  first.send(head);
  ASSERT_THAT(first.receive("\r\n\r\n"), HasSubstr(" 100 "));
  const Client second{address_};
  second.send(head);
  const Client other{address_};
  other.send(kGet);
  ASSERT_THAT(other.receive(), HasSubstr("/a"));

  first.send("xyz");
  EXPECT_THAT(first.receive(), HasSubstr("/b xyz"));
  EXPECT_THAT(second.receive("\r\n\r\n"), HasSubstr(" 100 "));
  second.send("abc");
  EXPECT_THAT(second.receive(), HasSubstr("/b abc"));
}

TEST_F(WebServerTest, BodiesInTheHandlersHandsCountToo) {
  open({.bodies = 2, .body_bytes = 10});
  std::vector<std::unique_ptr<Client>> clients;
  const auto send_body = [&] {
    clients.push_back(std::make_unique<Client>(address_));
    clients.back()->send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz");
  };
  for (int n = 0; n < 2; ++n) send_body();
  wait_for_inside(2);
  for (int n = 0; n < 6; ++n) send_body();
  // Who has no body is answered meanwhile.
  const Client other{address_};
  other.send(kGet);
  EXPECT_THAT(other.receive(), HasSubstr("/a"));

  release_.set_value();

  for (const auto& client : clients) EXPECT_THAT(client->receive(), HasSubstr("/slow xyz"));
  const std::lock_guard lock{mutex_};
  EXPECT_LE(most_, 3) << "two, and the one without a body";
}

TEST_F(WebServerTest, WhoAsksOftenKeepsNobodyElseWaiting) {
  open({.handlers = 1});
  const Client first{address_, "127.0.0.2"};
  first.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  wait_for_inside(1);
  std::vector<std::unique_ptr<Client>> often;
  for (int n = 0; n < 5; ++n) {
    often.push_back(std::make_unique<Client>(address_, "127.0.0.2"));
    often.back()->send("GET /often HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  wait_for_waiting(5);
  const Client alone{address_};
  alone.send("GET /alone HTTP/1.1\r\nHost: x\r\n\r\n");
  wait_for_waiting(6);

  release_.set_value();

  EXPECT_THAT(alone.receive(), HasSubstr("/alone"));
  for (const auto& client : often) EXPECT_THAT(client->receive(), HasSubstr("/often"));
  const std::lock_guard lock{mutex_};
  EXPECT_EQ(most_, 1);
  ASSERT_EQ(handled_.size(), 7U);
  EXPECT_EQ(handled_.at(1), "/alone");
}

TEST_F(WebServerTest, OneNetworksBodiesLeaveRoomForOthers) {
  open({.bodies = 4, .network_bodies = 2, .handlers = 1, .body_bytes = 10});
  std::vector<std::unique_ptr<Client>> many;
  for (int n = 0; n < 6; ++n) {
    many.push_back(std::make_unique<Client>(address_, "127.0.0.2"));
    many.back()->send("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nxyz");
  }
  wait_for_inside(1);
  wait_for_waiting(1);
  const Client alone{address_};
  alone.send("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(alone.receive("\r\n\r\n"), HasSubstr(" 100 "));
  alone.send("abc");
  wait_for_waiting(2);

  release_.set_value();

  EXPECT_THAT(alone.receive(), HasSubstr("/b abc"));
  for (const auto& client : many) EXPECT_THAT(client->receive(), HasSubstr("/slow xyz"));
}

TEST_F(WebServerTest, EndsWhileSomebodyIsAnsweredAndOthersWait) {
  open({});
  const Client slow{address_};
  slow.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  wait_for_inside(1);
  const Client idle{address_};
  release_.set_value();
  server_.reset();
  EXPECT_EQ(idle.receive(), "");
}

}  // namespace
}  // namespace handfast::serving
