#include "proxy/net/stream.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>

#include "tests/unit/proxy/net/peer.h"

namespace handfast::net {
namespace {

class PlainStreamTest : public ::testing::Test {
 protected:
  PlainStreamTest() {
    auto [client, server] = handfast::testing::tcp_pair();
    peer_ = std::make_unique<handfast::testing::Peer>(std::move(client));
    stream_ = std::make_unique<PlainStream>(Socket(std::move(server)), pool_);
  }
  IoResult read_after(std::uint32_t events) {
    stream_->socket().note_events(events);
    return stream_->read(space_);
  }

  BufferPool pool_;
  std::unique_ptr<handfast::testing::Peer> peer_;
  std::unique_ptr<PlainStream> stream_;
  std::array<char, 1000> space_;
};

TEST_F(PlainStreamTest, MakesNoCallBeforeAnEventSaysThereIsSomething) {
  peer_->send("hello");
  peer_->pump();

  EXPECT_EQ(stream_->read(space_).state, IoState::WouldBlock);
  const IoResult result = read_after(EPOLLIN);
  EXPECT_EQ(result.state, IoState::Data);
  EXPECT_EQ(std::string_view(space_.data(), result.bytes), "hello");
}

TEST_F(PlainStreamTest, AReadThatCameBackShortMeansDrained) {
  peer_->send("one");
  peer_->pump();
  ASSERT_EQ(read_after(EPOLLIN).state, IoState::Data);
  peer_->send("two");
  peer_->pump();

  EXPECT_EQ(stream_->read(space_).state, IoState::WouldBlock);
  EXPECT_EQ(read_after(EPOLLIN).bytes, 3u);
}

TEST_F(PlainStreamTest, AHangUpLiftsThatSoThatTheEndIsFound) {
  peer_->send("last");
  peer_->finish();
  peer_->pump();

  EXPECT_EQ(read_after(EPOLLIN | EPOLLRDHUP).bytes, 4u);
  EXPECT_EQ(stream_->read(space_).state, IoState::End);
}

TEST_F(PlainStreamTest, AResetIsAFailureAndSaysSo) {
  peer_->abort();

  EXPECT_EQ(read_after(EPOLLIN | EPOLLERR | EPOLLHUP).state, IoState::Failed);
  EXPECT_FALSE(stream_->failure().detail.empty());
}

TEST_F(PlainStreamTest, QueuesWhatThePeerDoesNotTakeAndGoesOnLater) {
  const std::string big(8 << 20, 'x');
  peer_->reading = false;
  stream_->write(big);
  ASSERT_EQ(stream_->flush(), FlushState::WouldBlock);
  EXPECT_GT(stream_->queued(), 0u);

  peer_->reading = true;
  while (peer_->received.size() < big.size()) {
    peer_->pump();
    stream_->socket().note_events(EPOLLOUT);
    ASSERT_NE(stream_->flush(), FlushState::Failed);
  }

  EXPECT_EQ(peer_->received, big);
  EXPECT_EQ(stream_->queued(), 0u);
}

TEST_F(PlainStreamTest, EndsItsDirectionAfterTheLastByte) {
  stream_->write("bye");
  stream_->end_write();
  peer_->pump();
  EXPECT_FALSE(peer_->ended);

  stream_->flush();
  peer_->pump();

  EXPECT_EQ(peer_->received, "bye");
  EXPECT_TRUE(peer_->ended);
}

}  // namespace
}  // namespace handfast::net
