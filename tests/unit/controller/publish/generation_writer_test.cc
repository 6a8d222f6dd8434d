#include "controller/publish/generation_writer.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/unit/controller/publish/faulty_file_system.h"
#include "tests/unit/controller/publish/samples.h"

namespace handfast::publish {
namespace {

using testing::add_app;
using testing::FaultyFileSystem;

Draft draft_of(const Content& content, const Manifest& base) {
  std::vector<PreparedShard> shards;
  for (const config::Shard& shard : content.shards) shards.push_back(prepare(shard));
  return make_draft(std::move(shards), content.default_certificate, base);
}

class Writer : public ::testing::Test {
 protected:
  Writer() { EXPECT_TRUE(writer_.recover(nullptr)); }

  std::uint64_t write(const Content& content) {
    const auto written =
        writer_.write(draft_of(content, writer_.manifest(writer_.newest())), content.files, 7);
    EXPECT_TRUE(written) << written.error();
    EXPECT_TRUE(writer_.make_current(*written));
    writer_.collect({});
    return *written;
  }

  std::set<std::string> files_below(const std::string& directory) const {
    std::set<std::string> below;
    for (const std::string& path : files_.files()) {
      if (path.starts_with(directory)) below.insert(path);
    }
    return below;
  }

  FaultyFileSystem files_;
  GenerationWriter writer_{files_};
};

TEST_F(Writer, WritesOnlyWhatIsNew) {
  Content content;
  for (int i = 0; i < 40; ++i) add_app(content, "app" + std::to_string(i), "1", "authority");
  write(content);
  const auto before = files_.files();

  auto& service = std::get<config::Service>(content.shards[1]);
  service.endpoints.push_back({"10.0.0.8", 8443, true, true, false});
  write(content);

  std::vector<std::string> added;
  for (const std::string& path : files_.files()) {
    if (before.count(path) == 0) added.push_back(path);
  }
  // The bucket with its shards, and the index.
  EXPECT_EQ(added.size(), 2u);
}

TEST_F(Writer, ALargeShardHasAFileOfItsOwnThatChangesBesideItLeaveAlone) {
  Content content;
  add_app(content, "orders", "1", "authority");
  auto& service = std::get<config::Service>(content.shards[1]);
  for (std::uint16_t port = 1; port < 500; ++port) {
    service.endpoints.push_back({"10.0.0.7", port, true, true, false});
  }
  write(content);
  const std::string name = config::shard_name(content.shards[1]);
  const std::string file = config::shard_path(writer_.manifest(1).find(name)->hash);
  ASSERT_TRUE(files_.files().contains(file));
  // Another shard in the same bucket.
  config::Service other;
  for (int i = 0; other.name.empty(); ++i) {
    const std::string candidate = "shop/s" + std::to_string(i) + ":443";
    if (config::bucket_of("service/" + candidate) == config::bucket_of(name)) {
      other.name = candidate;
    }
  }

  const auto before = files_.files();
  const auto written =
      writer_.write(change_shards(writer_.manifest(1), {prepare(config::Shard{other})}, {}), {}, 7);
  ASSERT_TRUE(written) << written.error();
  ASSERT_TRUE(writer_.make_current(*written));

  EXPECT_EQ(files_.files().size(), before.size() + 2);
  const auto seen = testing::read_current(files_);
  ASSERT_TRUE(seen) << seen.error();
  EXPECT_EQ(seen->shards.at(name), config::serialize(content.shards[1]));
  EXPECT_TRUE(seen->shards.contains("service/" + other.name));
}

TEST_F(Writer, RemovesKeysThatNoKeptGenerationUses) {
  Content one, two, three;
  add_app(one, "orders", "1", "authority");
  add_app(two, "orders", "2", "authority");
  add_app(three, "orders", "3", "authority");

  write(one);
  write(two);
  // The one before is still there for a proxy that must fall back.
  EXPECT_EQ(files_below("tls/shop/orders/").size(), 5u);
  write(three);

  for (const auto& [path, bytes] : three.files) EXPECT_EQ(files_.files().count(path), 1u) << path;
  for (const auto& [path, bytes] : one.files) {
    EXPECT_EQ(files_.files().count(path), bytes == "authority" ? 1u : 0u) << path;
  }
}

TEST_F(Writer, RemovesTheDirectoriesOfASecretThatIsGone) {
  Content with, without;
  add_app(with, "orders", "1", "authority");
  write(with);
  write(without);
  Content other;
  add_app(other, "pay", "1", "authority");
  write(other);

  EXPECT_TRUE(files_below("tls/shop/orders").empty());
  EXPECT_FALSE(files_.list("tls/shop/orders")->has_value());
}

TEST_F(Writer, KeepsWhatAnotherPolicyStillUses) {
  Content both, one;
  add_app(both, "orders", "1", "authority");
  both.shards.push_back(both.shards.back());
  std::get<config::UpstreamTls>(both.shards.back()).name = "shop/second/orders:443";
  one.shards = {both.shards.back()};
  one.files = both.files;

  write(both);
  write(one);
  write(Content{one.shards, both.default_certificate, {}});

  EXPECT_EQ(files_below("tls/").size(), 3u);
}

TEST_F(Writer, NumbersOnAfterARestart) {
  Content content;
  add_app(content, "orders", "1", "authority");
  write(content);
  EXPECT_EQ(writer_.newest(), 1u);

  GenerationWriter again{files_};
  std::vector<std::string> seen;
  ASSERT_TRUE(again.recover(
      [&seen](const config::Shard& shard) { seen.push_back(config::shard_name(shard)); }));

  EXPECT_EQ(again.current(), 1u);
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_TRUE(is_same(again.manifest(1), writer_.manifest(1)));
  content.shards.clear();
  const auto written = again.write(draft_of(content, again.manifest(1)), {}, 7);
  EXPECT_EQ(written.value(), 2u);
}

TEST_F(Writer, RemovesWhatACrashLeftBehind) {
  Content content;
  add_app(content, "orders", "1", "authority");
  write(content);
  const auto before = files_.files();
  ASSERT_TRUE(files_.make_directory("tmp/9"));
  ASSERT_TRUE(files_.write_file("tmp/9/tls.key", "half a k"));
  ASSERT_TRUE(files_.make_directory("shards/zz"));
  ASSERT_TRUE(files_.write_file("shards/zz/left.yaml", "x"));
  ASSERT_TRUE(files_.make_directory("tls/shop/gone"));
  ASSERT_TRUE(files_.make_directory("tls/shop/gone/0123456789abcdef"));
  ASSERT_TRUE(files_.write_file("tls/shop/gone/0123456789abcdef/tls.key", "key"));

  GenerationWriter again{files_};
  ASSERT_TRUE(again.recover(nullptr));

  EXPECT_EQ(files_.files(), before);
}

TEST_F(Writer, MakesADamagedGenerationAnew) {
  Content content;
  add_app(content, "orders", "1", "authority");
  write(content);
  const auto& bucket = writer_.manifest(1).buckets[config::bucket_of("service/shop/orders:443")];
  const std::string path = config::shard_path(bucket->hash);
  // Its first document is what its name says.
  std::string text = text_of(*bucket);
  config::append_to_pack(text, "torn\n");
  ASSERT_TRUE(files_.remove_file(path));
  ASSERT_TRUE(files_.write_file(path, text));

  GenerationWriter again{files_};
  ASSERT_TRUE(again.recover(nullptr));
  EXPECT_EQ(again.current(), 0u);
  const auto written = again.write(draft_of(content, again.manifest(0)), content.files, 7);
  ASSERT_TRUE(written) << written.error();
  EXPECT_EQ(*written, 2u);
  ASSERT_TRUE(again.make_current(*written));

  const auto seen = testing::read_current(files_);
  ASSERT_TRUE(seen) << seen.error();
  EXPECT_TRUE(testing::is_whole(*seen, content));
}

TEST_F(Writer, AnswersForNoDirectoryWhoseFilesSomebodyChanged) {
  Content content;
  add_app(content, "orders", "1", "authority");
  write(content);

  for (const auto& [path, bytes] : content.files) {
    for (const char* damage : {"", "torn", static_cast<const char*>(nullptr)}) {
      FaultyFileSystem files = files_;
      testing::damage(files, path, damage);
      GenerationWriter again{files};
      ASSERT_TRUE(again.recover(nullptr));

      EXPECT_EQ(again.current(), 1u) << path;
      EXPECT_FALSE(again.has_directory(directory_of(path))) << path;
      EXPECT_TRUE(again.is_damaged(again.manifest(1))) << path;
      const auto written = again.write(draft_of(content, again.manifest(1)), content.files, 7);
      ASSERT_TRUE(written) << written.error();
      ASSERT_TRUE(again.make_current(*written));
      again.collect({});
      EXPECT_FALSE(again.is_damaged(again.manifest(*written)));
      EXPECT_TRUE(testing::is_whole(testing::read_current(files).value(), content)) << path;
      EXPECT_TRUE(files.list("tmp").value()->empty()) << path;
    }
  }
}

TEST_F(Writer, FindsNothingWrongWithWhatItWrote) {
  Content content;
  add_app(content, "orders", "1", "authority");
  write(content);

  GenerationWriter again{files_};
  ASSERT_TRUE(again.recover(nullptr));

  EXPECT_FALSE(again.is_damaged(again.manifest(1)));
  for (const auto& [path, bytes] : content.files) EXPECT_TRUE(again.verify(directory_of(path)));
}

TEST(WriterOnDisk, OneCaOfManySecretsIsOneFileAndIsHealedInAll) {
  std::string folder = (std::filesystem::temp_directory_path() / "handfast-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  Content content;
  for (const char* app : {"orders", "pay", "ship"}) add_app(content, app, app, "authority");
  std::vector<std::filesystem::path> authorities;
  for (const auto& [path, bytes] : content.files) {
    if (bytes == "authority") authorities.push_back(folder + "/state/" + path);
  }
  {
    const auto files = DirectoryFileSystem::open(folder + "/state").value();
    GenerationWriter writer{*files};
    ASSERT_TRUE(writer.recover(nullptr));
    ASSERT_TRUE(writer.write(draft_of(content, writer.manifest(0)), content.files, 7));
    ASSERT_TRUE(writer.make_current(1));
  }
  for (const auto& one : authorities) EXPECT_EQ(std::filesystem::hard_link_count(one), 3u);
  for (const auto& [path, bytes] : content.files) {
    if (!path.ends_with(".key")) continue;
    EXPECT_EQ(std::filesystem::hard_link_count(folder + "/state/" + path), 1u) << path;
  }
  std::ofstream(authorities.front()) << "wrong";

  const auto files = DirectoryFileSystem::open(folder + "/state").value();
  GenerationWriter writer{*files};
  ASSERT_TRUE(writer.recover(nullptr));
  EXPECT_TRUE(writer.is_damaged(writer.manifest(1)));
  const auto written = writer.write(draft_of(content, writer.manifest(1)), content.files, 7);
  ASSERT_TRUE(written) << written.error();
  ASSERT_TRUE(writer.make_current(*written));

  EXPECT_TRUE(testing::is_whole(testing::read_current(*files).value(), content));
  for (const auto& one : authorities) EXPECT_EQ(std::filesystem::hard_link_count(one), 3u);
  std::filesystem::remove_all(folder);
}

TEST_F(Writer, SaysWhichContentNobodyHas) {
  Content content;
  add_app(content, "orders", "1", "authority");

  const auto written = writer_.write(draft_of(content, writer_.manifest(0)), {}, 7);

  ASSERT_FALSE(written);
  EXPECT_NE(written.error().detail.find("tls/shop/orders/"), std::string::npos);
  EXPECT_TRUE(files_.files().empty());
}

}  // namespace
}  // namespace handfast::publish
