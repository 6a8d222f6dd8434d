#include "controller/source/manifest_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>

#include "tests/unit/controller/source/temporary_directory.h"

namespace handfast::source {
namespace {

using std::chrono::milliseconds;
namespace fs = std::filesystem;

// What the sink was told until now: name -> value of the ConfigMap's entry.
using Told = std::map<std::string, std::string>;

class Recorder final : public Sink {
 public:
  void on_batch(Batch batch) override {
    const std::lock_guard lock(mutex_);
    for (const Event& event : batch.events) {
      if (event.object) {
        told_[event.key.name] = std::get<objects::ConfigMap>(*event.object).data.at("value").bytes;
      } else {
        told_.erase(event.key.name);
      }
    }
    batch.events.clear();
    last_ = std::move(batch);
    ++batches_;
    changed_.notify_all();
  }

  // Whether this was told before a time that only a failure takes.
  [[nodiscard]] bool is_told(const Told& wanted) {
    return wait([&] { return batches_ > 0 && last_.synced && told_ == wanted; });
  }
  [[nodiscard]] bool has_problem(std::string_view detail) {
    return wait([&] {
      return batches_ > 0 && !last_.problems.empty() &&
             last_.problems[0].error.detail.find(detail) != std::string::npos;
    });
  }
  [[nodiscard]] bool is_synced() {
    const std::lock_guard lock(mutex_);
    return last_.synced;
  }
  [[nodiscard]] int batches() {
    const std::lock_guard lock(mutex_);
    return batches_;
  }

