#include "proxy/session/h1_session.h"

#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::host_with;
using handfast::testing::Peer;
using handfast::testing::route_to;
using handfast::testing::SnapshotMaker;

class H1SessionTest : public handfast::testing::SessionFixture {};

TEST_F(H1SessionTest, ForwardsARequestAndItsAnswer) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  EXPECT_TRUE(backend_.last().received.starts_with("GET /a HTTP/1.1\r\nHost: shop.example\r\n"));
  EXPECT_NE(backend_.last().received.find("X-Real-IP: 192.0.2.9\r\n"), std::string::npos);
  backend_.last().send(kOk);

  EXPECT_TRUE(client_gets(client, "\r\n\r\nok"));
  EXPECT_FALSE(client.ended);
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].status, 200);
  EXPECT_EQ(seen_[0].response_bytes, 2u);
}

TEST_F(H1SessionTest, KeepsBothConnectionsForTheNextRequest) {
  Peer& client = connect();
  for (int i = 0; i < 3; ++i) {
    client.send(kGet);
    ASSERT_TRUE(backend_gets());
    backend_.last().take();
    backend_.last().send(kOk);
    ASSERT_TRUE(client_gets(client, "\r\n\r\nok"));
    client.take();
  }

  EXPECT_EQ(backend_.peers.size(), 1u);
  EXPECT_TRUE(seen_.back().reused);
}

TEST_F(H1SessionTest, AnswersPipelinedRequestsInOrder) {
  Peer& client = connect();
  std::string all;
  for (int i = 0; i < 5; ++i) {
    all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: shop.example\r\n\r\n";
  }
  client.send(all);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(backend_gets("GET /" + std::to_string(i) + " "));
    EXPECT_EQ(backend_.last().received.find("GET /" + std::to_string(i + 1)), std::string::npos)
        << "one at a time";
    backend_.last().take();
    backend_.last().send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + std::to_string(i));
    ASSERT_TRUE(client_gets(client, "\r\n\r\n" + std::to_string(i)));
  }
}

TEST_F(H1SessionTest, AnswersPipelinedRequestsOfOurOwnWithoutRecursion) {
  Peer& client = connect();
  std::string all;
  for (int i = 0; i < 3000; ++i) all += "GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n";
  client.send(all);

  EXPECT_TRUE(driver_.until([&] { return seen_.size() == 3000; }));
  EXPECT_EQ(seen_.back().status, 404);
}

TEST_F(H1SessionTest, AnotherProtocolIsNotAnsweredInThisOne) {
  for (const std::size_t cut : {0, 1, 10, 20}) {
    const std::string_view line = "INVALID CONNECTION PREFACE\r\n\r\n";
    Peer& client = connect();
    client.send(line.substr(0, cut));
    driver_.settle();
    client.send(line.substr(cut));

    EXPECT_TRUE(driver_.until([&] { return client.ended; }));
    EXPECT_EQ(client.received, "");
  }
}

TEST_F(H1SessionTest, ARequestThatArrivesByteByByteIsTheSame) {
  Peer& client = connect();
  const std::string request =
      "POST /a HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n0\r\n\r\n";
  for (const char c : request) {
    client.send({&c, 1});
    driver_.settle(1);
  }
  ASSERT_TRUE(backend_gets("0\r\n\r\n"));
  backend_.last().send(kOk);

  EXPECT_TRUE(client_gets(client, "ok"));
  EXPECT_EQ(seen_[0].request_bytes, 5u);
}

TEST_F(H1SessionTest, StreamsABodyOfKnownLength) {
  Peer& client = connect();
  const std::string body(3 << 20, 'b');
  client.send("PUT /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  ASSERT_TRUE(driver_.until(
      [&] { return !backend_.peers.empty() && backend_.last().received.size() > body.size(); }));
  backend_.last().send(kOk);

  EXPECT_TRUE(client_gets(client, "ok"));
  EXPECT_TRUE(backend_.last().received.ends_with(body));
}

struct BadHead {
  const char* request;
  const char* status;
};

