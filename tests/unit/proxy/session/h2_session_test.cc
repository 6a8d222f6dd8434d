#include "proxy/session/h2_session.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "tests/unit/proxy/http/h2_frames.h"
#include "tests/unit/proxy/session/h2_fixture.h"

namespace handfast::session {
namespace {

using handfast::testing::H2End;
using handfast::testing::Peer;
using handfast::testing::route_to;
using handfast::testing::SnapshotMaker;
using handfast::testing::TlsPeer;
using http::H2Codec;
using http::H2StreamId;
using http::Header;

class H2SessionTest : public handfast::testing::H2Fixture {};

TEST_F(H2SessionTest, ForwardsARequestAndItsAnswer) {
  Client& client = dial();
  const std::array fields = {Header{"accept", "text/html"}};
  client.ask("GET", "/a?b", fields, true);
  ASSERT_TRUE(backend_gets());
  EXPECT_TRUE(backend_.last().received.starts_with(
      "GET /a?b HTTP/1.1\r\nHost: shop.example\r\naccept: text/html\r\nX-Request-ID: "));
  EXPECT_NE(backend_.last().received.find("X-Real-IP: 192.0.2.9\r\n"), std::string::npos);
  answer();

  EXPECT_TRUE(hears(client, "1 closed 0"));
  EXPECT_TRUE(client.heard("1 response 200 length 2 [date: "));
  EXPECT_TRUE(client.heard("1 data ok\n1 end\n"));
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].status, 200);
  EXPECT_EQ(seen_[0].response_bytes, 2u);
}

TEST_F(H2SessionTest, SpeaksHttp2WhereAlpnSaysSo) {
  TlsPeer& peer = connect_tls();
  constexpr unsigned char kH2[] = "\x02h2";
  ASSERT_EQ(SSL_set_alpn_protos(peer.ssl(), kH2, 3), 0);
  H2End<TlsPeer> client(peer, H2Codec::Role::Client);
  each_round_ = [&client, &peer] {
    if (peer.done) client.pump();
  };
  client.get();
  answer();
  EXPECT_TRUE(driver_.until([&client] { return client.heard("1 data ok\n1 end\n1 closed 0"); }));
  each_round_ = nullptr;
}

TEST_F(H2SessionTest, ServesManyStreamsAtOnceInAnyOrder) {
  Client& client = dial();
  for (int i = 0; i < 3; ++i) client.get("/" + std::to_string(i));
  ASSERT_TRUE(driver_.until([this] { return backend_.peers.size() == 3; }));
  for (std::size_t i = 3; i-- > 0;) {
    ASSERT_TRUE(backend_gets("\r\n\r\n", i));
    const std::string path = backend_.peers[i]->received.substr(4, 2);
    backend_.peers[i]->send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + path);
    ASSERT_TRUE(hears(client, "data " + path));
  }
  EXPECT_EQ(seen_.size(), 3u);
}

TEST_F(H2SessionTest, KeepsTheBackendsConnectionForTheNextStream) {
  Client& client = dial();
  for (int i = 0; i < 5; ++i) {
    const H2StreamId stream = client.get();
    answer();
    ASSERT_TRUE(hears(client, std::to_string(stream) + " closed 0"));
  }
  EXPECT_EQ(backend_.peers.size(), 1u);
}

TEST_F(H2SessionTest, CarriesABodyUpInChunks) {
  Client& client = dial();
  const H2StreamId stream = client.ask("POST", "/", {}, false);
  client.codec.send_body(stream, "one");
  ASSERT_TRUE(backend_gets("3\r\none\r\n"));
  client.codec.send_body(stream, "two");
  ASSERT_TRUE(backend_gets("3\r\ntwo\r\n"));
  client.codec.send_end(stream, {});
  ASSERT_TRUE(backend_gets("0\r\n\r\n"));
  backend_.last().send(kOk);
  EXPECT_TRUE(hears(client, "1 closed 0"));
  EXPECT_EQ(seen_.at(0).request_bytes, 6u);
}

