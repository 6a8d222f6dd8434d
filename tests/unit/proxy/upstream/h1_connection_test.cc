#include "proxy/upstream/h1_connection.h"

#include "tests/unit/proxy/upstream/pool_fixture.h"

namespace handfast::upstream {
namespace {

using handfast::testing::RecordingUser;

class H1ConnectionTest : public handfast::testing::PoolFixture {
 protected:
  // Sends a request and lets the backend answer `bytes`.
  void answer(RecordingUser& user, std::string_view bytes, const std::string& method = "GET") {
    open(user);
    request(user, method);
    ASSERT_TRUE(driver_.until([&] { return !backend_.last().received.empty(); }));
    backend_.last().send(bytes);
    driver_.settle();
  }
};

TEST_F(H1ConnectionTest, DeliversHeadBodyAndEnd) {
  RecordingUser user;
  answer(user, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");

  EXPECT_EQ(user.statuses, std::vector<int>{200});
  EXPECT_EQ(user.body, "hello");
  EXPECT_TRUE(user.ended);
  EXPECT_EQ(outcomes_, std::vector<Reason>{Reason::Ok});
}

TEST_F(H1ConnectionTest, DecodesChunksAndUntilClose) {
  RecordingUser chunked;
  answer(chunked,
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.body, "hello!");
  EXPECT_TRUE(chunked.ended);

  RecordingUser until_close;
  answer(until_close, "HTTP/1.0 200 OK\r\n\r\nhello");
  EXPECT_FALSE(until_close.ended);
  backend_.last().finish();
  EXPECT_TRUE(driver_.until([&] { return until_close.ended; }));
  EXPECT_EQ(until_close.body, "hello");
}

TEST_F(H1ConnectionTest, PassesInformationalHeadsOnAndThenTheFinalOne) {
  RecordingUser user;
  answer(user,
         "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
         "HTTP/1.1 204 No Content\r\n\r\n");

  EXPECT_EQ(user.statuses, (std::vector<int>{100, 103, 204}));
  EXPECT_TRUE(user.ended);
}

TEST_F(H1ConnectionTest, FailsOnAFloodOfInformationalHeads) {
  RecordingUser user;
  std::string flood;
  for (int i = 0; i < 100; ++i) flood += "HTTP/1.1 100 Continue\r\n\r\n";
  answer(user, flood);

  EXPECT_EQ(user.reason(), Reason::BadResponse);
  EXPECT_LT(user.statuses.size(), 20u);
}

TEST_F(H1ConnectionTest, FailsOnAnUpgradeThatNobodyAskedFor) {
  RecordingUser user;
  answer(user, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");

  EXPECT_EQ(user.reason(), Reason::BadResponse);
}

TEST_F(H1ConnectionTest, FailsOnWhatIsNoResponse) {
  for (const char* bytes :
       {"garbage\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "SSH-2.0-OpenSSH\r\n"}) {
    RecordingUser user;
    answer(user, bytes);
    EXPECT_EQ(user.reason(), Reason::BadResponse) << bytes;
  }
}

TEST_F(H1ConnectionTest, FailsWhenTheBackendClosesBeforeOrInsideItsAnswer) {
  RecordingUser before;
  open(before);
  request(before);
  backend_.last().finish();
  EXPECT_TRUE(driver_.until([&] { return before.reason() == Reason::BadResponse; }));

  RecordingUser inside;
  answer(inside, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhell");
  backend_.last().finish();
  EXPECT_TRUE(driver_.until([&] { return inside.reason() == Reason::BadResponse; }));
  EXPECT_FALSE(inside.ended);
}

TEST_F(H1ConnectionTest, SaysThatNobodyListens) {
  backend_.refuse();
  RecordingUser user;
  connect(user);

  EXPECT_FALSE(user.failure) << "never from inside connect()";
  EXPECT_TRUE(driver_.until([&] { return user.reason() == Reason::ConnectRefused; }));
  EXPECT_EQ(outcomes_, std::vector<Reason>{Reason::ConnectRefused});
  EXPECT_EQ(last_policy_key_, "") << "plain";
  EXPECT_NE(last_detail_.find(backend_.address().to_string()), std::string::npos);
}

TEST_F(H1ConnectionTest, GivesUpOnABackendThatNeverAnswers) {
  RecordingUser user;
  open(user);
  request(user);
  driver_.settle();
  clock_.advance(kReadTimeout + std::chrono::seconds(1));

  EXPECT_TRUE(driver_.until([&] { return user.reason() == Reason::ResponseTimeout; }));
}

TEST_F(H1ConnectionTest, GivesUpOnAHandshakeThatNeverEnds) {
  RecordingUser user;
  connect(user, policy_);
  ASSERT_TRUE(driver_.until([&] { return !backend_.peers.empty(); }));
  driver_.settle();
  clock_.advance(kConnectTimeout + std::chrono::seconds(1));

  EXPECT_TRUE(driver_.until([&] { return user.reason() == Reason::HandshakeTimeout; }));
}

// It is the client who is slow: the backend isn't to blame.
TEST_F(H1ConnectionTest, DoesNotTimeOutWhileItsUserHasNoRoom) {
  RecordingUser user;
  user.wants_body = false;
  answer(user, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  clock_.advance(kReadTimeout + std::chrono::seconds(1));
  driver_.settle();
  ASSERT_FALSE(user.failure);

  user.wants_body = true;
  user.channel->resume();

  EXPECT_EQ(user.body, "hello");
  EXPECT_TRUE(user.ended);
}

TEST_F(H1ConnectionTest, ReadsNoFurtherThanItsUserHasRoom) {
  RecordingUser user;
  user.wants_body = false;
  open(user);
  request(user);
  const std::size_t total = 32 << 20;
  backend_.last().send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(total) + "\r\n\r\n" +
                       std::string(total, 'x'));
  driver_.settle(200);

  EXPECT_EQ(user.body.size(), 0u);
  EXPECT_GT(backend_.last().unsent(), total / 4);
}

TEST_F(H1ConnectionTest, SaysWhenThereIsRoomForMoreOfTheRequest) {
  RecordingUser user;
  open(user);
  backend_.last().reading = false;
  request(user, "POST", "Content-Length: 100000000\r\n");
  const std::string piece(1 << 20, 'x');
  for (int i = 0; i < 16; ++i) user.channel->send_body(piece);
  EXPECT_FALSE(user.channel->has_room());
  driver_.settle();
  EXPECT_FALSE(user.drained);

  backend_.last().reading = true;

  EXPECT_TRUE(driver_.until([&] { return user.drained; }));
  EXPECT_TRUE(user.channel->has_room());
}

// RFC 9112 section 9.5: a backend may answer and close before it has read everything.
TEST_F(H1ConnectionTest, FindsTheAnswerOfABackendThatStoppedReading) {
  RecordingUser user;
  open(user);
  backend_.last().reading = false;
  request(user, "POST", "Content-Length: 100000000\r\n");
  user.channel->send_body(std::string(8 << 20, 'x'));
  driver_.settle();
  backend_.last().send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
  driver_.settle();

  EXPECT_EQ(user.statuses, std::vector<int>{413});
  EXPECT_EQ(user.body, "big");
}

TEST_F(H1ConnectionTest, NotesWhatTheHandshakeAgreed) {
  RecordingUser user;
  open_tls(user, policy_);

  ASSERT_TRUE(user.ready);
  EXPECT_EQ(user.channel->peer().tls.version, "TLSv1.3");
  EXPECT_EQ(user.channel->peer().tls.peer_subject, "CN=orders.shop.svc");
  EXPECT_EQ(user.channel->peer().tls.peer_serial, leaf_.serial());
  EXPECT_EQ(last_policy_key_, policy_->key);
  EXPECT_EQ(last_detail_, "");
}

TEST_F(H1ConnectionTest, ARefusalOfOurCertificateAfterTheHandshakeIsCountedAndNamed) {
  server_ = handfast::testing::make_server_ctx(leaf_, &root_);
  RecordingUser user;
  user.when_ready = [&] { request(user); };
  backend_.reading = false;
  connect(user, policy_);
  ASSERT_TRUE(driver_.until([&] { return !backend_.peers.empty(); }));
  tls_peers_.push_back(
      std::make_unique<handfast::testing::TlsPeer>(backend_.last().release(), server_, true));

  EXPECT_TRUE(driver_.until([&] { return user.reason() == Reason::ClientCertificateRejected; }));
  EXPECT_EQ(outcomes_.back(), Reason::ClientCertificateRejected);
  EXPECT_EQ(last_policy_key_, policy_->key);
  EXPECT_NE(last_detail_, "");
  EXPECT_TRUE(user.unprocessed);  // it is a connect that failed, whatever was sent already
}

// Its worker must not try to send again and again meanwhile.
TEST_F(H1ConnectionTest, ABackendThatIsGoneWaitsForASlowClient) {
  RecordingUser user;
  open(user);
  user.wants_body = false;
  request(user, "POST", "Content-Length: 100000000\r\n");
  ASSERT_TRUE(driver_.until([&] { return !backend_.last().received.empty(); }));
  backend_.last().reading = false;
  while (user.channel->has_room()) {
    user.channel->send_body(std::string(64 * 1024, 'x'));
    driver_.settle(3);
  }
  backend_.last().send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
  ASSERT_TRUE(driver_.until([&] { return !user.statuses.empty(); }));
  user.drained = false;
  backend_.last().abort();
  driver_.settle();

  EXPECT_FALSE(user.failure);
  EXPECT_TRUE(user.drained) << "the request's body goes nowhere, but it is taken";
  EXPECT_TRUE(user.channel->has_room());
  user.wants_body = true;
  user.channel->resume();
  EXPECT_EQ(user.body, "part");
  EXPECT_EQ(user.reason(), Reason::BadResponse);
}

}  // namespace
}  // namespace handfast::upstream
