#include "proxy/upstream/h2_connection.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "tests/unit/proxy/upstream/pool_fixture.h"

namespace handfast::upstream {
namespace {

using handfast::testing::Peer;
using handfast::testing::RecordingUser;

// The far end of one connection: a codec in the server's role over a scripted peer.
class H2Backend final : private http::H2Codec::Events {
 public:
  H2Backend(Peer& peer, BufferPool& buffers, const http::H2Limits& limits)
      : codec(http::H2Codec::Role::Server, *this, limits), peer_(peer), out_(buffers) {}

  void pump() {
    const std::string bytes = peer_.take();
    if (!bytes.empty()) fed_well = codec.feed(bytes).has_value() && fed_well;
    while (speaks && codec.wants_produce()) {
      codec.produce(out_, 1 << 20);
      if (out_.empty()) break;
      peer_.send(out_.view());
      out_.clear();
    }
  }
  void take_bodies() {
    for (auto& [stream, bytes] : taken) codec.consume(stream, std::exchange(bytes, 0));
  }
  void answer(http::H2StreamId stream, std::string_view body, int status = 200) {
    codec.send_head(stream, status, {}, body.empty());
    if (body.empty()) return;
    codec.send_body(stream, body);
    codec.send_end(stream, {});
  }

  http::H2Codec codec;
  std::vector<http::H2StreamId> streams;  // in order of their heads
  std::map<http::H2StreamId, std::string> bodies;
  std::vector<http::H2StreamId> ended;
  std::vector<http::H2StreamId> closed;
  std::string last_path;
  std::map<http::H2StreamId, std::size_t> taken;  // and the window isn't given back yet
  bool takes_bodies = true;
  bool fed_well = true;
  bool speaks = true;

 private:
  void on_h2_request(http::H2StreamId stream, const http::RequestHead& head) override {
    streams.push_back(stream);
    last_path = head.target;
  }
  void on_h2_bad_request(http::H2StreamId, int, std::string_view) override { fed_well = false; }
  void on_h2_response(http::H2StreamId, const http::ResponseHead&) override {}
  void on_h2_data(http::H2StreamId stream, std::string_view payload) override {
    bodies[stream].append(payload);
    taken[stream] += payload.size();
    if (takes_bodies) take_bodies();
  }
  void on_h2_end(http::H2StreamId stream, const http::HeaderList&) override {
    ended.push_back(stream);
  }
  void on_h2_closed(http::H2StreamId stream, http::H2Error) override { closed.push_back(stream); }
  void on_h2_drained(http::H2StreamId) override {}
  void on_h2_goaway(http::H2StreamId, http::H2Error) override {}

  Peer& peer_;
  Buffer out_;
};

class H2ConnectionTest : public handfast::testing::PoolFixture {
 protected:
  H2ConnectionTest() {
    // The fixture runs the loop once more when this part of it is gone.
    driver_.each_round([this, alive = alive_] {
      if (!*alive) return;
      while (backends_.size() < backend_.peers.size()) {
        backends_.push_back(std::make_unique<H2Backend>(*backend_.peers[backends_.size()],
                                                        far_buffers_, far_limits_));
        backends_.back()->speaks = far_speaks_;
      }
      for (auto& backend : backends_) backend->pump();
    });
  }

  ~H2ConnectionTest() override { *alive_ = false; }

