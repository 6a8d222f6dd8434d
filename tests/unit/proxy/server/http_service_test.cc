#include "proxy/server/http_service.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/support/times.h"
#include "tests/unit/proxy/event/loop_driver.h"
#include "tests/unit/proxy/net/peer.h"

namespace handfast::server {
namespace {

using handfast::testing::Peer;

class HttpServiceTest : public ::testing::Test {
 protected:
  HttpServiceTest() {
    driver_.each_round([this] {
      for (auto& client : clients_) client->pump();
    });
    address_ = listen({.body_bytes = 1 << 20});
  }
  ~HttpServiceTest() override { driver_.settle(2); }

  net::Address listen(HttpService::Access access) {
    UniqueFd fd =
        std::move(net::open_listener(net::Address::from_ip("127.0.0.1", 0).value()).value());
    const net::Address address = net::local_address(fd.get());
    check(service_
              .listen(
                  std::move(fd),
                  [this](const HttpRequest& request, HttpService::Answer answer) {
                    requests_.push_back(request);
                    if (request.path == "/later") {
                      later_ = std::move(answer);
                    } else if (request.path == "/large") {
                      answer({200, "text/plain", std::string(kLarge, 'x')});
                    } else {
                      answer({200, "text/plain", "hello " + request.body});
                    }
                  },
                  access)
              .has_value());
    return address;
  }
  Peer& send(std::string_view text) {
    clients_.push_back(Peer::connect(address_));
    clients_.back()->send(text);
    return *clients_.back();
  }
  // `meanwhile`: once the request is there.
  std::string answer_to(std::string_view text, const std::function<void()>& meanwhile = {}) {
    Peer& client = send(text);
    if (meanwhile) {
      const std::size_t before = requests_.size();
      EXPECT_TRUE(driver_.until([&] { return requests_.size() > before; }));
      meanwhile();
    }
    EXPECT_TRUE(driver_.until([&] { return client.ended; }));
    return client.received;
  }

  // More than what the system keeps for a socket.
  static constexpr std::size_t kLarge = std::size_t{32} << 20;