TEST_F(H1SessionTest, AnswersABadHeadAndCloses) {
  const std::string long_field =
      "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n";
  const std::string long_line = "GET /" + std::string(9'000, 'x') + " HTTP/1.1\r\n\r\n";
  const BadHead rows[] = {
      {"GARBAGE\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
      {"GET / HTTP/1.1\nHost: shop.example\n\n", "400"},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       "400"},
      {"GET /../../etc/passwd HTTP/1.1\r\nHost: shop.example\r\n\r\n", "400"},
      {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501"},
      {"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", "417"},
      {long_field.c_str(), "431"},
      {long_line.c_str(), "414"},
  };
  for (const BadHead& row : rows) {
    Peer& client = connect();
    client.send(row.request);
    ASSERT_TRUE(client_gets(client, "\r\n\r\n")) << row.request;
    EXPECT_TRUE(client.received.starts_with(std::string("HTTP/1.1 ") + row.status))
        << row.request << client.received;
    client.finish();
    if (std::string_view(row.request).find("passwd") == std::string_view::npos) {
      EXPECT_NE(client.received.find("Connection: close"), std::string::npos) << row.request;
      EXPECT_TRUE(client_ends(client));
    }
  }
  EXPECT_TRUE(backend_.peers.empty());
}

// The answer must not be lost to a reset while the client still sends (RFC 9112 section 9.6).
TEST_F(H1SessionTest, LingersAfterAnAnswerThatLeavesBytesUnread) {
  Peer& client = connect();
  client.send("POST /x HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 50000000\r\n\r\n" +
              std::string(6 << 20, 'x'));
  ASSERT_TRUE(driver_.until([&] { return client.ended; }));
  EXPECT_FALSE(client.reset);
  EXPECT_TRUE(client.received.starts_with("HTTP/1.1 404"));
  EXPECT_TRUE(driver_.until([&] { return client.unsent() == 0; })) << "reads on";
  clock_.advance(limits_.linger + std::chrono::seconds(1));

  EXPECT_TRUE(driver_.until([&] { return sessions_.empty(); }));
}

// Bytes behind the last request lie in the socket: to close on them is to reset the answer.
TEST_F(H1SessionTest, LingersWhenBytesLieBehindTheLastRequest) {
  Peer& client = connect();
  client.send("GET /a HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
  ASSERT_TRUE(backend_gets());
  client.send("GET /b HTTP/1.1\r\nHost: shop.example\r\n\r\n");
  driver_.settle();
  backend_.last().send(kOk);
  ASSERT_TRUE(client_ends(client));
  EXPECT_TRUE(client.received.ends_with("ok"));
  EXPECT_EQ(sessions_.size(), 1u);
  client.close();

  EXPECT_TRUE(driver_.until([&] { return sessions_.empty(); }));
}

TEST_F(H1SessionTest, AnswersAHeadThatNeverEndsWith408) {
  Peer& client = connect();
  client.send("GET / HTTP/1.1\r\nHost: shop");
  driver_.settle();
  clock_.advance(limits_.head + std::chrono::seconds(1));

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 408 "));
  EXPECT_TRUE(client_ends(client));
}

// A byte now and then doesn't push the deadline of the head away.
TEST_F(H1SessionTest, ATrickleOfBytesDoesNotKeepAHeadAlive) {
  Peer& client = connect();
  client.send("GET / HTTP/1.1\r\nX: ");
  for (int i = 0; i < 13; ++i) {
    client.send("x");
    driver_.settle(4);
    clock_.advance(std::chrono::seconds(5));
  }

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 408 "));
}

TEST_F(H1SessionTest, ClosesAnIdleConnectionWithoutAnAnswer) {
  Peer& client = connect();
  driver_.settle();
  clock_.advance(limits_.keep_alive + std::chrono::seconds(1));

  EXPECT_TRUE(client_ends(client));
  EXPECT_EQ(client.received, "");
}

TEST_F(H1SessionTest, ClosesAClientThatStopsInTheMiddleOfItsBody) {
  Peer& client = connect();
  client.send("POST /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 9\r\n\r\nabc");
  ASSERT_TRUE(backend_gets("abc"));
  clock_.advance(limits_.body + std::chrono::seconds(1));

  EXPECT_TRUE(client_ends(client));
  EXPECT_TRUE(driver_.until([&] { return backend_.last().ended; }));
}

// The queue to the client stays below its mark and one read, then the backend isn't read.
TEST_F(H1SessionTest, AClientThatNeverReadsStopsTheBackend) {
  Peer& client = connect();
  client.reading = false;
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  const std::size_t total = 64 << 20;
  backend_.last().send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(total) + "\r\n\r\n" +
                       std::string(total, 'x'));
  driver_.settle(300);
  const std::size_t stuck = backend_.last().unsent();
  driver_.settle(100);
  EXPECT_EQ(backend_.last().unsent(), stuck);
  EXPECT_GT(stuck, total / 4);

  client.reading = true;

  EXPECT_TRUE(driver_.until([&] { return client.received.size() > total; }));
  EXPECT_EQ(seen_[0].response_bytes, total);
}

// Nor are further requests taken from it: our own answers would pile up as well.
TEST_F(H1SessionTest, AClientThatNeverReadsIsNotAnsweredForEver) {
  Peer& client = connect();
  client.reading = false;
  constexpr std::size_t kRequests = 200'000;
  std::string all;
  for (std::size_t i = 0; i < kRequests; ++i)
    all += "GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n";
  client.send(all);
  driver_.settle(300);
  const std::size_t answered = seen_.size();
  driver_.settle(100);
  EXPECT_EQ(seen_.size(), answered);
  EXPECT_LT(answered, kRequests / 2);

  client.reading = true;

  EXPECT_TRUE(driver_.until([&] { return seen_.size() == kRequests; }));
}

TEST_F(H1SessionTest, AClientThatNeverReadsItsPipelinedAnswersIsClosedInTime) {
  Peer& client = connect();
  client.reading = false;
  std::string all;
  for (int i = 0; i < 200'000; ++i) all += "GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n";
  client.send(all);

  // The kernel takes a few more bytes now and then, which is progress; it ends.
  EXPECT_TRUE(driver_.until([&] {
    clock_.advance(std::chrono::seconds(1));
    return sessions_.empty();
  }));
  EXPECT_LT(seen_.size(), 200'000u);
}

TEST_F(H1SessionTest, AClientThatNeverReadsIsClosedInTime) {
  Peer& client = connect();
  client.reading = false;
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  backend_.last().send("HTTP/1.1 200 OK\r\nContent-Length: 64000000\r\n\r\n" +
                       std::string(64'000'000, 'x'));
  driver_.settle(300);
  clock_.advance(limits_.send + std::chrono::seconds(1));

  EXPECT_TRUE(driver_.until([&] { return sessions_.empty(); }));
  EXPECT_TRUE(driver_.until([&] { return pool_.total() == 0; }));
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_TRUE(seen_[0].cut);
}

// A backend that doesn't read stops its client: bytes don't pile up in between.
TEST_F(H1SessionTest, ABackendThatNeverReadsStopsTheClient) {
  backend_.reading = false;
  Peer& client = connect();
  client.send("POST /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 64000000\r\n\r\n" +
              std::string(64'000'000, 'x'));
  driver_.settle(300);
  const std::size_t stuck = client.unsent();
  driver_.settle(100);

  EXPECT_EQ(client.unsent(), stuck);
  EXPECT_GT(stuck, 16'000'000u);
}

TEST_F(H1SessionTest, AClientThatResetsClosesTheBackendsConnection) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  client.abort();

  EXPECT_TRUE(driver_.until([&] { return backend_.last().ended; }));
  EXPECT_TRUE(sessions_.empty());
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].status, 499);
}

TEST_F(H1SessionTest, AClientThatResetsInsideTheAnswerIsRecordedAsCut) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  backend_.last().send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  ASSERT_TRUE(client_gets(client, "half"));
  client.abort();
  ASSERT_TRUE(driver_.until([&] { return seen_.size() == 1; }));

  EXPECT_TRUE(seen_[0].cut);
}