TEST_F(H2SessionTest, CarriesABodyThatCameBeforeTheConnectionWasReady) {
  Client& client = dial();
  const std::array fields = {Header{"content-length", "3"}};
  const H2StreamId stream = client.ask("POST", "/", fields, false);
  client.codec.send_body(stream, "one");
  client.codec.send_end(stream, {});
  ASSERT_TRUE(backend_gets("\r\n\r\none"));
  EXPECT_NE(backend_.last().received.find("Content-Length: 3\r\n"), std::string::npos);
  backend_.last().send(kOk);
  EXPECT_TRUE(hears(client, "1 closed 0"));
}

TEST_F(H2SessionTest, ABackendThatDoesntReadStopsItsStreamAndNoOther) {
  backend_.reading = false;
  Client& client = dial();
  const H2StreamId stuck = client.ask("POST", "/", {}, false);
  client.codec.send_body(stuck, std::string(20'000'000, 'x'));
  ASSERT_TRUE(driver_.until([this] { return backend_.peers.size() == 1; }));
  driver_.settle(200);
  ASSERT_TRUE(driver_.until([&, left = std::size_t{0}, rounds = 0]() mutable {
    rounds = left == client.codec.queued(stuck) ? rounds + 1 : 0;
    left = client.codec.queued(stuck);
    return rounds == 50;
  }));
  const std::size_t left = client.codec.queued(stuck);
  EXPECT_GT(left, 1'000'000u);
  EXPECT_EQ(client.codec.queued(stuck), left);

  backend_.reading = true;
  client.get();
  answer(kOk, 1);
  EXPECT_TRUE(hears(client, "3 closed 0"));
  backend_.peers[0]->reading = true;
  EXPECT_TRUE(driver_.until([&] { return client.codec.queued(stuck) == 0; }));
}

TEST_F(H2SessionTest, AClientThatDoesntTakeItsBytesStopsItsStreamAndNoOther) {
  Client& client = dial();
  client.log.consumer = nullptr;
  client.get("/slow");
  answer("HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n" + std::string(20'000'000, 'x'));
  ASSERT_TRUE(hears(client, "1 data x"));
  driver_.settle(200);
  EXPECT_LT(client.log.text.size(), 70'000u);
  client.get("/quick");
  answer(kOk, 1);
  EXPECT_TRUE(hears(client, "3 closed 0"));
}

TEST_F(H2SessionTest, CarriesAMegabyteDown) {
  Client& client = dial();
  client.get();
  std::string body;
  for (int i = 0; i < 1'000'000; ++i) body.push_back(static_cast<char>('a' + i % 23));
  answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + body);
  EXPECT_TRUE(hears(client, "1 data " + body + "\n1 end\n1 closed 0\n"));
}

TEST_F(H2SessionTest, TurnsTrailersOfHttp1IntoTrailers) {
  Client& client = dial();
  client.get();
  answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 2\r\n\r\n");
  EXPECT_TRUE(hears(client, "1 data ok\n1 end [x-sum: 2]\n1 closed 0"));
}

