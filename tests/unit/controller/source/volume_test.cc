#include "controller/source/volume.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <variant>

#include "controller/source/manifest_source.h"
#include "tests/unit/controller/source/temporary_directory.h"

namespace handfast::source {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

TEST(Volume, IsADirectoryWithANameOfItsKind) {
  const auto text = [](std::string_view name) {
    const auto key = volume_key(name);
    return key ? key->kind + " " + key->ns + "/" + key->name : "none";
  };
  EXPECT_EQ(text("orders-tls.secret"), "Secret default/orders-tls");
  EXPECT_EQ(text("shop/orders-tls.secret"), "Secret shop/orders-tls");
  EXPECT_EQ(text("deep/down/shop/ca.v2.configmap"), "ConfigMap shop/ca.v2");
  EXPECT_EQ(text("shop"), "none");
  EXPECT_EQ(text(".secret"), "none");
  EXPECT_EQ(text("shop/.configmap"), "none");
  EXPECT_EQ(text("shop.secret/x"), "none");
}

TEST(Volume, BecomesTheObjectWithItsBytesAsTheyAre) {
  const TemporaryDirectory directory;
  const std::string bytes("\0\xff\r\n\"", 5);
  directory.write("shop/orders-tls.secret/tls.p12", bytes);
  directory.write("shop/orders-tls.secret/.hidden", "no key");
  directory.write("shop/orders-tls.secret/folder/x", "no key");

  const Batch batch = read_once({directory.path().string()});

  EXPECT_THAT(batch.problems, IsEmpty());
  ASSERT_EQ(batch.events.size(), 1U);
  EXPECT_EQ(objects::to_string(batch.events[0].key), "Secret shop/orders-tls");
  const auto& secret = std::get<objects::Secret>(*batch.events[0].object);
  ASSERT_EQ(secret.data.size(), 1U);
  EXPECT_EQ(secret.data.at("tls.p12").bytes, bytes);
  EXPECT_THAT(secret.meta.origin.file, HasSubstr("shop/orders-tls.secret"));
}

TEST(Volume, IsNamedBesideAFileThatHasTheSameObject) {
  const TemporaryDirectory directory;
  directory.write("a.configmap/value", "volume");
  directory.write("b.yaml", config_map("a", "file"));

  const Batch batch = read_once({directory.path().string()});

  ASSERT_EQ(batch.events.size(), 1U);
  EXPECT_EQ(std::get<objects::ConfigMap>(*batch.events[0].object).data.at("value").bytes, "volume");
  ASSERT_EQ(batch.problems.size(), 1U);
  EXPECT_EQ(batch.problems[0].error.reason, Reason::Conflict);
}

TEST(Volume, ThatHoldsNothingOrNoGoodNameIsToldOf) {
  const TemporaryDirectory directory;
  fs::create_directories(directory / "empty.secret");
  directory.write("Bad_Name.secret/tls.crt", "x");

  const Batch batch = read_once({directory.path().string()});

  EXPECT_THAT(batch.events, IsEmpty());
  EXPECT_EQ(batch.problems.size(), 2U);
}

TEST(Volume, WithAPipeOrADeviceInAKeysPlaceCannotBeRead) {
  const TemporaryDirectory directory;
  directory.write("piped.secret/ca.crt", "x");
  ASSERT_EQ(::mkfifo((directory / "piped.secret/ca.crl").c_str(), 0600), 0);
  directory.write("endless.secret/ca.crt", "x");
  fs::create_symlink("/dev/zero", directory / "endless.secret/ca.crl");
  directory.write("dangling.secret/ca.crt", "x");
  fs::create_symlink("nowhere", directory / "dangling.secret/ca.crl");

  const Batch batch = read_once({directory.path().string()});

  EXPECT_THAT(batch.events, IsEmpty());
  ASSERT_EQ(batch.problems.size(), 3U);
  for (const auto& problem : batch.problems) {
    EXPECT_THAT(problem.error.detail, HasSubstr("ca.crl "));
  }
}

TEST(Volume, HasAnotherIdWhenAnyOfItsFilesChanges) {
  const TemporaryDirectory directory;
  directory.write("a.secret/one", "1");
  directory.write("a.secret/two", "2");
  const auto look = [&] {
    return look_at_volume((directory / "a.secret").string(), {}, [](const std::string&) {}).id;
  };
  const FileId first = look();
  EXPECT_EQ(look(), first);

  directory.write("a.secret/two", "22");
  const FileId second = look();
  EXPECT_NE(second, first);

  fs::remove(directory / "a.secret/one");
  EXPECT_NE(look(), second);
}

}  // namespace
}  // namespace handfast::source
