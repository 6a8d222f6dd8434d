#include "controller/source/joined_source.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

namespace handfast::source {
namespace {

// Tells its batches and ends.
class Scripted final : public Source {
 public:
  explicit Scripted(std::vector<Batch> batches, bool delivers_everything = true)
      : batches_(std::move(batches)), delivers_everything_(delivers_everything) {}
  void run(Sink& sink) override {
    for (Batch& batch : batches_) sink.on_batch(std::move(batch));
  }
  void stop() override {}
  bool want(std::set<objects::ObjectKey> /*references*/) override { return delivers_everything_; }

 private:
  std::vector<Batch> batches_;
  bool delivers_everything_;
};

class Kept final : public Sink {
 public:
  void on_batch(Batch batch) override { batches.push_back(std::move(batch)); }
  std::vector<Batch> batches;
};

Batch batch(bool synced, const std::string& problem = "") {
  Batch one;
  one.synced = synced;
  if (!problem.empty()) one.problems.push_back({{}, {}, {}, {Reason::Io, problem}, {}});
  return one;
}

std::vector<std::unique_ptr<Source>> two(std::vector<Batch> first, std::vector<Batch> second,
                                         bool second_delivers = true) {
  std::vector<std::unique_ptr<Source>> sources;
  sources.push_back(std::make_unique<Scripted>(std::move(first)));
  sources.push_back(std::make_unique<Scripted>(std::move(second), second_delivers));
  return sources;
}

TEST(JoinedSource, IsInSyncWhenAllAre) {
  Kept kept;
  JoinedSource joined(two({batch(false), batch(true)}, {batch(true)}));

  joined.run(kept);

  ASSERT_EQ(kept.batches.size(), 3U);
  EXPECT_FALSE(kept.batches[0].synced && kept.batches[1].synced);
  EXPECT_TRUE(kept.batches[2].synced);
}

TEST(JoinedSource, TellsTheProblemsOfAll) {
  Kept kept;
  JoinedSource joined(two({batch(true, "a")}, {batch(true, "b")}));

  joined.run(kept);

  EXPECT_EQ(kept.batches.back().problems.size(), 2U);
}

TEST(JoinedSource, DeliversEverythingOnlyIfAllDo) {
  EXPECT_TRUE(JoinedSource(two({}, {})).want({}));
  EXPECT_FALSE(JoinedSource(two({}, {}, false)).want({}));
}

}  // namespace
}  // namespace handfast::source