TEST_F(H2SessionTest, ForwardsInterimResponses) {
  Client& client = dial();
  client.get();
  answer(
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\nDate: x\r\n\r\n");
  EXPECT_TRUE(hears(client, "1 response 103 [link: </a>]\n1 response 204 [date: x]\n1 end\n"));
}

TEST_F(H2SessionTest, AnswersHeadWithoutABody) {
  Client& client = dial();
  client.ask("HEAD", "/", {}, true);
  answer("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n\r\n");
  EXPECT_TRUE(hears(client, "1 response 200 [date: x] [content-length: 5]\n1 end\n1 closed 0"));
  client.ask("HEAD", "/", {}, true, "nobody.example");
  EXPECT_TRUE(hears(client, "3 response 404"));
  EXPECT_TRUE(hears(client, "3 end\n3 closed 0"));
}

TEST_F(H2SessionTest, AnswersWhatIsRoutedNowhere) {
  Client& client = dial();
  client.ask("GET", "/", {}, true, "nobody.example");
  ASSERT_TRUE(hears(client, "1 closed 0"));
  EXPECT_TRUE(client.heard("1 response 404 length "));
  EXPECT_TRUE(client.heard("<h1>404 Not Found</h1>"));
  EXPECT_EQ(seen_.at(0).status, 404);
}

TEST_F(H2SessionTest, TellsGrpcClientsByTheirOwnStatus) {
  Client& client = dial();
  const std::array fields = {Header{"content-type", "application/grpc"}, Header{"te", "trailers"}};
  const H2StreamId stream = client.ask("POST", "/", fields, false, "nobody.example");
  client.codec.send_body(stream, "message");
  ASSERT_TRUE(hears(client, "1 closed 0"));
  EXPECT_TRUE(client.heard(
      "1 response 200 length 0 [content-type: application/grpc] [grpc-status: 12]\n1 end\n"));
}

TEST_F(H2SessionTest, TellsGrpcClientsWhoseHeadIsNoneByTheirOwnStatusToo) {
  Client& client = dial();
  const std::string large(40'000, 'm');
  const std::array fields = {Header{"content-type", "application/grpc+proto"},
                             Header{"metadata", large}};
  client.ask("POST", "/svc/Do", fields, true);
  EXPECT_TRUE(hears(client, "[grpc-status: 8]"));
  EXPECT_EQ(seen_.back().status, 431);
}

TEST_F(H2SessionTest, TellsGrpcClientsWhoseCallDoesntComeByTheirOwnStatusToo) {
  Client& client = dial();
  const std::array fields = {Header{"content-type", "application/grpc"}};
  client.ask("POST", "/svc/Do", fields, false);
  ASSERT_TRUE(backend_gets());
  clock_.advance(limits_.body + std::chrono::seconds(1));
  EXPECT_TRUE(hears(client, "[grpc-status: 4]\n1 end\n1 closed 0"));
  EXPECT_EQ(seen_.back().status, 408);
}

TEST_F(H2SessionTest, AnswersRequestsThatAreNone) {
  Client& client = dial();
  client.ask("GET", "/a#b", {}, true);
  EXPECT_TRUE(hears(client, "1 response 400"));
  EXPECT_EQ(seen_.at(0).status, 400);
  EXPECT_EQ(seen_.at(0).detail, "bad request target");
  client.get();
  answer();
  EXPECT_TRUE(hears(client, "3 closed 0"));
}

TEST_F(H2SessionTest, StopsAnUploadThatWasAnsweredEarly) {
  Client& client = dial();
  const H2StreamId stream = client.ask("POST", "/", {}, false);
  client.codec.send_body(stream, std::string(1'000'000, 'x'));
  ASSERT_TRUE(backend_gets());
  backend_.last().send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  EXPECT_TRUE(hears(client, "1 response 403"));
  EXPECT_TRUE(hears(client, "1 data no\n1 end\n1 closed 0"));
  client.get();
  answer(kOk, 1);
  EXPECT_TRUE(hears(client, "3 closed 0"));
}

TEST_F(H2SessionTest, EndsTheBackendsWorkWhenTheClientResetsItsStream) {
  Client& client = dial();
  const H2StreamId stream = client.get();
  ASSERT_TRUE(backend_gets());
  client.codec.reset(stream, http::H2Error::Cancel);
  EXPECT_TRUE(driver_.until([this] { return backend_.last().ended; }));
  EXPECT_EQ(seen_.at(0).status, 499);
  EXPECT_EQ(sessions_.size(), 1u);
}

TEST_F(H2SessionTest, EndsAllWorkWhenTheClientIsGone) {
  Client& client = dial();
  client.get("/1");
  client.get("/2");
  ASSERT_TRUE(backend_gets("\r\n\r\n", 1));
  clients_.back()->close();
  EXPECT_TRUE(client_gone());
  EXPECT_TRUE(driver_.until([this] { return seen_.size() == 2; }));
  EXPECT_TRUE(
      driver_.until([this] { return backend_.peers[0]->ended && backend_.peers[1]->ended; }));
}

TEST_F(H2SessionTest, ResetsAStreamWhoseResponseWasCut) {
  Client& client = dial();
  client.get();
  answer("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart");
  ASSERT_TRUE(hears(client, "1 data part"));
  backend_.last().close();
  EXPECT_TRUE(hears(client, "1 closed 2"));
  EXPECT_TRUE(seen_.at(0).cut);
  client.get();
  answer(kOk, 1);
  EXPECT_TRUE(hears(client, "3 closed 0"));
}

TEST_F(H2SessionTest, DrainsWithANoticeAndServesWhatCame) {
  Client& client = dial();
  client.get("/1");
  ASSERT_TRUE(backend_gets());
  sessions_.front()->drain();
  ASSERT_TRUE(hears(client, "0 goaway 2147483647 0"));
  ASSERT_TRUE(hears(client, "0 goaway 1 0"));
  answer();
  EXPECT_TRUE(hears(client, "1 data ok\n1 end\n1 closed 0"));
  EXPECT_TRUE(client_ends(*clients_.back()));
  clients_.back()->close();
  EXPECT_TRUE(client_gone());
}

TEST_F(H2SessionTest, GoesOnWithADrainWhoseNoticeIsntAnswered) {
  Client& client = dial();
  client.get();
  answer();
  ASSERT_TRUE(hears(client, "1 closed 0"));
  clients_.back()->reading = false;
  sessions_.front()->drain();
  driver_.settle();
  EXPECT_EQ(sessions_.size(), 1u);
  clock_.advance(std::chrono::milliseconds(1'100));
  driver_.settle();
  clock_.advance(limits_.linger + std::chrono::seconds(1));
  EXPECT_TRUE(client_gone());
}

TEST_F(H2SessionTest, ClosesWhenIdle) {
  Client& client = dial();
  client.get();
  answer();
  ASSERT_TRUE(hears(client, "1 closed 0"));
  clock_.advance(limits_.keep_alive - std::chrono::seconds(1));
  driver_.settle();
  client.codec.send_ping();
  EXPECT_TRUE(hears(client, "0 pong"));
  clock_.advance(std::chrono::seconds(2));
  EXPECT_TRUE(hears(client, "0 goaway 1 0"));
  EXPECT_TRUE(client_ends(*clients_.back()));
}

TEST_F(H2SessionTest, ClosesWhenNothingIsEverAsked) {
  Client& client = dial();
  driver_.settle();
  clock_.advance(limits_.head + std::chrono::seconds(1));
  EXPECT_TRUE(hears(client, "0 goaway 0 0"));
  EXPECT_TRUE(client_ends(*clients_.back()));
}

TEST_F(H2SessionTest, ClosesThoughAHeadHasBegun) {
  Peer& client = connect();
  client.send(http::h2::opening() + http::h2::frame(1, 0, 1, http::h2::block(http::h2::get())));
  driver_.settle();
  clock_.advance(limits_.head + std::chrono::seconds(1));
  driver_.settle();
  clock_.advance(limits_.linger + std::chrono::seconds(1));
  EXPECT_TRUE(client_gone());
}

TEST_F(H2SessionTest, LeavesAfterAsManyRequestsAsAllowed) {
  context_.limits.keep_alive_requests = 2;
  Client& client = dial();
  client.get();
  answer();
  ASSERT_TRUE(hears(client, "1 closed 0"));
  client.get();
  answer();
  EXPECT_TRUE(hears(client, "3 closed 0"));
  EXPECT_TRUE(hears(client, "0 goaway 3 0"));
  EXPECT_TRUE(client_ends(*clients_.back()));
}

TEST_F(H2SessionTest, GivesUpAStreamWhoseBodyDoesntCome) {
  Client& client = dial();
  client.ask("POST", "/", {}, false);
  ASSERT_TRUE(backend_gets());
  client.get();
  answer(kOk, 1);
  ASSERT_TRUE(hears(client, "3 closed 0"));
  clock_.advance(limits_.body + std::chrono::seconds(1));
  EXPECT_TRUE(hears(client, "1 response 408"));
  EXPECT_TRUE(hears(client, "1 closed 0"));
  EXPECT_EQ(seen_.back().status, 408);
  EXPECT_EQ(sessions_.size(), 1u);
}

TEST_F(H2SessionTest, AConversationMayBeSilentAsLongAsItsRouteAllows) {
  config::Route route = route_to("/", "shop/orders:80");
  route.read_timeout_ms = 3'600'000;
  publish(SnapshotMaker()
              .host(handfast::testing::host_with("shop.example", {route}))
              .service("shop/orders:80", {backend_.address()}));
  Client& client = dial();
  client.ask("POST", "/", {}, false);
  ASSERT_TRUE(backend_gets());
  backend_.last().send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
  ASSERT_TRUE(hears(client, "1 data hi"));
  clock_.advance(limits_.body + std::chrono::seconds(1));
  driver_.settle();
  EXPECT_FALSE(client.heard("1 closed"));

  clock_.advance(std::chrono::hours(1));
  EXPECT_TRUE(hears(client, "1 closed 2"));
  EXPECT_EQ(seen_.at(0).reason, Reason::ResponseTimeout);
  EXPECT_TRUE(seen_.at(0).cut);
}

TEST_F(H2SessionTest, GivesUpAStreamWhoseEndIsntTaken) {
  Peer& client = connect();
  // A window of two bytes, which the answer fills: nothing is left for the end behind it.
  client.send(std::string(http::h2::kPreface) +
              http::h2::settings(http::h2::number(4, 2) + http::h2::number(2, 4)) +
              http::h2::settings_ack() +
              http::h2::headers(1, {{":method", "GET"},
                                    {":scheme", "http"},
                                    {":authority", "shop.example"},
                                    {":path", "/"}}));
  answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
  ASSERT_TRUE(client_gets(client, "ok"));
  backend_.last().send("0\r\n\r\n");
  ASSERT_TRUE(driver_.until([this] { return seen_.size() == 1; }));
  for (int i = 0; i < 3; ++i) {
    clock_.advance(limits_.send + std::chrono::seconds(1));
    driver_.settle();
  }
  EXPECT_TRUE(std::ranges::any_of(http::h2::frames_of(client.received), [](const auto& frame) {
    return frame.type == 3;
  })) << "a reset";
  clock_.advance(limits_.keep_alive + std::chrono::seconds(1));
  EXPECT_TRUE(client_ends(client));
}

TEST_F(H2SessionTest, AnAnswerThatComesLateHasItsTimeToBeTaken) {
  config::Route route = route_to("/", "shop/orders:80");
  route.read_timeout_ms = 3'600'000;
  publish(SnapshotMaker()
              .host(handfast::testing::host_with("shop.example", {route}))
              .service("shop/orders:80", {backend_.address()}));
  Client& client = dial();
  client.get();
  ASSERT_TRUE(backend_gets());
  clock_.advance(limits_.body - std::chrono::seconds(1));
  driver_.settle(2);
  // In the very round in which the stream's time is up.
  bool late = false;
  ASSERT_TRUE(driver_.until([&] {
    if (!std::exchange(late, true)) {
      backend_.last().send(kOk);
      backend_.last().pump();
      clock_.advance(std::chrono::seconds(2));
    }
    return client.heard("1 closed");
  }));
  EXPECT_TRUE(client.heard("1 data ok\n1 end\n1 closed 0"));
}

TEST_F(H2SessionTest, GivesUpAStreamThatTakesNothing) {
  Client& client = dial();
  client.log.consumer = nullptr;
  client.get();
  answer("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + std::string(1'000'000, 'x'));
  ASSERT_TRUE(hears(client, "1 data x"));
  driver_.settle(100);
  for (int i = 0; i < 2; ++i) {
    clock_.advance(limits_.send + std::chrono::seconds(1));
    driver_.settle();
  }
  EXPECT_TRUE(hears(client, "1 closed 8"));
}

TEST_F(H2SessionTest, ClosesWhenTheSocketTakesNothing) {
  Client& client = dial();
  client.get();
  answer("HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n");
  ASSERT_TRUE(hears(client, "1 response"));
  clients_.back()->reading = false;
  backend_.last().send(std::string(50'000'000, 'x'));
  std::string windows;
  for (int i = 0; i < 100; ++i) {
    windows += http::h2::window_update(1, 1'000'000) + http::h2::window_update(0, 1'000'000);
  }
  clients_.back()->send(windows);
  driver_.settle(300);
  clock_.advance(limits_.send + std::chrono::seconds(1));
  EXPECT_TRUE(client_gone());
}

TEST_F(H2SessionTest, EndsFloodsWithACounter) {
  Peer& client = connect();
  std::string bytes = http::h2::opening();
  for (int i = 0; i < 1000; ++i) {
    bytes += http::h2::headers(2 * i + 1, {{":method", "GET"},
                                           {":scheme", "http"},
                                           {":authority", "shop.example"},
                                           {":path", "/"}}) +
             http::h2::rst(2 * i + 1, 8);
  }
  client.send(bytes);
  ASSERT_TRUE(client_ends(client));
  const auto frames = http::h2::frames_of(client.received);
  EXPECT_EQ(frames.back().type, 7);
  EXPECT_EQ(frames.back().word(4), 11u);
  ASSERT_EQ(floods_.size(), 1u);
  EXPECT_EQ(floods_[0], http::H2Flood::Resets);
  EXPECT_LE(seen_.size(), 801u);
  client.close();
  EXPECT_TRUE(client_gone());
}

TEST_F(H2SessionTest, TellsWhatIsntHttp2) {
  Peer& client = connect();
  client.send(std::string(http::h2::kPreface) + "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(client_ends(client));
  EXPECT_EQ(http::h2::frames_of(client.received).back().type, 7);
  clock_.advance(limits_.linger + std::chrono::seconds(1));
  EXPECT_TRUE(client_gone());
}

TEST_F(H2SessionTest, AConnectionThatComesByteByByteIsTheSame) {
  Peer& client = connect();
  const std::string bytes = http::h2::opening() +
                            http::h2::headers(1,
                                              {{":method", "POST"},
                                               {":scheme", "http"},
                                               {":authority", "shop.example"},
                                               {":path", "/"}},
                                              false) +
                            http::h2::data(1, "hello", true);
  for (const char c : bytes) {
    client.send({&c, 1});
    driver_.settle(1);
  }
  ASSERT_TRUE(backend_gets("1\r\no\r\n0\r\n\r\n"));
  backend_.last().send(kOk);
  EXPECT_TRUE(client_gets(client, "ok"));
}

TEST_F(H2SessionTest, SpeaksHttp2ToABackendThatWantsIt) {
  serve_h2();
  Client& client = dial();
  const std::array fields = {Header{"content-type", "application/grpc"}, Header{"te", "trailers"}};
  const H2StreamId stream = client.ask("POST", "/svc/Do", fields, false);
  client.codec.send_body(stream, "question");
  Client& backend = h2_backend();
  ASSERT_TRUE(hears(backend, "1 data question"));
  EXPECT_TRUE(backend.heard("1 request POST /svc/Do at shop.example streamed trailers "));
  backend.codec.send_head(1, 200, fields, false);
  backend.codec.send_body(1, "answer");
  ASSERT_TRUE(hears(client, "1 data answer"));
  client.codec.send_body(stream, "more");
  ASSERT_TRUE(hears(backend, "1 data questionmore"));
  client.codec.send_end(stream, {});
  ASSERT_TRUE(hears(backend, "1 end"));
  const std::array trailers = {Header{"grpc-status", "0"}};
  backend.codec.send_end(1, trailers);
  EXPECT_TRUE(hears(client, "1 end [grpc-status: 0]\n1 closed 0"));
  EXPECT_TRUE(hears(backend, "1 closed 0"));
}

TEST_F(H2SessionTest, EndsABodyOfNoBytesThatAnHttp1ClientAnnounced) {
  serve_h2();
  Peer& client = connect();
  client.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n\r\n");
  Client& backend = h2_backend();
  ASSERT_TRUE(hears(backend, "1 end"));
  backend.codec.send_head(1, 204, {}, true);
  EXPECT_TRUE(client_gets(client, "HTTP/1.1 204"));
}

TEST_F(H2SessionTest, AStreamThatTheBackendResetsIsntTakenForAStaleConnection) {
  serve_h2();
  Client& client = dial();
  client.get();
  Client& backend = h2_backend();
  ASSERT_TRUE(hears(backend, "1 end"));
  backend.codec.send_head(1, 200, {}, true);
  ASSERT_TRUE(hears(client, "1 closed 0"));
  client.get();
  ASSERT_TRUE(hears(backend, "3 end"));
  backend.codec.reset(3, http::H2Error::Internal);
  EXPECT_TRUE(hears(client, "3 response 502"));
  EXPECT_EQ(backend_.peers.size(), 1u);
  EXPECT_EQ(seen_.back().tries, 1);
}

TEST_F(H2SessionTest, PassesOnAGrpcAnswerOfTrailersAlone) {
  serve_h2();
  Client& client = dial();
  client.ask("POST", "/svc/Do", {}, true);
  Client& backend = h2_backend();
  ASSERT_TRUE(hears(backend, "1 end"));
  const std::array fields = {Header{"grpc-status", "5"}};
  backend.codec.send_head(1, 200, fields, true);
  EXPECT_TRUE(hears(client, "1 response 200 length 0 [grpc-status: 5] [date: "));
  EXPECT_TRUE(hears(client, "1 end\n1 closed 0"));
}

TEST_F(H2SessionTest, PassesOnACancellation) {
  serve_h2();
  Client& client = dial();
  const H2StreamId stream = client.ask("POST", "/svc/Do", {}, false);
  Client& backend = h2_backend();
  ASSERT_TRUE(hears(backend, "1 request"));
  client.codec.reset(stream, http::H2Error::Cancel);
  EXPECT_TRUE(hears(backend, "1 closed 8"));
}

TEST_F(H2SessionTest, PassesOnThatTheBackendCancelsWhatItHasBegunToAnswer) {
  serve_h2();
  Client& client = dial();
  client.ask("POST", "/svc/Do", {}, false);
  Client& backend = h2_backend();
  ASSERT_TRUE(hears(backend, "1 request"));
  backend.codec.send_head(1, 200, {}, false);
  ASSERT_TRUE(hears(client, "1 response 200"));
  backend.codec.reset(1, http::H2Error::Cancel);
  EXPECT_TRUE(hears(client, "1 closed 8"));
}

// A call that its client waits two seconds for, at its backend.
class H2CallTest : public H2SessionTest {
 protected:
  H2CallTest() : client(call()), backend(h2_backend()) {
    check(hears(backend, "1 end"), "no call");
  }
  Client& call() {
    serve_h2();
    Client& caller = dial();
    const std::array fields = {Header{"content-type", "application/grpc"},
                               Header{"grpc-timeout", "2S"}};
    caller.ask("POST", "/svc/Do", fields, true);
    return caller;
  }

  Client& client;
  Client& backend;
};

TEST_F(H2CallTest, IsCancelledIfItsBackendCancelsIt) {
  backend.codec.reset(1, http::H2Error::Cancel);
  EXPECT_TRUE(hears(client, "[grpc-status: 1]"));
}

TEST_F(H2CallTest, HasExceededItsDeadlineIfItFailsAfterThat) {
  clock_.advance(std::chrono::seconds(2));
  backend.codec.reset(1, http::H2Error::Cancel);
  EXPECT_TRUE(hears(client, "[grpc-status: 4]"));
}

}  // namespace
}  // namespace handfast::session