 private:
  template <class Condition>
  bool wait(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), condition);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Told told_;
  Batch last_;
  int batches_ = 0;
};

// Rescans so rarely that only notices of the kernel can explain what is told.
constexpr ManifestSource::Timing kNoticesOnly{milliseconds(10), milliseconds(100),
                                              milliseconds(3'600'000), milliseconds(3'600'000)};

class Running final {
 public:
  explicit Running(const fs::path& directory, ManifestSource::Timing timing = kNoticesOnly,
                   const std::string& crl_directory = {})
      : source_(directory.string(), crl_directory, timing),
        thread_([this] { source_.run(recorder_); }) {}
  ~Running() {
    source_.stop();
    thread_.join();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  Recorder* operator->() { return &recorder_; }

 private:
  Recorder recorder_;
  ManifestSource source_;
  std::thread thread_;
};

TEST(ManifestSource, TellsTheFullStateFirstEvenIfItIsEmpty) {
  const TemporaryDirectory directory;
  Running source(directory.path());

  EXPECT_TRUE(source->is_told({}));
}

TEST(ManifestSource, TellsOfFilesWrittenInPlaceRenamedOverAndDeleted) {
  const TemporaryDirectory directory;
  directory.write("a.yaml", config_map("a", "1"));
  Running source(directory.path());
  ASSERT_TRUE(source->is_told({{"a", "1"}}));

  directory.write("a.yaml", config_map("a", "2"));
  EXPECT_TRUE(source->is_told({{"a", "2"}}));

  directory.write(".a.yaml.swp", config_map("a", "3"));
  fs::rename(directory / ".a.yaml.swp", directory / "a.yaml");
  EXPECT_TRUE(source->is_told({{"a", "3"}}));

  fs::remove(directory / "a.yaml");
  EXPECT_TRUE(source->is_told({}));
}

TEST(ManifestSource, TellsOfNewFoldersAndOfThoseThatGo) {
  const TemporaryDirectory directory;
  Running source(directory.path());
  ASSERT_TRUE(source->is_told({}));

  directory.write("new/deep/a.yaml", config_map("a", "1"));
  EXPECT_TRUE(source->is_told({{"a", "1"}}));

  directory.write("new/deep/a.yaml", config_map("a", "2"));
  EXPECT_TRUE(source->is_told({{"a", "2"}}));

  fs::remove_all(directory / "new");
  EXPECT_TRUE(source->is_told({}));

  directory.write("new/deep/a.yaml", config_map("a", "3"));
  EXPECT_TRUE(source->is_told({{"a", "3"}}));
}

TEST(ManifestSource, TellsOfKubeletsSwap) {
  const TemporaryDirectory directory;
  directory.write("..1/a.yaml", config_map("a", "1"));
  fs::create_symlink("..1", directory / "..data");
  fs::create_symlink("..data/a.yaml", directory / "a.yaml");
  Running source(directory.path());
  ASSERT_TRUE(source->is_told({{"a", "1"}}));

  directory.write("..2/a.yaml", config_map("a", "2"));
  fs::create_symlink("..2", directory / "..data_tmp");
  fs::rename(directory / "..data_tmp", directory / "..data");
  fs::remove_all(directory / "..1");

  EXPECT_TRUE(source->is_told({{"a", "2"}}));
}

TEST(ManifestSource, TellsOfChangesBehindLinksThatLeadOutside) {
  const TemporaryDirectory outside;
  const TemporaryDirectory directory;
  outside.write("v1/a.yaml", config_map("a", "1"));
  outside.write("b.yaml", config_map("b", "1"));
  fs::create_directory_symlink(outside / "v1", outside / "now");
  fs::create_directory_symlink(outside / "now", directory / "linked");
  fs::create_symlink(outside / "b.yaml", directory / "b.yaml");
  Running source(directory.path());
  ASSERT_TRUE(source->is_told({{"a", "1"}, {"b", "1"}}));

  outside.write("v1/a.yaml", config_map("a", "2"));
  outside.write("b.yaml", config_map("b", "2"));
  EXPECT_TRUE(source->is_told({{"a", "2"}, {"b", "2"}}));

  outside.write("v2/a.yaml", config_map("a", "3"));
  fs::create_directory_symlink(outside / "v2", outside / "next");
  fs::rename(outside / "next", outside / "now");
  EXPECT_TRUE(source->is_told({{"a", "3"}, {"b", "2"}}));
}

TEST(ManifestSource, WaitsForADirectoryThatIsMissing) {
  const TemporaryDirectory parent;
  Running source(parent / "later");
  ASSERT_TRUE(source->has_problem("No such file"));
  EXPECT_FALSE(source->is_synced());

  parent.write("later/a.yaml", config_map("a", "1"));

  EXPECT_TRUE(source->is_told({{"a", "1"}}));
}

TEST(ManifestSource, WaitsForCrlsThatCannotBeRead) {
  const TemporaryDirectory directory;
  directory.write("a.yaml", config_map("a", "1"));
  const TemporaryDirectory crls;
  ASSERT_EQ(::mkfifo((crls / "value").c_str(), 0600), 0);
  Running source(directory.path(), kNoticesOnly, crls.path().string());
  ASSERT_TRUE(source->has_problem("not a regular file"));
  EXPECT_FALSE(source->is_synced());

  fs::remove(crls / "value");
  ASSERT_TRUE(source->has_problem("holds no file"));
  EXPECT_FALSE(source->is_synced());

  crls.write("value", "a list");
  EXPECT_TRUE(source->is_told({{"a", "1"}, {std::string(objects::kCrlDirectoryName), "a list"}}));
}

TEST(ManifestSource, FollowsADirectoryThatIsRemovedAndMadeAgain) {
  const TemporaryDirectory parent;
  parent.write("d/a.yaml", config_map("a", "1"));
  Running source(parent / "d");
  ASSERT_TRUE(source->is_told({{"a", "1"}}));

  fs::remove_all(parent / "d");
  EXPECT_TRUE(source->is_told({}));

  parent.write("d/a.yaml", config_map("a", "2"));
  EXPECT_TRUE(source->is_told({{"a", "2"}}));
}

TEST(ManifestSource, TellsOfKubeletsSwapOfAVolume) {
  const TemporaryDirectory directory;
  directory.write("a.configmap/..1/value", "1");
  fs::create_symlink("..1", directory / "a.configmap/..data");
  fs::create_symlink("..data/value", directory / "a.configmap/value");
  Running source(directory.path());
  ASSERT_TRUE(source->is_told({{"a", "1"}}));

  directory.write("a.configmap/..2/value", "2");
  fs::create_symlink("..2", directory / "a.configmap/..data_tmp");
  fs::rename(directory / "a.configmap/..data_tmp", directory / "a.configmap/..data");
  EXPECT_TRUE(source->is_told({{"a", "2"}}));

  fs::remove_all(directory / "a.configmap");
  EXPECT_TRUE(source->is_told({}));
}

TEST(ManifestSource, TakesKubeletsEmptyVolumeForAnObjectThatIsGone) {
  const TemporaryDirectory directory;
  directory.write("a.configmap/..1/value", "1");
  fs::create_symlink("..1", directory / "a.configmap/..data");
  fs::create_symlink("..data/value", directory / "a.configmap/value");
  Running source(directory.path());
  ASSERT_TRUE(source->is_told({{"a", "1"}}));

  fs::create_directory(directory / "a.configmap/..2");
  fs::create_symlink("..2", directory / "a.configmap/..data_tmp");
  fs::rename(directory / "a.configmap/..data_tmp", directory / "a.configmap/..data");
  fs::remove(directory / "a.configmap/value");
  EXPECT_TRUE(source->is_told({}));
}

TEST(ManifestSource, KeepsAVolumeWhoseFilesAreGoneUntilItGoesItself) {
  const TemporaryDirectory directory;
  directory.write("a.configmap/value", "1");
  Running source(directory.path());
  ASSERT_TRUE(source->is_told({{"a", "1"}}));

  fs::remove(directory / "a.configmap/value");
  EXPECT_TRUE(source->has_problem("holds no file"));
  EXPECT_TRUE(source->is_told({{"a", "1"}}));

  directory.write("a.configmap/value", "2");
  EXPECT_TRUE(source->is_told({{"a", "2"}}));
}

// A projected volume whose items have paths with folders: kubelet links only their first names, so
// that a folder, and not a file, is the link, and everything is swapped at once.
class ProjectedVolume final {
 public:
  void swap(const std::map<std::string, std::string>& files) {
    const std::string now = ".." + std::to_string(++versions_);
    for (const auto& [name, text] : files) directory_.write(now + "/" + name, text);
    const fs::path data = directory_ / "..data";
    const fs::path old = fs::is_symlink(data) ? directory_.path() / fs::read_symlink(data) : "";
    fs::create_symlink(now, directory_ / "..data_tmp");
    fs::rename(directory_ / "..data_tmp", data);
    for (const auto& entry : fs::directory_iterator(data)) {
      const fs::path link = directory_.path() / entry.path().filename();
      if (!fs::is_symlink(link)) fs::create_symlink("..data" / link.filename(), link);
    }
    for (const auto& entry : fs::directory_iterator(directory_.path())) {
      const bool is_stale = entry.is_symlink() && !fs::exists(entry.path());
      if (is_stale) fs::remove(entry.path());
    }
    if (!old.empty()) fs::remove_all(old);
  }
  [[nodiscard]] const fs::path& path() const { return directory_.path(); }