TEST_F(H1SessionTest, AClientThatEndedItsSideStillGetsItsAnswer) {
  Peer& client = connect();
  client.send(kGet);
  client.finish();
  ASSERT_TRUE(backend_gets());
  driver_.settle();
  backend_.last().send(kOk);

  EXPECT_TRUE(client_gets(client, "ok"));
  EXPECT_TRUE(client_ends(client));
}

TEST_F(H1SessionTest, AClientThatEndedItsSideStillGetsAnAnswerOfOurs) {
  Peer& client = connect();
  client.send("GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n");
  client.finish();

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 404 "));
  EXPECT_TRUE(client_ends(client));
}

TEST_F(H1SessionTest, AClientThatClosesInsideItsBodyTakesTheBackendsConnectionWithIt) {
  Peer& client = connect();
  client.send("POST /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 9\r\n\r\nabc");
  ASSERT_TRUE(backend_gets("abc"));
  client.finish();

  EXPECT_TRUE(driver_.until([&] { return backend_.last().ended; }));
}

TEST_F(H1SessionTest, ABadChunkIsAnsweredAndTheBackendNeverSeesAWholeRequest) {
  Peer& client = connect();
  client.send(
      "POST /a HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\nXX\r\n");

  EXPECT_TRUE(client_gets(client, "HTTP/1.1 400 "));
  EXPECT_TRUE(client_ends(client));
  EXPECT_TRUE(driver_.until([&] { return backend_.last().ended; }));
  EXPECT_EQ(backend_.last().received.find("0\r\n\r\n"), std::string::npos);
}

