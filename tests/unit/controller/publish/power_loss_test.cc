// Whatever fails or loses power at whatever operation: a reader finds one generation, whole.

#include <gtest/gtest.h>

#include "tests/support/times.h"
#include "tests/unit/controller/publish/faulty_file_system.h"
#include "tests/unit/controller/publish/samples.h"

namespace handfast::publish {
namespace {

using testing::add_app;
using testing::FaultyFileSystem;
using testing::is_whole;
using testing::read_current;
using testing::ScriptedProxy;
using Fault = FaultyFileSystem::Fault;

// More operations than one publish makes: that a fault was reached ends the loops earlier.
constexpr std::size_t kMostOperations = 1000;

class PowerLoss : public ::testing::Test {
 protected:
  PowerLoss() {
    for (const char* app : {"orders", "pay"}) {
      add_app(first_, app, "1", "authority 1");
      add_app(old_, app, "2", "authority 1");
    }
    add_app(new_, "orders", "3", "authority 2");
    add_app(new_, "stock", "1", "authority 2");

    GenerationWriter writer{before_};
    EXPECT_TRUE(writer.recover(nullptr));
    ScriptedProxy proxy;
    Publisher publisher{writer, proxy, clock_};
    EXPECT_EQ(publisher.publish(first_).kind, Outcome::Kind::Acknowledged);
    EXPECT_EQ(publisher.publish(old_).kind, Outcome::Kind::Acknowledged);
  }

  void expect_old_or_new(FileSystem& files, const std::string& when) const {
    const auto seen = read_current(files);
    ASSERT_TRUE(seen) << when << ": " << seen.error();
    EXPECT_TRUE(is_whole(*seen, old_) || is_whole(*seen, new_)) << when;
  }

  // Publishing goes on: the new content gets there, and nothing else is left behind.
  void expect_recovery(FaultyFileSystem& files, Publisher& publisher,
                       const std::string& when) const {
    const Outcome outcome = publisher.publish(new_);
    EXPECT_NE(outcome.kind, Outcome::Kind::Failed) << when << ": " << outcome.error;
    const auto seen = read_current(files);
    ASSERT_TRUE(seen) << when << ": " << seen.error();
    EXPECT_TRUE(is_whole(*seen, new_)) << when;
  }

  // After a restart that has nothing to do, only what is used lies there.
  static void expect_nothing_left_over(FaultyFileSystem files, const std::string& when) {
    GenerationWriter writer{files};
    ASSERT_TRUE(writer.recover(nullptr)) << when;
    std::set<std::string> expected = {"current"};
    std::size_t generations = 0;
    for (const std::string& path : files.files()) {
      if (!path.starts_with("generations/")) continue;
      FaultyFileSystem copy = files;
      ASSERT_TRUE(copy.remove_file("current"));
      ASSERT_TRUE(copy.make_symlink(directory_of(path), "current"));
      add_used(copy, expected);
      ++generations;
    }
    EXPECT_LE(generations, 2u) << when;
    EXPECT_EQ(files.files(), expected) << when;
  }

  static void add_used(FileSystem& files, std::set<std::string>& used) {
    const auto seen = read_current(files);
    ASSERT_TRUE(seen) << seen.error();
    const std::string index = config::generation_directory(seen->generation) + "/index.yaml";
    used.insert(index);
    const auto parsed = config::parse_index(testing::read_whole(files, index).value());
    for (const std::string& hash : parsed->buckets) {
      if (!hash.empty()) used.insert(config::shard_path(hash));
    }
    for (const auto& [name, text] : seen->shards) {
      if (text.size() > config::kMostPackedBytes) {
        used.insert(config::shard_path(config::sha256_hex(text)));
      }
    }
    for (const auto& [path, bytes] : seen->files) used.insert(path);
  }