 private:
  TemporaryDirectory directory_;
  int versions_ = 0;
};

TEST(ManifestSource, TellsOfKubeletsSwapOfAVolumeThatHoldsOthers) {
  ProjectedVolume volume;
  volume.swap({{"app.yaml", config_map("a", "1")},
               {"shop/b.configmap/value", "1"},
               {"shop/c.configmap/value", "1"},
               {"d.configmap/value", "1"}});
  Running source(volume.path());
  ASSERT_TRUE(source->is_told({{"a", "1"}, {"b", "1"}, {"c", "1"}, {"d", "1"}}));

  // In each of the places in turn, so that every one of them must be watched.
  volume.swap({{"app.yaml", config_map("a", "1")},
               {"shop/b.configmap/value", "2"},
               {"shop/c.configmap/value", "1"},
               {"d.configmap/value", "1"}});
  EXPECT_TRUE(source->is_told({{"a", "1"}, {"b", "2"}, {"c", "1"}, {"d", "1"}}));
  volume.swap({{"app.yaml", config_map("a", "2")},
               {"shop/b.configmap/value", "2"},
               {"shop/c.configmap/value", "1"},
               {"d.configmap/value", "2"}});
  EXPECT_TRUE(source->is_told({{"a", "2"}, {"b", "2"}, {"c", "1"}, {"d", "2"}}));

  volume.swap({{"app.yaml", config_map("a", "2")}, {"shop/c.configmap/value", "1"}});
  EXPECT_TRUE(source->is_told({{"a", "2"}, {"c", "1"}}));
  volume.swap({{"app.yaml", config_map("a", "2")}});
  EXPECT_TRUE(source->is_told({{"a", "2"}}));
  volume.swap({{"app.yaml", config_map("a", "2")}, {"shop/b.configmap/value", "3"}});
  EXPECT_TRUE(source->is_told({{"a", "2"}, {"b", "3"}}));
}

TEST(ManifestSource, FollowsADirectoryThatIsSwappedByRename) {
  const TemporaryDirectory parent;
  parent.write("d/a.yaml", config_map("a", "1"));
  parent.write("new/a.yaml", config_map("a", "2"));
  Running source(parent / "d");
  ASSERT_TRUE(source->is_told({{"a", "1"}}));

  fs::rename(parent / "d", parent / "old");
  fs::rename(parent / "new", parent / "d");

  EXPECT_TRUE(source->is_told({{"a", "2"}}));
}

TEST(ManifestSource, ABadUpdateKeepsTheLastGoodAndSaysWhere) {
  const TemporaryDirectory directory;
  directory.write("a.yaml", config_map("a", "1"));
  Running source(directory.path());
  ASSERT_TRUE(source->is_told({{"a", "1"}}));

  directory.write("a.yaml", "kind: [\n");
  EXPECT_TRUE(source->has_problem("is not YAML"));
  EXPECT_TRUE(source->is_told({{"a", "1"}}));

  directory.write("a.yaml", config_map("a", "2"));
  EXPECT_TRUE(source->is_told({{"a", "2"}}));
}

TEST(ManifestSource, RescansWithoutNotices) {
  const TemporaryDirectory directory;
  const TemporaryDirectory outside;
  outside.write("deep/v1/a.yaml", config_map("a", "1"));
  ManifestSource::Timing timing = kNoticesOnly;
  timing.rescan = milliseconds(20);
  // A burst that never ends on its own: only the rescan and the limit are left.
  timing.quiet = milliseconds(3'600'000);
  Running source(directory.path(), timing);
  ASSERT_TRUE(source->is_told({}));

  fs::create_directory_symlink(outside / "deep", directory / "linked");

  EXPECT_TRUE(source->is_told({{"a", "1"}}));
}

TEST(ManifestSource, ManyChangesAtOnceAreFewBatches) {
  const TemporaryDirectory directory;
  Running source(directory.path(), {milliseconds(200), milliseconds(20'000),
                                    milliseconds(3'600'000), milliseconds(3'600'000)});
  ASSERT_TRUE(source->is_told({}));
  Told all;

  for (int n = 0; n < 200; ++n) {
    const std::string name = "m" + std::to_string(n);
    directory.write(name + ".yaml", config_map(name, "x"));
    all[name] = "x";
  }

  EXPECT_TRUE(source->is_told(all));
  EXPECT_LE(source->batches(), 4);
}

TEST(ManifestSource, AStopBeforeRunCounts) {
  const TemporaryDirectory directory;
  ManifestSource source(directory.path().string(), {});
  Recorder recorder;

  source.stop();
  source.run(recorder);

  EXPECT_EQ(recorder.batches(), 0);
}

}  // namespace
}  // namespace handfast::source
