#include "proxy/server/http_service.h"

#include <gtest/gtest.h>

#include <functional>

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
    UniqueFd fd =
        std::move(net::open_listener(net::Address::from_ip("127.0.0.1", 0).value()).value());
    address_ = net::local_address(fd.get());
    check(service_
              .listen(std::move(fd),
                      [this](const HttpRequest& request, HttpService::Answer answer) {
                        requests_.push_back(request);
                        if (request.path == "/later") {
                          later_ = std::move(answer);
                        } else {
                          answer({200, "text/plain", "hello " + request.body});
                        }
                      })
              .has_value());
  }
  ~HttpServiceTest() override { driver_.settle(2); }

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
  EXPECT_TRUE(answer_to("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n" +
                        std::string(1'048'577, 'x'))
                  .starts_with("HTTP/1.1 413 "));
  EXPECT_TRUE(requests_.empty());
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