  handfast::testing::FakeClock clock_;
  std::unique_ptr<event::Loop> loop_ = std::move(event::Loop::create(clock_).value());
  handfast::testing::LoopDriver driver_{*loop_};
  BufferPool buffers_;
  HttpService service_{*loop_, buffers_};
  net::Address address_;
  std::vector<std::unique_ptr<Peer>> clients_;
  std::vector<HttpRequest> requests_;
  HttpService::Answer later_;
};

TEST_F(HttpServiceTest, AnswersOneRequestAndCloses) {
  const std::string answer =
      answer_to("POST /v1/load HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nyou");

  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(answer.ends_with("hello you"));
  EXPECT_EQ(requests_[0].method, "POST");
}

TEST_F(HttpServiceTest, TellsHostAndQueryAndSendsTheHeadersOfAReply) {
  const std::string answer = answer_to("GET /later HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", [&] {
    loop_->post([&] { later_({200, "text/plain", "x", "X-One: 1\r\nX-Two: 2\r\n"}); });
  });

  EXPECT_NE(answer.find("\r\nX-One: 1\r\nX-Two: 2\r\n\r\nx"), std::string::npos);
  answer_to("GET /a?q=%20&b HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
  EXPECT_EQ(requests_[1].path, "/a");
  EXPECT_EQ(requests_[1].query, "q=%20&b");
  EXPECT_EQ(requests_[1].host, "[::1]");
}

TEST_F(HttpServiceTest, AnswersLater) {
  Peer& client = send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(driver_.until([&] { return later_ != nullptr; }));
  driver_.settle();
  EXPECT_EQ(client.received, "");
  loop_->post([&] { later_({200, "text/plain", "done"}); });

  EXPECT_TRUE(driver_.until([&] { return client.ended; }));
  EXPECT_TRUE(client.received.ends_with("done"));
}

TEST_F(HttpServiceTest, AnAnswerForAClientThatLeftIsNoTrouble) {
  Peer& client = send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(driver_.until([&] { return later_ != nullptr; }));
  client.abort();
  driver_.settle();
  clock_.advance(std::chrono::seconds(61));
  driver_.settle();
  loop_->post([&] { later_({200, "text/plain", "done"}); });
  driver_.settle();
}

TEST_F(HttpServiceTest, RefusesWhatIsNoRequestAndABodyThatIsTooLarge) {
  EXPECT_TRUE(answer_to("GARBAGE\r\n\r\n").starts_with("HTTP/1.1 400 "));
  // The head says it already. Whoever sends on may lose the answer to a reset.
  EXPECT_TRUE(answer_to("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n")
                  .starts_with("HTTP/1.1 413 "));
  EXPECT_TRUE(requests_.empty());
}

TEST_F(HttpServiceTest, ABodyMayComeInPieces) {
  Peer& client = send("");
  for (const char c : std::string("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "2\r\nyo\r\n1\r\nu\r\n0\r\n\r\n")) {
    client.send(std::string(1, c));
    driver_.settle(2);
  }

  EXPECT_TRUE(driver_.until([&] { return client.ended; }));
  EXPECT_TRUE(client.received.ends_with("hello you"));
}

TEST_F(HttpServiceTest, WhereNoBodyIsWantedNoneIsWaitedFor) {
  address_ = listen({});

  for (const char* field : {"Content-Length: 1", "Transfer-Encoding: chunked"}) {
    EXPECT_TRUE(answer_to("POST / HTTP/1.1\r\nHost: x\r\n" + std::string(field) + "\r\n\r\n")
                    .starts_with("HTTP/1.1 413 "))
        << field;
  }
  EXPECT_TRUE(requests_.empty());
  EXPECT_TRUE(
      answer_to("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").ends_with("hello "));
}

TEST_F(HttpServiceTest, OneMoreConnectionEndsTheOldestThatDoesNotAsk) {
  const net::Address other = address_;
  address_ = listen({.connections = 3});
  Peer& asked = send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(driver_.until([&] { return later_ != nullptr; }));
  Peer& first = send("GET / HT");
  Peer& second = send("");
  driver_.settle();
  EXPECT_FALSE(first.ended);

  EXPECT_TRUE(answer_to("GET / HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("hello "));
  EXPECT_TRUE(driver_.until([&] { return first.ended; }));
  driver_.settle();
  EXPECT_FALSE(second.ended);
  EXPECT_FALSE(asked.ended);
  // Each listener has room of its own.
  address_ = other;
  Peer& elsewhere = send("");
  driver_.settle();
  EXPECT_FALSE(second.ended);
  EXPECT_FALSE(elsewhere.ended);
}

TEST_F(HttpServiceTest, OfAnswersThatNobodyFetchesTheOldestGoes) {
  address_ = listen({.unsent_bytes = kLarge + kLarge / 2});
  Peer& first = send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
  first.reading = false;
  driver_.settle();
  Peer& second = send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
  second.reading = false;
  ASSERT_TRUE(driver_.until([&] { return requests_.size() == 2; }));
  driver_.settle();

  first.reading = second.reading = true;

  EXPECT_TRUE(driver_.until([&] { return first.ended && second.ended; }));
  EXPECT_LT(first.received.size(), kLarge);
  EXPECT_GT(second.received.size(), kLarge);
}

TEST_F(HttpServiceTest, ClosesAClientThatNeverAsks) {
  Peer& client = send("GET / HT");
  driver_.settle();
  clock_.advance(std::chrono::seconds(61));

  EXPECT_TRUE(driver_.until([&] { return client.ended; }));
}

TEST_F(HttpServiceTest, HeadHasNoBody) {
  EXPECT_TRUE(answer_to("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").ends_with("\r\n\r\n"));
}

}  // namespace
}  // namespace handfast::server
