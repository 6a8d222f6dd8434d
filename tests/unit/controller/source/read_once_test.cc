#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "controller/source/manifest_source.h"
#include "tests/unit/controller/source/temporary_directory.h"

namespace handfast::source {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

std::vector<std::string> names(const Batch& batch) {
  std::vector<std::string> found;
  for (const Event& event : batch.events) found.push_back(event.key.name);
  return found;
}

TEST(ReadOnce, ReadsTheThreeEndingsInEveryFolder) {
  const TemporaryDirectory directory;
  directory.write("a.yaml", config_map("a"));
  directory.write("sub/b.yml", config_map("b"));
  directory.write("sub/deeper/c.json",
                  R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}})");
  directory.write("notes.txt", "not read: [");
  directory.write(".hidden.yaml", config_map("hidden"));
  directory.write(".git/d.yaml", config_map("d"));

  const Batch batch = read_once({directory.path().string()});

  EXPECT_THAT(names(batch), ElementsAre("a", "b", "c"));
  EXPECT_THAT(batch.problems, IsEmpty());
}

TEST(ReadOnce, ReadsAFileWhateverItsName) {
  const TemporaryDirectory directory;
  directory.write("manifest", config_map("a"));
  const std::string path = (directory / "manifest").string();

  const Batch batch = read_once({path});

  ASSERT_THAT(names(batch), ElementsAre("a"));
  EXPECT_EQ(objects::meta(*batch.events[0].object).origin, (objects::Origin{path, 2}));
}

TEST(ReadOnce, TellsOfWhatIsNotThere) {
  const Batch batch = read_once({"/nowhere/at/all"});

  ASSERT_EQ(batch.problems.size(), 1U);
  EXPECT_EQ(batch.problems[0].origin.file, "/nowhere/at/all");
  EXPECT_EQ(batch.problems[0].error.reason, Reason::Io);
}

TEST(ReadOnce, CountsSkippedDocuments) {
  const TemporaryDirectory directory;
  directory.write("a.yaml",
                  "{apiVersion: apps/v1, kind: Deployment}\n---\n{apiVersion: v1, kind: Pod}");

  EXPECT_EQ(read_once({directory.path().string()}).skipped_documents, 2U);
}

TEST(ReadOnce, TheFirstFileByNameWinsAndTheOtherIsToldOf) {
  const TemporaryDirectory directory;
  directory.write("b.yaml", config_map("same", "b"));
  directory.write("a.yaml", config_map("same", "a"));

  const Batch batch = read_once({directory.path().string()});

  ASSERT_EQ(batch.events.size(), 1U);
  EXPECT_EQ(std::get<objects::ConfigMap>(*batch.events[0].object).data.at("value").bytes, "a");
  ASSERT_EQ(batch.problems.size(), 1U);
  EXPECT_EQ(batch.problems[0].error.reason, Reason::Conflict);
  EXPECT_THAT(batch.problems[0].origin.file, HasSubstr("b.yaml"));
  EXPECT_THAT(batch.problems[0].error.detail, HasSubstr("a.yaml:2, which is used"));
}

TEST(ReadOnce, TheFirstDocumentInAFileWins) {
  const TemporaryDirectory directory;
  directory.write("a.yaml", config_map("same", "first") + config_map("same", "second"));

  const Batch batch = read_once({directory.path().string()});

  ASSERT_EQ(batch.events.size(), 1U);
  EXPECT_EQ(std::get<objects::ConfigMap>(*batch.events[0].object).data.at("value").bytes, "first");
  ASSERT_EQ(batch.problems.size(), 1U);
  EXPECT_THAT(batch.problems[0].error.detail, HasSubstr("twice: line 2 is used"));
}

TEST(ReadOnce, FollowsKubeletsLinks) {
  const TemporaryDirectory directory;
  directory.write("..2026_01/x.yaml", config_map("x"));
  directory.write("..2026_01/sub/z.yaml", config_map("z"));
  fs::create_symlink("..2026_01", directory / "..data");
  fs::create_symlink("..data/x.yaml", directory / "x.yaml");
  fs::create_symlink("..data/sub", directory / "sub");

  EXPECT_THAT(names(read_once({directory.path().string()})), ElementsAre("x", "z"));
}

TEST(ReadOnce, ALoopOfDirectoriesIsToldOfAndEnds) {
  const TemporaryDirectory directory;
  directory.write("sub/a.yaml", config_map("a"));
  fs::create_directory_symlink("..", directory / "sub/up");

  const Batch batch = read_once({directory.path().string()});

  EXPECT_THAT(names(batch), ElementsAre("a"));
  ASSERT_EQ(batch.problems.size(), 1U);
  EXPECT_THAT(batch.problems[0].origin.file, HasSubstr("sub/up/"));
  EXPECT_THAT(batch.problems[0].error.detail, HasSubstr("leads back"));
}

TEST(ReadOnce, ADirectoryReachedTwiceIsReadOnce) {
  const TemporaryDirectory directory;
  directory.write("real/a.yaml", config_map("a"));
  fs::create_directory_symlink("real", directory / "alias");

  const Batch batch = read_once({directory.path().string()});

  EXPECT_THAT(names(batch), ElementsAre("a"));
  EXPECT_THAT(batch.problems, IsEmpty());
}

TEST(ReadOnce, TellsOfFilesThatCantBeRead) {
  const TemporaryDirectory directory;
  fs::create_symlink("nothing", directory / "dangling.yaml");
  fs::create_symlink("loop.yaml", directory / "loop.yaml");
  ASSERT_EQ(::mkfifo((directory / "pipe.yaml").c_str(), 0600), 0);
  directory.write("large.yaml", "");
  fs::resize_file(directory / "large.yaml", (std::uintmax_t{64} << 20) + 1);
  directory.write("good.yaml", config_map("good"));

  const Batch batch = read_once({directory.path().string()});

  EXPECT_THAT(names(batch), ElementsAre("good"));
  ASSERT_EQ(batch.problems.size(), 4U);
  EXPECT_THAT(batch.problems[0].error.detail, HasSubstr("is a link to nothing"));
  EXPECT_THAT(batch.problems[1].error.detail, HasSubstr("is larger than 64 MiB"));
  EXPECT_THAT(batch.problems[2].error.detail, HasSubstr("can't be read"));
  EXPECT_THAT(batch.problems[3].error.detail, HasSubstr("is not a regular file"));
}

TEST(ReadOnce, TellsOfFilesWithoutPermission) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read every file";
  const TemporaryDirectory directory;
  directory.write("secret.yaml", config_map("a"));
  fs::permissions(directory / "secret.yaml", fs::perms::none);

  const Batch batch = read_once({directory.path().string()});

  ASSERT_EQ(batch.problems.size(), 1U);
  EXPECT_THAT(batch.problems[0].error.detail, HasSubstr("can't be read: Permission denied"));
}

}  // namespace
}  // namespace handfast::source
