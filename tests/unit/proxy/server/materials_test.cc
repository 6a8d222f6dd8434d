#include "proxy/server/materials.h"

#include <gtest/gtest.h>

#include "tests/support/times.h"
#include "tests/unit/proxy/server/state_directory.h"

namespace handfast::server {
namespace {

class MaterialsTest : public ::testing::Test {
 protected:
  handfast::testing::FakeClock clock_;
  handfast::testing::StateDirectory state_;
  handfast::testing::TestAuthority root_{"root"};
  Materials materials_{state_.path(), clock_};
};

TEST_F(MaterialsTest, ReadsAFileOnceWhileSomebodyUsesIt) {
  const auto ca = state_.put_file("a", "ca.crt", root_.cert_pem());
  const auto first = materials_.ca(ca);
  std::filesystem::remove_all(state_.path() + "/tls");
  const auto second = materials_.ca(ca);

  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->object, second->object);
  EXPECT_EQ(first->hash, second->hash);
}

TEST_F(MaterialsTest, ReadsAgainOnceNobodyUsesItAnyMore) {
  const auto ca = state_.put_file("a", "ca.crt", root_.cert_pem());
  ASSERT_TRUE(materials_.ca(ca));
  materials_.collect();
  std::filesystem::remove_all(state_.path() + "/tls");

  EXPECT_FALSE(materials_.ca(ca));
}

TEST_F(MaterialsTest, ReadsAgainWhatFailed) {
  const config::FileRef ca{"tls/shop/a/0123456789abcdef/ca.crt", "Secret/shop/a"};
  const auto missing = materials_.ca(ca);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().detail.find(ca.path), std::string::npos);
  state_.put(ca.path, root_.cert_pem());

  EXPECT_TRUE(materials_.ca(ca));
}

TEST_F(MaterialsTest, ForgetsEverythingWhenFilesMayHaveChanged) {
  const auto ca = state_.put_file("a", "ca.crt", root_.cert_pem());
  const auto first = materials_.ca(ca);
  materials_.forget();
  const auto second = materials_.ca(ca);

  EXPECT_NE(first->object, second->object);
  EXPECT_EQ(first->hash, second->hash);
}

TEST_F(MaterialsTest, NamesTheFileOfAKeyThatDoesNotMatch) {
  auto pair = state_.put_pair("a", root_.issue("one"));
  pair.key = state_.put_pair("b", root_.issue("two")).key;
  const auto loaded = materials_.identity(pair);

  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().reason, Reason::KeyMismatch);
  EXPECT_NE(loaded.error().detail.find(pair.certificate), std::string::npos);
}

// The certificate is known and the key isn't its own: one that was read before must not stand in.
TEST_F(MaterialsTest, AKnownCertificateWithAnotherKeyIsAMismatchToo) {
  const auto pair = state_.put_pair("a", root_.issue("one"));
  const auto held = materials_.identity(pair);
  auto mixed = pair;
  mixed.key = state_.put_pair("b", root_.issue("two")).key;

  EXPECT_FALSE(materials_.identity(mixed));
}

TEST_F(MaterialsTest, TriesThePassphrasesOfAFileLineByLine) {
  const auto leaf = root_.issue("one");
  auto pair = state_.put_pair("a", leaf);
  state_.put(pair.key, leaf.encrypted_key_pem("the secret"));
  pair.passphrases = state_.put_file("a", "passphrases", "old\r\n\nthe secret\r\n").path;

  EXPECT_TRUE(materials_.identity(pair));
  pair.passphrases = state_.put_file("a", "passphrases", "old").path;
  EXPECT_EQ(materials_.identity(pair).error().reason, Reason::Passphrase);
  pair.passphrases = state_.put_file("a", "passphrases", "\n\r\n").path;
  EXPECT_EQ(materials_.identity(pair).error().reason, Reason::Passphrase);
  pair.passphrases = "tls/shop/a/0123456789abcdef/none";
  EXPECT_FALSE(materials_.identity(pair));
  pair.passphrases.clear();
  EXPECT_EQ(materials_.identity(pair).error().reason, Reason::Passphrase);
}

TEST_F(MaterialsTest, ReadsPkcs12WhereBothAreOneFile) {
  const auto leaf = root_.issue("one");
  const auto file = state_.put_file("a", "tls.p12", leaf.pkcs12("secret"));
  config::KeyPairRef pair{file.path, file.path, file.source};
  pair.passphrases = state_.put_file("a", "passphrases", "secret").path;
  const auto first = materials_.identity(pair);
  ASSERT_TRUE(first) << first.error();
  const auto next = state_.put_file("a", "tls.p12", root_.issue("one").pkcs12("secret"));
  pair.certificate = pair.key = next.path;
  const auto second = materials_.identity(pair);

  ASSERT_TRUE(second) << second.error();
  EXPECT_NE(first->hash, second->hash);
}

TEST(ReadFile, RefusesDirectoriesAndFilesThatAreTooLarge) {
  handfast::testing::StateDirectory state;
  state.put("big", std::string(100, 'x'));

  EXPECT_EQ(read_file(state.path() + "/big", 100).value().size(), 100u);
  EXPECT_FALSE(read_file(state.path() + "/big", 99));
  EXPECT_FALSE(read_file(state.path(), 1000));
  EXPECT_FALSE(read_file(state.path() + "/none", 1000));
}

}  // namespace
}  // namespace handfast::server