TEST_F(H1SessionTest, AnHttp10ClientGetsNoChunks) {
  Peer& client = connect();
  client.send("GET /a HTTP/1.0\r\nHost: shop.example\r\n\r\n");
  ASSERT_TRUE(backend_gets());
  backend_.last().send(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");

  EXPECT_TRUE(client_ends(client));
  EXPECT_TRUE(client.received.ends_with("\r\n\r\nhello"));
  EXPECT_FALSE(client.reset);
}

// Its only sign of a whole answer is an end in order: a cut one must end otherwise.
TEST_F(H1SessionTest, ACutAnswerWithoutALengthIsResetForAnHttp10Client) {
  Peer& client = connect();
  client.send("GET /a HTTP/1.0\r\nHost: shop.example\r\n\r\n");
  ASSERT_TRUE(backend_gets());
  backend_.last().send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  ASSERT_TRUE(client_gets(client, "hello"));
  backend_.last().close();
  ASSERT_TRUE(client_ends(client));

  EXPECT_TRUE(client.reset);
}

TEST_F(H1SessionTest, ACutAnswerInChunksHasNoLastChunk) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  backend_.last().send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  ASSERT_TRUE(client_gets(client, "hello"));
  backend_.last().close();
  ASSERT_TRUE(client_ends(client));

  EXPECT_FALSE(client.received.ends_with("0\r\n\r\n"));
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_TRUE(seen_[0].cut);
}

TEST_F(H1SessionTest, HeadAnswersHaveNoBodyAndKeepTheConnection) {
  Peer& client = connect();
  client.send("HEAD /a HTTP/1.1\r\nHost: shop.example\r\n\r\n");
  ASSERT_TRUE(backend_gets());
  backend_.last().take();
  backend_.last().send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
  ASSERT_TRUE(client_gets(client, "Content-Length: 500"));
  client.take();
  client.send(kGet);
  ASSERT_TRUE(backend_gets("GET"));
  backend_.last().send(kOk);

  EXPECT_TRUE(client_gets(client, "ok"));
  EXPECT_EQ(backend_.peers.size(), 1u);
}

TEST_F(H1SessionTest, DrainingClosesIdleClientsAndTellsTheOthers) {
  Peer& idle = connect();
  Peer& busy = connect();
  busy.send(kGet);
  ASSERT_TRUE(backend_gets());
  loop_->post([&] {
    context_.draining = true;
    std::vector<Session*> present;
    for (auto& session : sessions_) present.push_back(session.get());
    for (Session* session : present) session->drain();
  });
  ASSERT_TRUE(client_ends(idle));
  EXPECT_FALSE(busy.ended);
  backend_.last().send(kOk);

  EXPECT_TRUE(client_ends(busy));
  EXPECT_NE(busy.received.find("Connection: close"), std::string::npos);
  EXPECT_TRUE(busy.received.ends_with("ok"));
}

TEST_F(H1SessionTest, ServesOverTls) {
  handfast::testing::TlsPeer& client = connect_tls();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  EXPECT_NE(backend_.last().received.find("X-Forwarded-Proto: https\r\n"), std::string::npos);
  backend_.last().send(kOk);

  EXPECT_TRUE(driver_.until([&] { return client.received.ends_with("ok"); }));
}

bool has_ticket(const handfast::testing::TlsPeer& client) {
  return SSL_SESSION_has_ticket(SSL_get_session(client.ssl())) == 1;
}

TEST_F(H1SessionTest, ATlsClientGetsItsTicketWithoutARequest) {
  const auto& client = connect_tls();

  EXPECT_TRUE(driver_.until([&] { return client.done && has_ticket(client); }));
}