  [[nodiscard]] Target target() const {
    return {.address = backend_.address(), .wire = Wire::Http2};
  }
  void ask(RecordingUser& user, const std::string& method = "GET", const std::string& extra = "") {
    user.channel = pool_.take(target(), user);
    if (user.channel != nullptr) {
      request(user, method, extra);
      return;
    }
    user.when_ready = [this, &user, method, extra] { request(user, method, extra); };
    ASSERT_TRUE(pool_.connect(target(), "shop/orders:80", user));
  }
  [[nodiscard]] bool arrived(std::size_t requests, std::size_t backend = 0) {
    return driver_.until([this, requests, backend] {
      return backends_.size() > backend && backends_[backend]->streams.size() >= requests;
    });
  }
  [[nodiscard]] H2Backend& far(std::size_t backend = 0) { return *backends_[backend]; }

  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  BufferPool far_buffers_;
  http::H2Limits far_limits_;
  bool far_speaks_ = true;
  std::vector<std::unique_ptr<H2Backend>> backends_;
};

TEST_F(H2ConnectionTest, CarriesARequestAndItsAnswer) {
  RecordingUser user;
  ask(user);
  ASSERT_TRUE(arrived(1));
  far().answer(far().streams[0], "hello");

  ASSERT_TRUE(driver_.until([&] { return user.ended; }));
  EXPECT_EQ(user.statuses, std::vector<int>{200});
  EXPECT_EQ(user.body, "hello");
  EXPECT_TRUE(far().fed_well);
  user.channel->release();
  EXPECT_EQ(pool_.idle(), 1u);
}

TEST_F(H2ConnectionTest, ManyRequestsShareOneConnectionAndOneAttempt) {
  std::array<RecordingUser, 20> users;
  for (RecordingUser& user : users) ask(user);
  ASSERT_TRUE(arrived(users.size()));
  for (std::size_t i = 0; i < users.size(); ++i) {
    far().answer(far().streams[i], std::to_string(i));
  }

  ASSERT_TRUE(driver_.until([&] {
    return std::ranges::all_of(users, [](const RecordingUser& user) { return user.ended; });
  }));
  EXPECT_EQ(backend_.peers.size(), 1u);
  EXPECT_EQ(pool_.total(), 1u);
  for (std::size_t i = 0; i < users.size(); ++i) EXPECT_EQ(users[i].body, std::to_string(i));
}

TEST_F(H2ConnectionTest, MakesMoreConnectionsWhereThePeersLimitOfStreamsIsReached) {
  far_limits_.max_streams = 2;
  RecordingUser first;
  ask(first);
  ASSERT_TRUE(arrived(1));
  driver_.settle();
  std::array<RecordingUser, 4> users;
  for (RecordingUser& user : users) ask(user);

  ASSERT_TRUE(driver_.until([&] {
    std::size_t all = 0;
    for (auto& backend : backends_) all += backend->streams.size();
    return all == 5;
  }));
  EXPECT_EQ(backend_.peers.size(), 3u);
  for (const RecordingUser& user : users) EXPECT_FALSE(user.failure);
}

TEST_F(H2ConnectionTest, ANewConnectionCarriesOneRequestUntilItsPeerSaysHowManyItTakes) {
  far_speaks_ = false;
  std::array<RecordingUser, 10> users;
  for (RecordingUser& user : users) ask(user);
  ASSERT_TRUE(arrived(1));
  RecordingUser late;
  ask(late);
  driver_.settle();
  EXPECT_EQ(far().streams.size(), 1u);
  EXPECT_EQ(backend_.peers.size(), 1u);

  far().speaks = true;

  ASSERT_TRUE(arrived(11));
  EXPECT_EQ(backend_.peers.size(), 1u);
}

TEST_F(H2ConnectionTest, WhoComesWithThePeersSettingsWaitsBehindThoseWhoWaited) {
  far_speaks_ = false;
  RecordingUser first;
  RecordingUser second;
  RecordingUser third;
  ask(first);
  ASSERT_TRUE(arrived(1));
  ask(second);
  first.when_ended = [&] { ask(third); };  // what has come is read: SETTINGS, then the answer

  far().answer(1, "ok");
  far().speaks = true;

  ASSERT_TRUE(arrived(3));
  EXPECT_EQ(backends_.size(), 1U);
  EXPECT_TRUE(second.ready);
  EXPECT_TRUE(third.ready);
}

TEST_F(H2ConnectionTest, WhatThePeerAllowedBeforeIsGoodForTheNextConnection) {
  far_limits_.max_streams = 3;
  std::array<RecordingUser, 3> first;
  for (RecordingUser& user : first) ask(user);
  ASSERT_TRUE(arrived(3));
  far_speaks_ = false;
  std::array<RecordingUser, 3> users;
  for (RecordingUser& user : users) ask(user);

  EXPECT_TRUE(arrived(3, 1));
}

TEST_F(H2ConnectionTest, APeerThatSaysNothingIsWaitedForAsLongAsAConnectMayTake) {
  far_speaks_ = false;
  std::array<RecordingUser, 2> users;
  for (RecordingUser& user : users) ask(user);
  ASSERT_TRUE(arrived(1));
  driver_.settle();
  clock_.advance(kConnectTimeout + std::chrono::seconds(1));

  ASSERT_TRUE(driver_.until([&] { return users[1].failure.has_value(); }));
  EXPECT_EQ(users[1].reason(), Reason::ConnectTimeout);
  EXPECT_TRUE(users[1].unprocessed);
  EXPECT_FALSE(users[0].failure);
  far().answer(far().streams[0], "ok");
  far().speaks = true;
  EXPECT_TRUE(driver_.until([&] { return users[0].ended; }));
}

TEST_F(H2ConnectionTest, WhoWaitsNoMoreForWhatThePeerAllowsLeavesTheConnectionIdle) {
  far_speaks_ = false;
  std::array<RecordingUser, 2> users;
  for (RecordingUser& user : users) ask(user);
  ASSERT_TRUE(arrived(1));
  driver_.settle();
  pool_.cancel(users[1]);
  users[0].channel->abandon();
  EXPECT_EQ(pool_.idle(), 1u);
  far().speaks = true;
  driver_.settle();
  clock_.advance(limits_.idle + std::chrono::seconds(1));

  EXPECT_TRUE(driver_.until([&] { return pool_.total() == 0; }));
}

TEST_F(H2ConnectionTest, APeerThatTakesNoStreamAtAllIsLeft) {
  far_limits_.max_streams = 0;
  std::array<RecordingUser, 3> users;
  for (RecordingUser& user : users) ask(user);

  ASSERT_TRUE(driver_.until([&] {
    return std::ranges::all_of(users, [](const RecordingUser& user) { return user.unprocessed; });
  }));
  clock_.advance(std::chrono::seconds(1));
  EXPECT_TRUE(driver_.until([&] { return pool_.total() == 0; }));
  EXPECT_EQ(backend_.peers.size(), 1u);
}

TEST_F(H2ConnectionTest, WhatHasNotLeftWhenTheConnectionEndsWasNotProcessed) {
  RecordingUser first;
  ask(first);
  ASSERT_TRUE(arrived(1));
  far().answer(far().streams[0], "ok");
  ASSERT_TRUE(driver_.until([&] { return first.ended; }));
  first.channel->release();
  driver_.settle();
  backend_.last().close();
  RecordingUser user;
  ask(user);

  ASSERT_TRUE(driver_.until([&] { return user.failure.has_value(); }));
  EXPECT_TRUE(user.unprocessed);
}

TEST_F(H2ConnectionTest, StreamsABodyWithItsEnd) {
  RecordingUser user;
  ask(user, "POST", "Content-Length: 300000\r\n");
  ASSERT_TRUE(arrived(1));
  const std::string body(300'000, 'b');
  for (std::size_t at = 0; at < body.size(); at += 10'000) {
    user.channel->send_body(std::string_view(body).substr(at, 10'000));
    driver_.settle(2);
  }
  user.channel->end_body(http::no_trailers());

  ASSERT_TRUE(driver_.until([&] { return !far().ended.empty(); }));
  EXPECT_EQ(far().bodies[far().streams[0]].size(), body.size());
}

TEST_F(H2ConnectionTest, SaysWhenThereIsRoomForMoreOfTheRequest) {
  RecordingUser user;
  ask(user, "POST", "Content-Length: 100000000\r\n");
  ASSERT_TRUE(arrived(1));
  backend_.last().reading = false;
  while (user.channel->has_room()) user.channel->send_body(std::string(64 * 1024, 'x'));
  driver_.settle();

  backend_.last().reading = true;

  EXPECT_TRUE(driver_.until([&] { return user.drained && user.channel->has_room(); }));
}

TEST_F(H2ConnectionTest, AUserWithoutRoomStopsItsOwnStreamAndNoOther) {
  RecordingUser slow;
  slow.wants_body = false;
  ask(slow);
  ASSERT_TRUE(arrived(1));
  far().codec.send_head(far().streams[0], 200, {}, false);
  far().codec.send_body(far().streams[0], std::string(4 << 20, 's'));
  driver_.settle(50);
  EXPECT_GT(far().codec.queued(far().streams[0]), std::size_t{3} << 20);

  RecordingUser quick;
  ask(quick);
  ASSERT_TRUE(arrived(2));
  far().codec.send_head(far().streams[1], 200, {}, false);
  far().codec.send_body(far().streams[1], std::string(4 << 20, 'q'));
  far().codec.send_end(far().streams[1], {});
  EXPECT_TRUE(driver_.until([&] { return quick.ended; }));
  EXPECT_EQ(quick.body.size(), std::size_t{4} << 20);

  far().codec.send_end(far().streams[0], {});
  slow.wants_body = true;
  slow.channel->resume();
  EXPECT_TRUE(driver_.until([&] { return slow.ended; }));
  EXPECT_EQ(slow.body.size(), std::size_t{4} << 20);
}

TEST_F(H2ConnectionTest, TenInformationalResponsesAreEnough) {
  RecordingUser user;
  ask(user);
  ASSERT_TRUE(arrived(1));
  for (int i = 0; i < 11; ++i) far().codec.send_head(far().streams[0], 103, {}, false);

  ASSERT_TRUE(driver_.until([&] { return user.failure.has_value(); }));
  EXPECT_EQ(user.statuses.size(), 10u);
  EXPECT_EQ(user.reason(), Reason::BadResponse);
  EXPECT_TRUE(driver_.until([&] { return !far().closed.empty(); }));
  EXPECT_EQ(pool_.total(), 1u);
}

TEST_F(H2ConnectionTest, AFinishedAnswerOutlivesItsConnection) {
  RecordingUser slow;
  RecordingUser other;
  slow.wants_body = false;
  ask(slow);
  ask(other);
  ASSERT_TRUE(arrived(2));
  far().answer(far().streams[0], std::string(50'000, 's'));
  driver_.settle();
  backend_.last().close();
  ASSERT_TRUE(driver_.until([&] { return other.failure.has_value(); }));
  driver_.settle();
  ASSERT_FALSE(slow.failure);

  slow.wants_body = true;
  slow.channel->resume();

  EXPECT_TRUE(slow.ended);
  EXPECT_EQ(slow.body.size(), 50'000u);
  slow.channel->release();
  clock_.advance(std::chrono::milliseconds(100));
  EXPECT_TRUE(driver_.until([&] { return pool_.total() == 0; }));
  EXPECT_EQ(pool_.idle(), 0u);
}

TEST_F(H2ConnectionTest, AConnectionThatTakesOneStreamAtATimeIsKept) {
  far_limits_.max_streams = 1;
  for (int i = 0; i < 5; ++i) {
    RecordingUser user;
    ask(user);
    user.when_ended = [&user] { user.channel->release(); };
    ASSERT_TRUE(arrived(static_cast<std::size_t>(i) + 1));
    far().answer(far().streams.back(), "x");
    ASSERT_TRUE(driver_.until([&] { return user.ended; }));
    driver_.settle(3);
    clock_.advance(std::chrono::milliseconds(100));
    driver_.settle(3);
  }
  EXPECT_EQ(backend_.peers.size(), 1u);
}

TEST_F(H2ConnectionTest, AConnectionOnWhichNothingIsHeardTakesNoMore) {
  RecordingUser user;
  ask(user);
  ASSERT_TRUE(arrived(1));
  clock_.advance(kReadTimeout + std::chrono::seconds(1));
  ASSERT_TRUE(driver_.until([&] { return user.reason() == Reason::ResponseTimeout; }));
  RecordingUser next;
  ask(next);
  EXPECT_TRUE(arrived(1, 1)) << "a new connection";
}

TEST_F(H2ConnectionTest, TheEndOfAnUploadStartsTheWaitForTheAnswer) {
  RecordingUser user;
  ask(user, "POST", "Transfer-Encoding: chunked\r\n");
  ASSERT_TRUE(arrived(1));
  for (int i = 0; i < 3; ++i) {
    clock_.advance(kSendTimeout - std::chrono::seconds(1));
    driver_.settle(1);
    user.channel->send_body("a little");
    driver_.settle();
  }
  user.channel->end_body(http::no_trailers());
  clock_.advance(kReadTimeout - std::chrono::seconds(1));
  driver_.settle();
  EXPECT_FALSE(user.failure);
  clock_.advance(std::chrono::seconds(2));
  EXPECT_TRUE(driver_.until([&] { return user.reason() == Reason::ResponseTimeout; }));
}

TEST_F(H2ConnectionTest, AConversationLastsAsLongAsOneOfTheTwoSpeaks) {
  RecordingUser user;
  ask(user, "POST", "Transfer-Encoding: chunked\r\n");
  ASSERT_TRUE(arrived(1));
  far().codec.send_head(far().streams[0], 200, {}, false);
  ASSERT_TRUE(driver_.until([&] { return !user.statuses.empty(); }));
  for (int i = 0; i < 5; ++i) {
    clock_.advance(kReadTimeout - std::chrono::seconds(1));
    driver_.settle(1);
    i % 2 == 0 ? user.channel->send_body("hm") : far().codec.send_body(far().streams[0], "oh");
    driver_.settle();
  }
  ASSERT_FALSE(user.failure);
  clock_.advance(kReadTimeout + std::chrono::seconds(1));
  EXPECT_TRUE(driver_.until([&] { return user.reason() == Reason::ResponseTimeout; }));
}

TEST_F(H2ConnectionTest, KeepsNoMoreIdleConnectionsThanAllowed) {
  far_limits_.max_streams = 1;
  std::vector<std::unique_ptr<RecordingUser>> users;
  for (std::size_t i = 0; i < limits_.max_idle + 20; ++i) {
    users.push_back(std::make_unique<RecordingUser>());
    ask(*users.back());
    ASSERT_TRUE(arrived(1, i));
    driver_.settle(2);
  }
  ASSERT_EQ(pool_.total(), limits_.max_idle + 20);
  for (auto& user : users) user->channel->abandon();
  driver_.settle();
  EXPECT_EQ(pool_.idle(), limits_.max_idle);
  EXPECT_LE(pool_.total(), limits_.max_idle);
}

TEST_F(H2ConnectionTest, AbandoningResetsTheStreamAndKeepsTheConnection) {
  RecordingUser user;
  ask(user);
  ASSERT_TRUE(arrived(1));
  user.channel->abandon();

  EXPECT_TRUE(driver_.until([&] { return !far().closed.empty(); }));
  EXPECT_EQ(pool_.total(), 1u);
  RecordingUser next;
  ask(next);
  EXPECT_TRUE(arrived(2));
  EXPECT_EQ(backend_.peers.size(), 1u);
}

// Far from the 200 in half a minute for which Netty ends a connection, the streams of others too.
TEST_F(H2ConnectionTest, AConnectionCarriesNoMoreThanSixtyFourResets) {
  RecordingUser other;
  ask(other);
  ASSERT_TRUE(arrived(1));
  driver_.settle(2);
  for (std::size_t i = 0; i < 150; ++i) {
    RecordingUser user;
    ask(user);
    ASSERT_TRUE(driver_.until([&] { return user.channel != nullptr; }));
    driver_.settle(2);
    user.channel->abandon();
  }

  ASSERT_EQ(backends_.size(), 3u);
  EXPECT_EQ(far(0).streams.size(), 65u);
  EXPECT_EQ(far(1).streams.size(), 64u);
  far().answer(far().streams[0], "ok");
  EXPECT_TRUE(driver_.until([&] { return other.ended; }));
}

TEST_F(H2ConnectionTest, AStreamThatThePeerRefusesWasNotProcessed) {
  RecordingUser user;
  ask(user);
  ASSERT_TRUE(arrived(1));
  far().codec.reset(far().streams[0], http::H2Error::RefusedStream);

  ASSERT_TRUE(driver_.until([&] { return user.failure.has_value(); }));
  EXPECT_TRUE(user.unprocessed);
  EXPECT_EQ(user.reason(), Reason::BadResponse);
}

TEST_F(H2ConnectionTest, AStreamThatThePeerResetsMayHaveBeenProcessed) {
  RecordingUser user;
  ask(user);
  ASSERT_TRUE(arrived(1));
  far().codec.reset(far().streams[0], http::H2Error::Internal);

  ASSERT_TRUE(driver_.until([&] { return user.failure.has_value(); }));
  EXPECT_FALSE(user.unprocessed);
}

TEST_F(H2ConnectionTest, TakesNoMoreRequestsAfterAGoawayButEndsThoseUnderWay) {
  RecordingUser user;
  ask(user);
  ASSERT_TRUE(arrived(1));
  far().codec.send_goaway(/*last=*/true);
  driver_.settle();
  RecordingUser next;
  ask(next);
  ASSERT_TRUE(arrived(1, 1)) << "a new connection";

  far().answer(far().streams[0], "late");

  EXPECT_TRUE(driver_.until([&] { return user.ended; }));
  EXPECT_EQ(user.body, "late");
}

TEST_F(H2ConnectionTest, TellsAllItsUsersThatTheBackendIsGone) {
  std::array<RecordingUser, 3> users;
  for (RecordingUser& user : users) ask(user);
  ASSERT_TRUE(arrived(users.size()));
  backend_.last().abort();

  EXPECT_TRUE(driver_.until([&] {
    return std::ranges::all_of(users,
                               [](const RecordingUser& user) { return user.failure.has_value(); });
  }));
  EXPECT_EQ(pool_.total(), 0u);
}

TEST_F(H2ConnectionTest, AnAnswerThatNeverComesTimesOutAlone) {
  RecordingUser user;
  ask(user);
  ASSERT_TRUE(arrived(1));
  clock_.advance(std::chrono::seconds(30));
  driver_.settle();
  RecordingUser other;
  ask(other);
  ASSERT_TRUE(arrived(2));
  clock_.advance(std::chrono::seconds(31));

  EXPECT_TRUE(driver_.until([&] { return user.reason() == Reason::ResponseTimeout; }));
  EXPECT_FALSE(other.failure);
}

TEST_F(H2ConnectionTest, TheEndOfARequestStartsTheTimeForItsAnswer) {
  RecordingUser user;
  ask(user, "POST", "Content-Length: 2\r\n");
  ASSERT_TRUE(arrived(1));
  clock_.advance(std::chrono::seconds(59));
  driver_.settle();
  user.channel->send_body("ok");
  user.channel->end_body(http::no_trailers());
  driver_.settle();
  clock_.advance(std::chrono::seconds(59));
  driver_.settle();
  EXPECT_FALSE(user.failure);

  clock_.advance(std::chrono::seconds(2));

  EXPECT_TRUE(driver_.until([&] { return user.reason() == Reason::ResponseTimeout; }));
}

TEST_F(H2ConnectionTest, ABodyThatTheBackendTakesSlowlyTimesOutOnlyWhenItTakesNothing) {
  RecordingUser user;
  ask(user, "POST", "Content-Length: 100000000\r\n");
  ASSERT_TRUE(arrived(1));
  far().takes_bodies = false;
  for (int i = 0; i < 3; ++i) {
    user.channel->send_body(std::string(40'000, 'x'));
    driver_.settle();
    clock_.advance(std::chrono::seconds(50));
    driver_.settle();
    far().take_bodies();
    driver_.settle();
  }
  EXPECT_FALSE(user.failure);
  user.channel->send_body(std::string(200'000, 'x'));
  driver_.settle();

  clock_.advance(std::chrono::seconds(61));
  driver_.settle();
  clock_.advance(std::chrono::seconds(61));

  EXPECT_TRUE(driver_.until([&] { return user.reason() == Reason::ResponseTimeout; }));
}

TEST_F(H2ConnectionTest, WantsAFinalHeadAfterTenInformationalOnes) {
  RecordingUser user;
  ask(user);
  ASSERT_TRUE(arrived(1));
  for (int i = 0; i < 11; ++i) far().codec.send_head(far().streams[0], 103, {}, /*end=*/false);

  EXPECT_TRUE(driver_.until([&] { return user.reason() == Reason::BadResponse; }));
  EXPECT_EQ(user.statuses.size(), 10U);
  EXPECT_EQ(pool_.total(), 1u);
}

TEST_F(H2ConnectionTest, FailsOnWhatIsNoHttp2) {
  RecordingUser user;
  user.when_ready = [&] { request(user); };
  ASSERT_TRUE(pool_.connect(target(), "shop/orders:80", user));
  ASSERT_TRUE(driver_.until([&] { return !backend_.peers.empty(); }));
  backend_.last().send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");

  EXPECT_TRUE(driver_.until([&] { return user.reason() == Reason::BadResponse; }));
  EXPECT_EQ(pool_.total(), 0u);
}

TEST_F(H2ConnectionTest, ClosesAfterAWhileWithoutRequests) {
  RecordingUser user;
  ask(user);
  ASSERT_TRUE(arrived(1));
  far().answer(far().streams[0], "x");
  ASSERT_TRUE(driver_.until([&] { return user.ended; }));
  user.channel->release();
  clock_.advance(limits_.idle + std::chrono::seconds(1));

  EXPECT_TRUE(driver_.until([&] { return pool_.total() == 0; }));
}

}  // namespace
}  // namespace handfast::upstream
