#include "proxy/pki/leaf.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/pki/identity.h"
#include "proxy/pki/intermediates.h"
#include "tests/support/test_authority.h"

namespace handfast::pki {
namespace {

using testing::CertificateOptions;
using testing::KeyType;
using testing::TestAuthority;
using testing::TestCertificate;

std::optional<Leaf> read(const std::string& pem) {
  const auto blocks = split_pem(pem, Reason::BadCertificate);
  EXPECT_TRUE(blocks);
  auto leaf = read_leaf(blocks->front());
  EXPECT_EQ(ERR_peek_error(), 0U);
  return leaf;
}

class LeafTest : public ::testing::Test {
 protected:
  TestAuthority root_{"root"};
};

TEST_F(LeafTest, IsWhatOpensslReads) {
  for (const KeyType type : {KeyType::P256, KeyType::P384, KeyType::Rsa2048, KeyType::Ed25519}) {
    for (int i = 0; i < 3; ++i) {  // with the same decoder
      const auto certificate = root_.issue("a.svc", {.key = type});
      const auto leaf = read(certificate.cert_pem());

      ASSERT_TRUE(leaf);
      EXPECT_EQ(std::string(leaf->der.begin(), leaf->der.end()), certificate.cert_der());
      EXPECT_EQ(EVP_PKEY_eq(leaf->key.get(), certificate.key()), 1);
      EXPECT_EQ(X509_get_extension_flags(leaf->certificate.get()) | EXFLAG_NO_FINGERPRINT,
                X509_get_extension_flags(certificate.x509()) | EXFLAG_NO_FINGERPRINT);
    }
  }
}

TEST_F(LeafTest, LeavesToTheLongWayWhatIsOfAnotherKind) {
  EXPECT_FALSE(read(root_.cert_pem())) << "it issued itself";
  EXPECT_FALSE(read(root_.issue("a.svc", {.key = KeyType::X25519}).cert_pem()));
  EXPECT_FALSE(read(root_.issue("a.svc", {.key = KeyType::Dsa2048}).cert_pem()));
  EXPECT_FALSE(read(root_.issue("a.svc", {.extensions = {{"2.5.29.30", "DER:0500"}}}).cert_pem()))
      << "name constraints that can't be read";
  EXPECT_FALSE(read(testing::pem_block("CERTIFICATE", root_.issue("a.svc").cert_der() + "more")));
  EXPECT_FALSE(read(testing::pem_block("CERTIFICATE", "no certificate")));
}

// The same certificate twice counts as once, and goes the long way.
TEST_F(LeafTest, BothWaysSayTheSame) {
  const std::vector<CertificateOptions> many{
      {.key = KeyType::P256},
      {.key = KeyType::P384},
      {.key = KeyType::Rsa2048},
      {.key = KeyType::Ed25519},
      {.key = KeyType::P192},
      {.key = KeyType::P256Explicit},
      {.key = KeyType::Secp256k1},
      {.key = KeyType::Rsa1024},
      {.key = KeyType::X25519},
      {.key = KeyType::Dsa2048},
      {.digest = "SHA1"},
      {.sans = {"DNS:*.shop.svc", "IP:10.0.0.1", "URI:spiffe://a/b", "email:a@b.c"}},
      {.without_sans = true},
      {.subject = "O=Shop/CN=orders"},
      {.version = 1},
      {.extended_key_usage = "serverAuth"},
      {.extended_key_usage = "clientAuth"},
      {.extended_key_usage = ""},
      {.extensions = {{"1.2.3.4", "critical,DER:0500"}}},
      {.extensions = {{"crlDistributionPoints", "URI:http://crl.test/a"}}},
      {.extensions = {{"2.5.29.30", "DER:0500"}}},
  };
  int good = 0;
  for (const CertificateOptions& options : many) {
    const auto made = root_.issue("a.svc", options);
    const auto one = Identity::load(made.cert_pem(), made.key_pem());
    const auto other = Identity::load(made.cert_pem() + made.cert_pem(), made.key_pem());

    ASSERT_EQ(one.has_value(), other.has_value());
    if (!one) {
      EXPECT_EQ(one.error().reason, other.error().reason);
      EXPECT_EQ(one.error().detail, other.error().detail);
      continue;
    }
    ++good;
    EXPECT_TRUE((*one)->info() == (*other)->info());
    EXPECT_TRUE(std::ranges::equal((*one)->leaf_sha1(), (*other)->leaf_sha1()));
    EXPECT_TRUE((*one)->is_leaf(*made.x509()));
    EXPECT_NE(X509_get0_pubkey((*one)->open()->leaf.get()), nullptr);
  }
  EXPECT_GE(good, 10);
}

TEST_F(LeafTest, AnIntermediateThatIsKnownIsSentAsOneThatIsNot) {
  const TestAuthority issuing = root_.intermediate("issuing");
  std::vector<std::shared_ptr<const OpenIdentity>> open;
  for (int i = 0; i < 2; ++i) {
    const auto leaf = issuing.issue("a.svc");
    const auto identity = Identity::load(leaf.chain_pem(), leaf.key_pem());
    ASSERT_TRUE(identity) << identity.error();
    open.push_back((*identity)->open());
    EXPECT_EQ(X509_cmp(open.back()->leaf.get(), leaf.x509()), 0);
  }

  for (const auto& each : open) {
    ASSERT_EQ(sk_X509_num(each->intermediates.get()), 1);
    EXPECT_EQ(sk_X509_value(each->intermediates.get(), 0),
              sk_X509_value(open.front()->intermediates.get(), 0));
  }
}

// What is sent without being read again must have been good.
TEST_F(LeafTest, AnIntermediateOfAPairThatIsRefusedIsNotKnown) {
  const auto is_known = [](const TestCertificate& certificate) {
    const std::string der = certificate.cert_der();
    return find_intermediate({reinterpret_cast<const unsigned char*>(der.data()), der.size()}) !=
           nullptr;
  };
  const auto good = root_.issue("a.svc");
  const auto weak = root_.issue("weak", {.digest = "SHA1"});
  const auto short_key = root_.issue("short", {.key = KeyType::Rsa1024});
  const auto strange = root_.intermediate("strange").certificate();

  EXPECT_FALSE(Identity::load(good.cert_pem() + weak.cert_pem(), good.key_pem()));
  EXPECT_FALSE(Identity::load(good.cert_pem() + short_key.cert_pem(), good.key_pem()));
  EXPECT_FALSE(Identity::load(good.cert_pem() + strange.cert_pem(), weak.key_pem()));
  EXPECT_FALSE(is_known(weak));
  EXPECT_FALSE(is_known(short_key));
  EXPECT_FALSE(is_known(strange));

  EXPECT_TRUE(Identity::load(good.cert_pem() + strange.cert_pem(), good.key_pem()));
  EXPECT_TRUE(is_known(strange));
}

TEST_F(LeafTest, TwoCertificatesOfOneKeyAreTooManyThoughOneIsKnown) {
  const auto old = root_.issue("orders.svc");
  const auto renewed = root_.issue("orders.svc", {.reuse_key = old.shared_key()});
  const auto billing = root_.issue("billing.svc");
  const auto with_a_strangers =
      Identity::load(billing.cert_pem() + renewed.cert_pem(), billing.key_pem());
  ASSERT_TRUE(with_a_strangers) << with_a_strangers.error();

  const auto refused = Identity::load(old.cert_pem() + renewed.cert_pem(), old.key_pem());

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, Reason::BadCertificate);
}

TEST_F(LeafTest, OneThatSignedItselfGoesTheLongWay) {
  const TestAuthority itself{"a.svc"};
  const auto identity = Identity::load(itself.cert_pem(), itself.certificate().key_pem());

  ASSERT_TRUE(identity) << identity.error();
  EXPECT_TRUE((*identity)->is_leaf(*itself.certificate().x509()));
}

}  // namespace
}  // namespace handfast::pki
