#include "controller/publish/file_system.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace handfast::publish {
namespace {

class Directory : public ::testing::Test {
 protected:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "handfast-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    base_ = name;
    root_ = name + "/state";
  }
  ~Directory() override { std::filesystem::remove_all(base_); }

  unsigned mode(const std::string& path) const {
    struct stat info{};
    EXPECT_EQ(::lstat((root_ + "/" + path).c_str(), &info), 0) << path;
    return info.st_mode & 07777u;
  }

  std::string base_, root_;
};

TEST_F(Directory, KeepsEverythingPrivateWhateverTheUmask) {
  for (const mode_t mask : {mode_t{0}, mode_t{0277}}) {
    const mode_t before = ::umask(mask);
    auto files = DirectoryFileSystem::open(root_);
    const bool made =
        files && (*files)->make_directory("tls") && (*files)->write_file("tls/tls.key", "key");
    ::umask(before);

    ASSERT_TRUE(made);
    EXPECT_EQ(mode("."), 0700u);
    EXPECT_EQ(mode("tls"), 0700u);
    EXPECT_EQ(mode("tls/tls.key"), 0600u);
    files->reset();
    std::filesystem::remove_all(root_);
  }
}

TEST_F(Directory, ClosesAStateDirectoryThatWasOpen) {
  ASSERT_EQ(::mkdir(root_.c_str(), 0755), 0);

  const auto files = DirectoryFileSystem::open(root_);

  ASSERT_TRUE(files) << files.error();
  EXPECT_EQ(mode("."), 0700u);
}

TEST_F(Directory, TakesOneControllerAtATime) {
  auto first = DirectoryFileSystem::open(root_);
  ASSERT_TRUE(first) << first.error();

  const auto second = DirectoryFileSystem::open(root_);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().detail.find("another controller"), std::string::npos);

  first->reset();
  EXPECT_TRUE(DirectoryFileSystem::open(root_));
}

TEST_F(Directory, SaysWhyItCannotBeOpened) {
  const auto files = DirectoryFileSystem::open(base_ + "/no/such/place");

  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().reason, Reason::Io);
  EXPECT_NE(files.error().detail.find("No such file"), std::string::npos) << files.error();
}

TEST_F(Directory, DoesWhatItSays) {
  auto opened = DirectoryFileSystem::open(root_);
  ASSERT_TRUE(opened) << opened.error();
  FileSystem& files = **opened;

  EXPECT_FALSE(files.list("generations")->has_value());
  ASSERT_TRUE(files.make_directory("tmp"));
  ASSERT_TRUE(files.make_directory("tmp"));
  ASSERT_TRUE(files.write_file("tmp/a", "bytes"));
  EXPECT_FALSE(files.write_file("tmp/a", "again"));
  ASSERT_TRUE(files.rename("tmp/a", "tmp/b"));
  EXPECT_EQ(files.read_file("tmp/b").value(), "bytes");
  EXPECT_FALSE(files.read_file("tmp/a")->has_value());
  ASSERT_TRUE(files.link("tmp/b", "tmp/c"));
  EXPECT_EQ(files.read_file("tmp/c").value(), "bytes");
  EXPECT_FALSE(files.link("tmp/a", "tmp/d"));
  ASSERT_TRUE(files.remove_file("tmp/c"));
  ASSERT_TRUE(files.make_symlink("tmp/b", "tmp/link"));
  EXPECT_EQ(files.read_symlink("tmp/link").value(), "tmp/b");
  EXPECT_FALSE(files.read_file("tmp/link"));
  ASSERT_TRUE(files.sync_all());
  ASSERT_TRUE(files.sync_directory("tmp"));
  EXPECT_EQ((*files.list("tmp"))->size(), 2u);
  EXPECT_FALSE(files.remove_directory("tmp"));
  ASSERT_TRUE(remove_tree(files, "tmp", true));
  EXPECT_FALSE(files.list("tmp")->has_value());
  EXPECT_TRUE(files.remove_file("tmp/b"));
}

}  // namespace
}  // namespace handfast::publish