TEST_F(H1SessionTest, ATicketLeavesWithTheFirstAnswer) {
  auto& client = connect_tls();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  driver_.settle();
  EXPECT_FALSE(has_ticket(client));

  backend_.last().send(kOk);

  EXPECT_TRUE(driver_.until([&] { return client.received.ends_with("ok"); }));
  EXPECT_TRUE(has_ticket(client));
}

// It is no sign of a client that doesn't read either.
TEST_F(H1SessionTest, ATicketDoesNotWaitForASlowBackendForEver) {
  config::Route route = route_to("/", "shop/orders:80");
  route.read_timeout_ms = 3'600'000;
  publish(SnapshotMaker()
              .host(host_with("shop.example", {route}))
              .service("shop/orders:80", {backend_.address()}));
  auto& client = connect_tls();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());

  for (int i = 0; i < 3; ++i) {
    clock_.advance(limits_.body + std::chrono::seconds(1));
    driver_.settle();
  }

  EXPECT_TRUE(has_ticket(client));
  backend_.last().send(kOk);
  EXPECT_TRUE(driver_.until([&] { return client.received.ends_with("ok"); }));
}

TEST_F(H1SessionTest, ATls12ClientIsNotKeptWaitingForTheEndOfItsHandshake) {
  auto& client = connect_tls();
  SSL_set_max_proto_version(client.ssl(), TLS1_2_VERSION);

  EXPECT_TRUE(driver_.until([&] { return client.done; }));
}

TEST_F(H1SessionTest, TheLastAnswerEndsWithACloseNotify) {
  auto& client = connect_tls();
  client.send("GET /a HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
  ASSERT_TRUE(backend_gets());
  backend_.last().send(kOk);

  EXPECT_TRUE(driver_.until([&] { return client.ended; }));
  EXPECT_TRUE(client.received.ends_with("ok"));
  EXPECT_FALSE(client.failed);
}

TEST_F(H1SessionTest, ClosesATlsClientThatNeverFinishesItsHandshake) {
  auto& client = connect_tls();
  client.close();
  auto [far, near] = handfast::testing::tcp_pair();
  driver_.settle();
  EXPECT_TRUE(driver_.until([&] { return sessions_.empty(); }));
}

// Heads fill the room as bodies do.
TEST_F(H1SessionTest, GoesOnAfterHeadsThatLeftNoRoomForTheBody) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  std::string answer;
  for (int i = 0; i < 4; ++i) {
    answer += "HTTP/1.1 103 Early Hints\r\nLink: " + std::string(20'000, 'a') + "\r\n\r\n";
  }
  backend_.last().send(answer + kOk);

  EXPECT_TRUE(client_gets(client, "\r\n\r\nok"));
}

// A loop that follows two fast ends must still look after the others.
TEST_F(H1SessionTest, AFastDownloadDoesNotStarveAnotherClient) {
  Peer& big = connect();
  big.send(kGet);
  ASSERT_TRUE(backend_gets());
  backend_.last().send("HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n" +
                       std::string(20'000'000, 'x'));
  Peer& small = connect();
  small.send("GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n");

  EXPECT_TRUE(client_gets(small, "HTTP/1.1 404"));
  EXPECT_TRUE(driver_.until([&] { return big.received.size() > 20'000'000; }));
}

// nginx ends such a request with 499, since it can't tell it from a client that is gone; neither
// can we, and nothing is lost by answering.
TEST_F(H1SessionTest, AClientThatHasEndedItsSideIsStillAnswered) {
  Peer& client = connect();
  client.send(kGet);
  client.finish();
  ASSERT_TRUE(backend_gets());
  driver_.settle();
  backend_.last().send(kOk);

  EXPECT_TRUE(client_gets(client, "ok"));
  EXPECT_TRUE(client_ends(client));
  EXPECT_EQ(seen_.back().status, 200);
  EXPECT_FALSE(seen_.back().cut);
}

TEST_F(H1SessionTest, AClientThatHasGoneIsNoticedByTheFirstOfItsAnswer) {
  Peer& client = connect();
  client.send(kGet);
  ASSERT_TRUE(backend_gets());
  client.close();
  driver_.settle();
  backend_.last().send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome");

  EXPECT_TRUE(driver_.until([&] { return sessions_.empty(); }));
  EXPECT_TRUE(seen_.back().cut);
  EXPECT_TRUE(driver_.until([&] { return backend_.last().ended; }));
}

}  // namespace
}  // namespace handfast::session
