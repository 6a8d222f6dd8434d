#include "proxy/pki/identity.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/test_authority.h"

namespace handfast::pki {
namespace {

using testing::CertificateOptions;
using testing::KeyType;
using testing::TestAuthority;

Reason reason_of(std::string_view certificate, std::string_view key, std::string* why = nullptr) {
  const auto identity = Identity::load(certificate, key);
  EXPECT_EQ(ERR_peek_error(), 0U);
  if (identity) return Reason::Ok;
  if (why != nullptr) *why = identity.error().detail;
  return identity.error().reason;
}

class IdentityTest : public ::testing::Test {
 protected:
  TestAuthority root_{"root"};
  TestAuthority issuing_ = root_.intermediate("issuing");
};

TEST_F(IdentityTest, TakesOneFileWithBothInAnyOrder) {
  const auto orders = issuing_.issue("orders.shop.svc");
  const std::vector<std::string> secret{"secret"};

  for (const std::string& pem :
       {orders.chain_pem() + orders.key_pem(), orders.key_pem() + orders.chain_pem(),
        "# ours\n" + orders.chain_pem() + "\n" + orders.traditional_key_pem(),
        orders.chain_pem() + orders.encrypted_key_pem("secret")}) {
    const auto identity = Identity::load_file("tls.pem", pem, secret);

    ASSERT_TRUE(identity.has_value()) << identity.error();
    EXPECT_EQ(X509_cmp((*identity)->open()->leaf.get(), orders.x509()), 0);
    EXPECT_EQ(sk_X509_num((*identity)->open()->intermediates.get()), 1);
  }
  EXPECT_TRUE(Identity::load_file("tls.p12", orders.pkcs12("secret"), secret).has_value());
}

TEST_F(IdentityTest, SaysWhatOneFileLacks) {
  const auto orders = issuing_.issue("orders.shop.svc");
  const auto others = issuing_.issue("others.shop.svc");
  const auto reason = [](const std::string& pem) {
    const auto identity = Identity::load_pem(pem);
    EXPECT_EQ(ERR_peek_error(), 0U);
    if (identity) return Reason::Ok;
    EXPECT_EQ(identity.error().detail.find("tls.pem: "), 0U) << identity.error();
    return identity.error().reason;
  };

  EXPECT_EQ(reason(""), Reason::BadCertificate);
  EXPECT_EQ(reason(orders.key_pem()), Reason::BadCertificate);
  EXPECT_EQ(reason(orders.chain_pem()), Reason::BadKey);
  EXPECT_EQ(reason(orders.chain_pem() + orders.key_pem() + others.key_pem()), Reason::BadKey);
  EXPECT_EQ(reason(orders.chain_pem() + issuing_.crl_pem() + orders.key_pem()), Reason::BadKey);
  EXPECT_EQ(reason(orders.chain_pem() + others.key_pem()), Reason::KeyMismatch);
  EXPECT_EQ(reason(orders.chain_pem() + orders.encrypted_key_pem("secret")), Reason::Passphrase);
  EXPECT_EQ(reason(orders.chain_pem() + "-----BEGIN\n" + orders.key_pem()), Reason::BadCertificate);
}

TEST_F(IdentityTest, TakesThePairAndTellsWhatItIs) {
  const auto orders = issuing_.issue("orders.shop.svc", {.subject = "O=Shop/CN=orders"});

  const auto identity = Identity::load(orders.chain_pem(), orders.key_pem());

  ASSERT_TRUE(identity.has_value()) << identity.error();
  EXPECT_EQ(X509_cmp((*identity)->open()->leaf.get(), orders.x509()), 0);
  EXPECT_EQ(EVP_PKEY_eq((*identity)->open()->key.get(), orders.key()), 1);
  EXPECT_EQ(sk_X509_num((*identity)->open()->intermediates.get()), 1);
  const CertificateInfo& info = (*identity)->info();
  EXPECT_EQ(info.subject, "CN=orders,O=Shop");
  EXPECT_EQ(info.issuer, "CN=issuing");
  EXPECT_EQ(info.serial, orders.serial());
  EXPECT_EQ(info.sha256.size(), 64U);
  EXPECT_EQ(info.sans, std::vector<std::string>{"DNS:orders.shop.svc"});
  EXPECT_EQ(info.not_before, testing::kYear2020);
  EXPECT_EQ(info.not_after, testing::kYear2120);
}

TEST_F(IdentityTest, TakesEveryUsualFormOfAKey) {
  for (const KeyType type : {KeyType::P256, KeyType::P384, KeyType::Rsa2048}) {
    const auto leaf = root_.issue("a.svc", {.key = type});

    EXPECT_EQ(reason_of(leaf.cert_pem(), leaf.key_pem()), Reason::Ok);
    EXPECT_EQ(reason_of(leaf.cert_pem(), leaf.traditional_key_pem()), Reason::Ok);
  }
  const auto edwards = root_.issue("a.svc", {.key = KeyType::Ed25519});
  EXPECT_EQ(reason_of(edwards.cert_pem(), edwards.key_pem()), Reason::Ok);
}

TEST_F(IdentityTest, TakesOneKeyAfterAnotherWhateverCameBetween) {
  // The decoders are used again and again; nothing of a key may stay in them.
  for (const KeyType type : {KeyType::P256, KeyType::Rsa2048, KeyType::Ed25519}) {
    const auto first = root_.issue("a.svc", {.key = type});
    const auto second = root_.issue("b.svc", {.key = type});
    std::string torn = first.key_pem();
    torn.erase(torn.find('\n') + 20, 8);

    EXPECT_EQ(reason_of(first.cert_pem(), first.key_pem()), Reason::Ok);
    EXPECT_EQ(reason_of(first.cert_pem(), torn), Reason::BadKey);
    EXPECT_EQ(reason_of(first.cert_pem(), second.key_pem()), Reason::KeyMismatch);
    EXPECT_EQ(reason_of(second.cert_pem(), second.key_pem()), Reason::Ok);
  }
}

TEST_F(IdentityTest, LoadsOnManyThreadsAtOnce) {
  const auto elliptic = root_.issue("a.svc");
  const auto rsa = root_.issue("b.svc", {.key = KeyType::Rsa2048});
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;

  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        count += Identity::load(elliptic.cert_pem(), elliptic.key_pem()) ? 0 : 1;
        count += Identity::load(rsa.cert_pem(), rsa.traditional_key_pem()) ? 0 : 1;
        count += Identity::load(rsa.cert_pem(), elliptic.key_pem()) ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST_F(IdentityTest, TakesAKeyBehindTheParametersThatOpensslWrites) {
  const auto leaf = root_.issue("a.svc");
  // OID of P-256.
  const std::string parameters =
      testing::pem_block("EC PARAMETERS", "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07");

  EXPECT_EQ(reason_of(leaf.cert_pem(), parameters + leaf.traditional_key_pem()), Reason::Ok);
}

TEST_F(IdentityTest, PutsIntermediatesIntoSendingOrderWhateverOrderTheyCameIn) {
  const TestAuthority lower = issuing_.intermediate("lower");
  const auto leaf = lower.issue("a.svc");

  const auto identity = Identity::load(
      issuing_.cert_pem() + leaf.cert_pem() + leaf.cert_pem() + lower.cert_pem(), leaf.key_pem());

  ASSERT_TRUE(identity.has_value()) << identity.error();
  const auto open = (*identity)->open();
  STACK_OF(X509)* chain = open->intermediates.get();
  ASSERT_EQ(sk_X509_num(chain), 2);
  EXPECT_EQ(X509_cmp(sk_X509_value(chain, 0), lower.certificate().x509()), 0);
  EXPECT_EQ(X509_cmp(sk_X509_value(chain, 1), issuing_.certificate().x509()), 0);
}

TEST_F(IdentityTest, RefusesAKeyThatBelongsToNoneOfTheCertificates) {
  const auto orders = root_.issue("orders.svc");
  const auto billing = root_.issue("billing.svc");
  const auto rsa = root_.issue("rsa.svc", {.key = KeyType::Rsa2048});
  std::string why;

  EXPECT_EQ(reason_of(orders.cert_pem(), billing.key_pem(), &why), Reason::KeyMismatch);
  EXPECT_TRUE(why.starts_with("tls.key: ")) << why;
  EXPECT_EQ(reason_of(orders.cert_pem(), rsa.key_pem()), Reason::KeyMismatch);
}

TEST_F(IdentityTest, RefusesTwoCertificatesOfOneKey) {
  const auto old = root_.issue("orders.svc");
  const auto renewed = root_.issue("orders.svc", {.reuse_key = old.shared_key()});
  std::string why;

  EXPECT_EQ(reason_of(old.cert_pem() + renewed.cert_pem(), old.key_pem(), &why),
            Reason::BadCertificate);
  EXPECT_TRUE(why.starts_with("tls.crt: ")) << why;
}

TEST_F(IdentityTest, NeverAsksForAPassphrase) {
  const auto leaf = root_.issue("a.svc", {.key = KeyType::Rsa2048});

  EXPECT_EQ(reason_of(leaf.cert_pem(), leaf.encrypted_key_pem("secret")), Reason::Passphrase);
  EXPECT_EQ(reason_of(leaf.cert_pem(), leaf.encrypted_traditional_key_pem("secret")),
            Reason::Passphrase);
}

using Passphrases = std::vector<std::string>;

TEST_F(IdentityTest, OpensEveryFormOfAKeyWithAnyOneOfThePassphrases) {
  const Passphrases given{"old", "secret", "next"};
  for (const KeyType type : {KeyType::P256, KeyType::P384, KeyType::Rsa2048, KeyType::Ed25519}) {
    const auto leaf = root_.issue("a.svc", {.key = type});

    EXPECT_TRUE(Identity::load(leaf.cert_pem(), leaf.encrypted_key_pem("secret"), given));
    if (type == KeyType::Ed25519) continue;  // it has no other form
    EXPECT_TRUE(
        Identity::load(leaf.cert_pem(), leaf.encrypted_traditional_key_pem("secret"), given));
  }
}

TEST_F(IdentityTest, OpensOldAndSlowEncryptionOfAKey) {
  const auto leaf = root_.issue("a.svc");
  const Passphrases given{"secret"};

  EXPECT_TRUE(Identity::load(
      leaf.cert_pem(),
      leaf.encrypted_key_pem("secret", NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 2048), given));
  EXPECT_TRUE(
      Identity::load(leaf.cert_pem(), leaf.encrypted_key_pem("secret", -1, 600'000), given));
}

TEST_F(IdentityTest, APassphraseThatDoesNotFitIsToldWithoutSayingWhy) {
  const auto leaf = root_.issue("a.svc");
  const auto other = root_.issue("b.svc");
  for (const std::string& key :
       {leaf.encrypted_key_pem("secret"), leaf.encrypted_traditional_key_pem("secret")}) {
    // Some wrong passphrases give right padding by chance; they must read alike.
    std::set<std::string> answers;
    for (int i = 0; i < 300; ++i) {
      const auto refused =
          Identity::load(leaf.cert_pem(), key, Passphrases{"wrong" + std::to_string(i)});
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().reason, Reason::Passphrase);
      answers.insert(refused.error().detail);
    }
    EXPECT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers.begin()->find("wrong"), std::string::npos);
    EXPECT_EQ(Identity::load(other.cert_pem(), key, Passphrases{"secret"}).error().reason,
              Reason::KeyMismatch);
  }
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST_F(IdentityTest, ADamagedEncryptedKeyIsNotAWrongPassphrase) {
  const auto leaf = root_.issue("a.svc");
  for (std::string key :
       {leaf.encrypted_key_pem("secret"), leaf.encrypted_traditional_key_pem("secret")}) {
    key.insert(key.rfind("\n-----END") - 10, "!");

    EXPECT_EQ(Identity::load(leaf.cert_pem(), key, Passphrases{"secret"}).error().reason,
              Reason::BadKey);
  }
}

TEST_F(IdentityTest, NamesAnOldCipherInsteadOfAWrongPassphrase) {
  const auto leaf = root_.issue("a.svc");
  std::string key = leaf.encrypted_traditional_key_pem("secret");
  key.replace(key.find("AES-256-CBC"), 11, "DES-CBC");
  const auto refused = Identity::load(leaf.cert_pem(), key, Passphrases{"secret"});

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, Reason::BadKey);
  EXPECT_NE(refused.error().detail.find("legacy provider"), std::string::npos) << refused.error();
}

TEST_F(IdentityTest, RefusesAKeyThatCostsTooMuchToTry) {
  const auto leaf = root_.issue("a.svc");
  const std::string key = leaf.encrypted_key_pem("secret", -1, 1'000'000);

  EXPECT_TRUE(Identity::load(leaf.cert_pem(), key, Passphrases{"secret"}));
  EXPECT_EQ(Identity::load(leaf.cert_pem(), key, Passphrases(5, "secret")).error().reason,
            Reason::BadKey);
}

TEST_F(IdentityTest, PlainKeysNeedNoneOfThePassphrases) {
  const auto leaf = root_.issue("a.svc");

  EXPECT_TRUE(Identity::load(leaf.cert_pem(), leaf.key_pem(), Passphrases{"unused"}));
}

TEST_F(IdentityTest, TakesKeyAndChainFromPkcs12) {
  for (const KeyType type : {KeyType::P256, KeyType::Rsa2048, KeyType::Ed25519}) {
    const auto leaf = issuing_.issue("a.svc", {.key = type});
    const auto identity =
        Identity::load_pkcs12(leaf.pkcs12("secret"), Passphrases{"old", "secret"});

    ASSERT_TRUE(identity) << identity.error();
    EXPECT_EQ(X509_cmp((*identity)->open()->leaf.get(), leaf.x509()), 0);
    EXPECT_EQ(sk_X509_num((*identity)->open()->intermediates.get()), 1);
  }
  const auto leaf = root_.issue("a.svc");
  EXPECT_TRUE(
      Identity::load_pkcs12(leaf.pkcs12("s", {.algorithm = "PBE-SHA1-3DES"}), Passphrases{"s"}));
  EXPECT_TRUE(Identity::load_pkcs12(leaf.pkcs12(""), {}));
}

TEST_F(IdentityTest, RefusesPkcs12ThatItsPassphraseDoesNotProve) {
  const auto leaf = root_.issue("a.svc");
  const auto refused = [](const std::string& bytes, const Passphrases& given) {
    const auto identity = Identity::load_pkcs12(bytes, given);
    EXPECT_EQ(ERR_peek_error(), 0U);
    if (identity) return Reason::Ok;
    EXPECT_TRUE(identity.error().detail.starts_with("tls.p12: ")) << identity.error();
    return identity.error().reason;
  };
  const std::string good = leaf.pkcs12("secret");

  EXPECT_EQ(refused(good, {}), Reason::Passphrase);
  EXPECT_EQ(refused(good, {"wrong", ""}), Reason::Passphrase);
  EXPECT_EQ(refused(leaf.pkcs12("secret", {.mac = false}), {"secret"}), Reason::BadKey);
  EXPECT_EQ(refused(leaf.pkcs12("secret", {.mac_iterations = 5'000'000}), {"secret"}),
            Reason::BadKey);
  EXPECT_EQ(refused(leaf.pkcs12("secret", {.without_key = true}), {"secret"}), Reason::BadKey);
  EXPECT_EQ(refused(leaf.pkcs12("secret", {.second_key = true}), {"secret"}), Reason::BadKey);
  EXPECT_EQ(refused(leaf.pkcs12("secret", {.without_certificate = true}), {"secret"}),
            Reason::BadCertificate);
  EXPECT_EQ(refused(good + "x", {"secret"}), Reason::BadKey);
  EXPECT_EQ(refused(good.substr(0, good.size() - 1), {"secret"}), Reason::BadKey);
  EXPECT_EQ(refused("", {"secret"}), Reason::BadKey);
  EXPECT_EQ(refused(leaf.cert_pem() + leaf.key_pem(), {"secret"}), Reason::BadKey);
}

TEST_F(IdentityTest, NamesTheOldCipherOfPkcs12) {
  const auto leaf = root_.issue("a.svc");
  const auto refused = Identity::load_pkcs12(
      leaf.pkcs12("secret", {.algorithm = "PBE-SHA1-3DES", .claim = "PBE-SHA1-RC2-40"}),
      Passphrases{"secret"});

  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, Reason::BadKey);
  EXPECT_NE(refused.error().detail.find("RC2-40-CBC"), std::string::npos) << refused.error();
}

TEST_F(IdentityTest, RefusesWhatIsNoKey) {
  const auto leaf = root_.issue("a.svc");
  const std::string key = leaf.key_pem();

  EXPECT_EQ(reason_of(leaf.cert_pem(), ""), Reason::BadKey);
  EXPECT_EQ(reason_of(leaf.cert_pem(), leaf.cert_pem()), Reason::BadKey);
  EXPECT_EQ(reason_of(leaf.cert_pem(), leaf.key_der()), Reason::BadKey);
  EXPECT_EQ(reason_of(leaf.cert_pem(), key + key), Reason::BadKey);
  EXPECT_EQ(reason_of(leaf.cert_pem(), key.substr(1)), Reason::BadKey);
  EXPECT_EQ(reason_of(leaf.cert_pem(), key.substr(0, key.size() / 2)), Reason::BadKey);
  EXPECT_EQ(reason_of(leaf.cert_pem(), testing::pem_block("PRIVATE KEY", "junk")), Reason::BadKey);
}

TEST_F(IdentityTest, RefusesKeysThatTlsWouldRefuseLater) {
  for (const KeyType type : {KeyType::Rsa1024, KeyType::P192, KeyType::P256Explicit,
                             KeyType::Secp256k1, KeyType::Dsa2048}) {
    const auto leaf = root_.issue("a.svc", {.key = type});

    EXPECT_EQ(reason_of(leaf.cert_pem(), leaf.key_pem()), Reason::BadKey) << static_cast<int>(type);
  }
}

TEST_F(IdentityTest, RefusesCertificatesThatTlsWouldRefuseLater) {
  std::string why;
  const TestAuthority rsa{"rsa", {.key = KeyType::Rsa2048}};  // ECDSA knows no MD5
  for (const char* digest : {"SHA1", "MD5"}) {
    const auto leaf = rsa.issue("a.svc", {.digest = digest});
    EXPECT_EQ(reason_of(leaf.cert_pem(), leaf.key_pem(), &why), Reason::BadCertificate) << digest;
    EXPECT_TRUE(why.starts_with("tls.crt: entry 1 ")) << why;
  }
  const TestAuthority weak = root_.intermediate("weak", {.key = KeyType::Rsa1024});
  const auto leaf = weak.issue("a.svc");
  EXPECT_EQ(reason_of(leaf.chain_pem(), leaf.key_pem(), &why), Reason::BadCertificate);
  EXPECT_TRUE(why.starts_with("tls.crt: entry 2 ")) << why;
}

TEST_F(IdentityTest, DoesNotJudgeTheSignatureOfASelfSignedCertificate) {
  const auto own = testing::self_signed("a.svc", {.digest = "SHA1"});

  EXPECT_EQ(reason_of(own.cert_pem(), own.key_pem()), Reason::Ok);
}

TEST_F(IdentityTest, RefusesATornOrForeignBlockBesideTheCertificates) {
  const auto leaf = root_.issue("a.svc");
  std::string why;

  EXPECT_EQ(reason_of("", leaf.key_pem(), &why), Reason::BadCertificate);
  EXPECT_TRUE(why.starts_with("tls.crt: ")) << why;
  EXPECT_EQ(reason_of(leaf.cert_pem() + leaf.key_pem(), leaf.key_pem()), Reason::BadCertificate);
  EXPECT_EQ(reason_of(leaf.cert_pem() + "-----BEGIN CERTIFICATE-----\nMIIB", leaf.key_pem()),
            Reason::BadCertificate);
  EXPECT_EQ(reason_of(leaf.cert_der(), leaf.key_pem()), Reason::BadCertificate);
}

TEST_F(IdentityTest, RefusesAFloodOfCertificates) {
  const auto leaf = root_.issue("a.svc");
  std::string flood = leaf.cert_pem();
  for (int i = 0; i < 64; ++i) flood += root_.cert_pem();

  EXPECT_EQ(reason_of(flood, leaf.key_pem()), Reason::BadCertificate);
}

TEST_F(IdentityTest, TellsWhetherAClientMayPresentIt) {
  const auto is_for = [this](const char* usage) {
    return describe(*root_.issue("a", {.extended_key_usage = usage}).x509()).is_for_clients;
  };

  for (const char* usage : {"", "clientAuth", "serverAuth,clientAuth", "anyExtendedKeyUsage",
                            "critical,emailProtection,clientAuth"}) {
    EXPECT_TRUE(is_for(usage)) << usage;
  }
  for (const char* usage : {"serverAuth", "critical,serverAuth", "emailProtection"}) {
    EXPECT_FALSE(is_for(usage)) << usage;
  }
  const auto torn =
      root_.issue("a", {.extended_key_usage = "", .extensions = {{"2.5.29.37", "DER:0500"}}});
  EXPECT_FALSE(describe(*torn.x509()).is_for_clients);
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST_F(IdentityTest, DoesNotJudgeTime) {
  const auto expired = root_.issue("a.svc", {.not_after = testing::kYear2020 + 1});

  EXPECT_EQ(reason_of(expired.cert_pem(), expired.key_pem()), Reason::Ok);
}

TEST_F(IdentityTest, KeepsTheKeyOutOfEveryErrorText) {
  const auto leaf = root_.issue("a.svc");
  std::string key = leaf.key_pem();
  const std::string secret = key.substr(60, 24);
  key.insert(key.find('\n') + 3, "!");
  std::string why;

  EXPECT_EQ(reason_of(leaf.cert_pem(), key, &why), Reason::BadKey);
  EXPECT_EQ(why.find(secret), std::string::npos) << why;
}

TEST(LoadChain, TakesTheFirstCertificateAsTheLeaf) {
  const TestAuthority root{"root"};
  const auto leaf = root.intermediate("issuing").issue("a.svc");

  const auto chain = load_chain(leaf.chain_pem());

  ASSERT_TRUE(chain.has_value()) << chain.error();
  EXPECT_EQ(X509_cmp(chain->leaf.get(), leaf.x509()), 0);
  EXPECT_EQ(sk_X509_num(chain->intermediates.get()), 1);
}

}  // namespace
}  // namespace handfast::pki
