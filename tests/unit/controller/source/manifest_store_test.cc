#include "controller/source/manifest_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/controller/source/temporary_directory.h"

namespace handfast::source {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kBadMap =
    "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: []\n";

class ManifestStoreTest : public ::testing::Test {
 protected:
  ManifestStore::Update scan() {
    const FileTree tree =
        list_manifests(directory_.path().string(), {}, false, [](const std::string&) {});
    return store_.update(tree, std::stop_token{});
  }

  // "+name" for what is new or changed, "-name" for what is gone.
  std::vector<std::string> changes() {
    std::vector<std::string> found;
    for (const Event& event : scan().batch.events) {
      found.push_back((event.object ? "+" : "-") + event.key.name);
    }
    return found;
  }

  TemporaryDirectory directory_;
  ManifestStore store_;
};

TEST_F(ManifestStoreTest, TellsOnlyWhatChanged) {
  directory_.write("a.yaml", config_map("a") + config_map("b", "1"));
  EXPECT_THAT(changes(), ElementsAre("+a", "+b"));

  directory_.write("a.yaml", "\n\n" + config_map("a") + config_map("b", "22"));

  EXPECT_THAT(changes(), ElementsAre("+b"));
  EXPECT_FALSE(scan().is_news);
}

TEST_F(ManifestStoreTest, AFileOrADocumentThatIsGoneTakesItsObjectsWithIt) {
  directory_.write("a.yaml", config_map("a") + config_map("b"));
  directory_.write("c.yaml", config_map("c"));
  ASSERT_THAT(changes(), ElementsAre("+a", "+b", "+c"));

  directory_.write("a.yaml", config_map("a"));
  std::filesystem::remove(directory_ / "c.yaml");

  EXPECT_THAT(changes(), ElementsAre("-b", "-c"));
}

TEST_F(ManifestStoreTest, AnObjectThatMovesToAnotherFileIsNoChange) {
  directory_.write("a.yaml", config_map("a"));
  ASSERT_THAT(changes(), ElementsAre("+a"));

  std::filesystem::rename(directory_ / "a.yaml", directory_ / "b.yaml");

  EXPECT_THAT(changes(), IsEmpty());
}

TEST_F(ManifestStoreTest, ABadVersionKeepsTheLastGoodOneOfThatObjectAlone) {
  directory_.write("a.yaml", config_map("a", "1") + config_map("b", "1") + config_map("c"));
  ASSERT_THAT(changes(), ElementsAre("+a", "+b", "+c"));

  directory_.write("a.yaml", std::string(kBadMap) + config_map("b", "2"));
  const ManifestStore::Update update = scan();

  ASSERT_EQ(update.batch.events.size(), 2U);
  EXPECT_EQ(update.batch.events[0].key.name, "b");
  EXPECT_TRUE(update.batch.events[0].object.has_value());
  EXPECT_EQ(update.batch.events[1].key.name, "c");
  EXPECT_FALSE(update.batch.events[1].object.has_value());
  ASSERT_EQ(update.batch.problems.size(), 1U);
  EXPECT_EQ(update.batch.problems[0].field, "data");
  EXPECT_EQ(update.batch.problems[0].origin, (objects::Origin{"a.yaml", 5}));
}

// The object that it was would be gone, and one that nobody meant come in its place.
TEST_F(ManifestStoreTest, ANamespaceThatIsSpeltWrongKeepsTheLastGoodVersion) {
  const std::string text =
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n";
  directory_.write("a.yaml", text);
  ASSERT_THAT(changes(), ElementsAre("+a"));

  std::string spoiled = text;
  spoiled.replace(spoiled.find("namespace"), 9, "namespce");
  directory_.write("a.yaml", spoiled);

  EXPECT_THAT(changes(), IsEmpty());
}

TEST_F(ManifestStoreTest, AKeptObjectGoesWithItsFile) {
  directory_.write("a.yaml", config_map("a"));
  ASSERT_THAT(changes(), ElementsAre("+a"));
  directory_.write("a.yaml", kBadMap);
  ASSERT_THAT(changes(), IsEmpty());

  std::filesystem::remove(directory_ / "a.yaml");

  EXPECT_THAT(changes(), ElementsAre("-a"));
}

TEST_F(ManifestStoreTest, AFileThatDoesNotParseKeepsWhatItHeld) {
  directory_.write("a.yaml", config_map("a", "1") + config_map("b", "1"));
  ASSERT_THAT(changes(), ElementsAre("+a", "+b"));

  directory_.write("a.yaml", config_map("a", "2") + "---\nkind: [\n");
  const ManifestStore::Update update = scan();

  ASSERT_EQ(update.batch.events.size(), 1U);
  EXPECT_EQ(update.batch.events[0].key.name, "a");
  ASSERT_EQ(update.batch.problems.size(), 1U);
  EXPECT_EQ(update.batch.problems[0].error.reason, Reason::BadYaml);
  EXPECT_EQ(update.batch.problems[0].field, "");
}

TEST_F(ManifestStoreTest, AnEmptyFileIsTakenForOneThatIsAboutToBeWritten) {
  directory_.write("a.yaml", config_map("a"));
  ASSERT_THAT(changes(), ElementsAre("+a"));

  directory_.write("a.yaml", "");
  const ManifestStore::Update empty = scan();
  directory_.write("a.yaml", "# nothing any more\n");

  EXPECT_THAT(empty.batch.events, IsEmpty());
  ASSERT_EQ(empty.batch.problems.size(), 1U);
  EXPECT_THAT(changes(), ElementsAre("-a"));
}

TEST_F(ManifestStoreTest, AFileThatCantBeReadKeepsWhatItHeld) {
  directory_.write("a.yaml", config_map("a"));
  ASSERT_THAT(changes(), ElementsAre("+a"));

  std::filesystem::remove(directory_ / "a.yaml");
  std::filesystem::create_symlink("a.yaml", directory_ / "a.yaml");
  const ManifestStore::Update update = scan();

  EXPECT_THAT(update.batch.events, IsEmpty());
  EXPECT_EQ(update.batch.problems.size(), 1U);
  EXPECT_THAT(store_.unsettled(), ElementsAre("a.yaml"));
}

TEST_F(ManifestStoreTest, TheNextFileTakesOverWhenTheFirstOneIsGone) {
  directory_.write("a.yaml", config_map("same", "a"));
  directory_.write("b.yaml", config_map("same", "b"));
  ASSERT_EQ(scan().batch.problems.size(), 1U);

  std::filesystem::remove(directory_ / "a.yaml");
  const ManifestStore::Update update = scan();

  ASSERT_EQ(update.batch.events.size(), 1U);
  EXPECT_EQ(objects::meta(*update.batch.events[0].object).origin.file, "b.yaml");
  EXPECT_THAT(update.batch.problems, IsEmpty());
}

TEST_F(ManifestStoreTest, WhatIsWrittenSomewhereWinsOverWhatIsOnlyKept) {
  directory_.write("a.yaml", config_map("a", "old"));
  ASSERT_THAT(changes(), ElementsAre("+a"));
  directory_.write("a.yaml", kBadMap);
  directory_.write("b.yaml", config_map("a", "new"));

  const ManifestStore::Update update = scan();

  ASSERT_EQ(update.batch.events.size(), 1U);
  EXPECT_EQ(objects::meta(*update.batch.events[0].object).origin.file, "b.yaml");
}

TEST_F(ManifestStoreTest, AnUnlistableDirectoryKeepsItsFilesObjects) {
  directory_.write("sub/a.yaml", config_map("a"));
  ASSERT_THAT(changes(), ElementsAre("+a"));
  FileTree tree;
  tree.unknown = {"sub/"};

  EXPECT_THAT(store_.update(tree, std::stop_token{}).batch.events, IsEmpty());
  tree.unknown = {"su/"};
  EXPECT_EQ(store_.update(tree, std::stop_token{}).batch.events.size(), 1U);
}

TEST_F(ManifestStoreTest, AProblemThatIsOverIsNews) {
  directory_.write("a.yaml", "a: [\n");
  ASSERT_TRUE(scan().is_news);

  directory_.write("a.yaml", "# fixed\n");
  const ManifestStore::Update update = scan();

  EXPECT_TRUE(update.is_news);
  EXPECT_THAT(update.batch.problems, IsEmpty());
}

}  // namespace
}  // namespace handfast::source