  Content first_, old_, new_;
  handfast::testing::FakeClock clock_;
  FaultyFileSystem before_;
};

TEST_F(PowerLoss, ShowsTheOldOrTheNewGenerationWhateverFails) {
  bool reached = true;
  for (std::size_t operation = 0; reached && operation < kMostOperations; ++operation) {
    const std::string when = "operation " + std::to_string(operation);
    FaultyFileSystem files = before_;
    GenerationWriter writer{files};
    ASSERT_TRUE(writer.recover(nullptr));
    ScriptedProxy proxy;
    Publisher publisher{writer, proxy, clock_};
    files.fail_at(operation, Fault::Error);

    (void)publisher.publish(new_);

    reached = files.fault_happened();
    files.fail_at(0, Fault::None);
    expect_old_or_new(files, when);
    expect_recovery(files, publisher, when);
    (void)publisher.poll();
    expect_nothing_left_over(files, when);
    ASSERT_FALSE(HasFailure());
    EXPECT_TRUE(reached || operation > 40) << "the publish made only " << operation;
  }
  EXPECT_FALSE(reached);
}

TEST_F(PowerLoss, ShowsTheOldOrTheNewGenerationWhateverSurvives) {
  bool reached = true;
  for (std::size_t operation = 0; reached && operation < kMostOperations; ++operation) {
    FaultyFileSystem files = before_;
    GenerationWriter writer{files};
    ASSERT_TRUE(writer.recover(nullptr));
    ScriptedProxy proxy;
    Publisher publisher{writer, proxy, clock_};
    files.fail_at(operation, Fault::PowerLoss);

    (void)publisher.publish(new_);

    reached = files.fault_happened();
    for (unsigned seed = 0; seed < 12; ++seed) {
      const std::string when =
          "operation " + std::to_string(operation) + ", seed " + std::to_string(seed);
      FaultyFileSystem survivor = files.after_power_loss(seed);
      expect_old_or_new(survivor, when);
      GenerationWriter next{survivor};
      ASSERT_TRUE(next.recover(nullptr)) << when;
      Publisher next_publisher{next, proxy, clock_};
      expect_recovery(survivor, next_publisher, when);
      expect_nothing_left_over(survivor, when);
      ASSERT_FALSE(HasFailure());
    }
  }
  EXPECT_FALSE(reached);
}

TEST_F(PowerLoss, WhileDamagedFilesAreWrittenAnewLeavesThemToTheNextStart) {
  for (const auto& [path, bytes] : old_.files) testing::damage(before_, path, "");
  ASSERT_TRUE(before_.sync_all());
  bool reached = true;
  for (std::size_t operation = 0; reached && operation < kMostOperations; ++operation) {
    for (const Fault fault : {Fault::Error, Fault::PowerLoss}) {
      const std::string when = "operation " + std::to_string(operation);
      FaultyFileSystem files = before_;
      GenerationWriter writer{files};
      ASSERT_TRUE(writer.recover(nullptr));
      ScriptedProxy proxy;
      Publisher publisher{writer, proxy, clock_};
      files.fail_at(operation, fault);

      (void)publisher.publish(old_);

      reached = files.fault_happened();
      for (unsigned seed = 0; seed < 4; ++seed) {
        FaultyFileSystem survivor = files.after_power_loss(seed);
        GenerationWriter next{survivor};
        ASSERT_TRUE(next.recover(nullptr)) << when;
        Publisher next_publisher{next, proxy, clock_};
        EXPECT_NE(next_publisher.publish(old_).kind, Outcome::Kind::Failed) << when;
        EXPECT_TRUE(is_whole(read_current(survivor).value(), old_)) << when;
        ASSERT_FALSE(HasFailure());
      }
    }
  }
  EXPECT_FALSE(reached);
}

TEST_F(PowerLoss, DuringRecoveryHurtsNothingEither) {
  FaultyFileSystem messy = before_;
  {
    GenerationWriter writer{messy};
    ASSERT_TRUE(writer.recover(nullptr));
    ScriptedProxy proxy;
    Publisher publisher{writer, proxy, clock_};
    messy.fail_at(12, Fault::PowerLoss);
    (void)publisher.publish(new_);
  }
  bool reached = true;
  for (std::size_t operation = 0; reached && operation < kMostOperations; ++operation) {
    const std::string when = "operation " + std::to_string(operation);
    FaultyFileSystem files = messy.after_power_loss(3);
    GenerationWriter writer{files};
    files.fail_at(operation, Fault::PowerLoss);

    (void)writer.recover(nullptr);

    reached = files.fault_happened();
    FaultyFileSystem survivor = files.after_power_loss(3);
    expect_old_or_new(survivor, when);
    expect_nothing_left_over(survivor, when);
  }
}

}  // namespace
}  // namespace handfast::publish
