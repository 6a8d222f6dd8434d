#include "controller/source/cluster_inbox.h"

#include <gtest/gtest.h>

#include <future>
#include <string>
#include <thread>
#include <utility>

namespace handfast::source {
namespace {

using Note = ClusterInbox::Note;

Note line(std::size_t bytes) { return {Note::Kind::Line, 1, std::string(bytes, 'x'), {}}; }

TEST(ClusterInbox, GivesNotesInTheirOrder) {
  ClusterInbox inbox;
  inbox.put({Note::Kind::Open, 7, {}, {}});
  inbox.put(line(3));

  const auto notes = inbox.take(Monotonic::max());

  ASSERT_EQ(notes.size(), 2U);
  EXPECT_EQ(notes[0].who, 7U);
  EXPECT_EQ(notes[1].line, "xxx");
}

TEST(ClusterInbox, ComesBackAtTheDeadlineWithNothing) {
  ClusterInbox inbox;

  EXPECT_TRUE(inbox.take(std::chrono::steady_clock::now()).empty());
}

TEST(ClusterInbox, MakesWhoeverBringsTooMuchWaitForTheReader) {
  ClusterInbox inbox;
  std::promise<void> filled;
  std::thread writer([&] {
    inbox.put(line(std::size_t{5} << 20));
    filled.set_value();
    inbox.put(line(1));
  });
  filled.get_future().wait();

  EXPECT_EQ(inbox.take(Monotonic::max()).size(), 1U);
  EXPECT_EQ(inbox.take(Monotonic::max()).size(), 1U);
  writer.join();
}

TEST(ClusterInbox, LetsEverybodyGoWhenItCloses) {
  ClusterInbox inbox;
  inbox.put(line(std::size_t{5} << 20));
  std::thread writer([&] { inbox.put(line(1)); });

  inbox.close();

  writer.join();
  EXPECT_TRUE(inbox.is_closed());
}

TEST(ClusterInbox, IsWokenOnce) {
  ClusterInbox inbox;
  inbox.wake();

  EXPECT_TRUE(inbox.take(Monotonic::max()).empty());
}

}  // namespace
}  // namespace handfast::source
