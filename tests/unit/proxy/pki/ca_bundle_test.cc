#include <gtest/gtest.h>
#include <openssl/err.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "proxy/pki/trust.h"
#include "tests/support/test_authority.h"

namespace handfast::pki {
namespace {

using testing::kYear2026;
using ::testing::TempDir;
using testing::TestAuthority;

std::string refusal(std::string_view pem) {
  const auto bundle = CaBundle::load(pem, kYear2026);
  EXPECT_EQ(ERR_peek_error(), 0U);
  if (bundle) return "accepted";
  EXPECT_EQ(bundle.error().reason, Reason::BadCa);
  return bundle.error().detail;
}

TEST(CaBundle, TakesRootsAndIntermediatesAsAnchors) {
  const TestAuthority root{"root", {.not_after = kYear2026 + 200}};
  const TestAuthority issuing = root.intermediate("issuing", {.not_after = kYear2026 + 100});

  const auto bundle = CaBundle::load(root.cert_pem() + issuing.cert_pem(), kYear2026);

  ASSERT_TRUE(bundle.has_value()) << bundle.error();
  EXPECT_EQ((*bundle)->anchors().size(), 2U);
  EXPECT_EQ((*bundle)->earliest_not_after(), kYear2026 + 100);
  EXPECT_TRUE((*bundle)->warnings().empty());
  EXPECT_NE((*bundle)->store(), nullptr);
}

TEST(CaBundle, LeavesOutExpiredEntriesAndThoseThatAreNoCaWithAWarning) {
  const TestAuthority root{"root"};
  const TestAuthority old{"old", {.not_after = kYear2026}};
  const TestAuthority cannot_sign{"cannot", {.key_usage = "critical,cRLSign"}};
  const TestAuthority ancient{"ancient", {.version = 1}};
  const auto leaf = root.issue("a.svc");

  const auto bundle = CaBundle::load(old.cert_pem() + leaf.cert_pem() + root.cert_pem() +
                                         cannot_sign.cert_pem() + ancient.cert_pem(),
                                     kYear2026);

  ASSERT_TRUE(bundle.has_value()) << bundle.error();
  EXPECT_EQ((*bundle)->anchors().size(), 1U);
  ASSERT_EQ((*bundle)->warnings().size(), 4U);
  EXPECT_EQ((*bundle)->warnings()[0], "entry 1 (CN=old): expired 2026-01-01T00:00:00Z");
  EXPECT_TRUE((*bundle)->warnings()[1].starts_with("entry 2 (CN=a.svc): is not a CA"));
}

TEST(CaBundle, RefusesABundleWithoutAnyUsableEntry) {
  const TestAuthority root{"root"};
  const TestAuthority old{"old", {.not_after = kYear2026 - 1}};

  EXPECT_TRUE(refusal(old.cert_pem()).starts_with("ca.crt: holds no usable CA certificate"));
  EXPECT_TRUE(refusal(root.issue("a").cert_pem()).find("no usable CA") != std::string::npos);
  EXPECT_EQ(refusal(""), "ca.crt: is empty");
}

TEST(CaBundle, KeepsAnAnchorThatIsNotYetValidAndNamesIt) {
  const TestAuthority root{"root"};
  const TestAuthority later{"later", {.not_before = kYear2026 + 20}};
  const TestAuthority next{"next", {.not_before = kYear2026 + 10}};
  const std::string pem = root.cert_pem() + later.cert_pem() + next.cert_pem();

  const auto bundle = CaBundle::load(pem, kYear2026);

  ASSERT_TRUE(bundle.has_value()) << bundle.error();
  EXPECT_EQ((*bundle)->anchors().size(), 3U);
  EXPECT_TRUE((*bundle)->warnings().empty());
  ASSERT_EQ((*bundle)->early().size(), 2U);
  EXPECT_EQ((*bundle)->early()[1], "entry 3 (CN=next): is valid only from 2026-01-01T00:00:10Z");
  EXPECT_EQ((*bundle)->next_not_before(), kYear2026 + 10);
  const auto then = CaBundle::load(pem, kYear2026 + 20);
  ASSERT_TRUE(then.has_value()) << then.error();
  EXPECT_TRUE((*then)->early().empty());
  EXPECT_EQ((*then)->next_not_before(), 0);
}

TEST(CaBundle, RefusesTheWholeForOneTornBlock) {
  const TestAuthority root{"root"};
  const std::string pem = root.cert_pem();

  EXPECT_TRUE(refusal(pem + pem.substr(0, pem.size() / 2)).starts_with("ca.crt: entry 2"));
  EXPECT_TRUE(refusal(pem + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
                  .starts_with("ca.crt: entry 2: "));
}

TEST(CaBundle, RefusesAPrivateKeyAndACrlBesideTheCertificates) {
  const TestAuthority root{"root"};

  EXPECT_NE(refusal(root.cert_pem() + root.key_pem()).find("private key must not lie here"),
            std::string::npos);
  EXPECT_NE(refusal(root.cert_pem() + root.crl_pem()).find("is a X509 CRL"), std::string::npos);
  EXPECT_NE(refusal(root.certificate().cert_der()).find("DER"), std::string::npos);
}

TEST(CaBundle, RefusesACertificateWhoseExtensionsCanNotBeRead) {
  const TestAuthority broken{"broken", {.extensions = {{"nameConstraints", "DER:0500"}}}};

  EXPECT_NE(refusal(broken.cert_pem()).find("extensions that can't be read"), std::string::npos);
}

// Points OpenSSL's default file and directory elsewhere for the life of the object.
class SystemRoots {
 public:
  SystemRoots() : directory_(std::filesystem::path(TempDir()) / "handfast-system-roots") {
    std::filesystem::create_directories(directory_);
    setenv("SSL_CERT_FILE", (directory_ / "cert.pem").c_str(), 1);
    setenv("SSL_CERT_DIR", directory_.c_str(), 1);
  }
  ~SystemRoots() {
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    std::filesystem::remove_all(directory_);
  }
  SystemRoots(const SystemRoots&) = delete;
  SystemRoots& operator=(const SystemRoots&) = delete;

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ / name, std::ios::binary) << text;
  }

 private:
  std::filesystem::path directory_;
};

TEST(SystemCaBundle, ReadsTheDefaultFile) {
  const SystemRoots roots;
  roots.write("cert.pem", TestAuthority{"a"}.cert_pem() + TestAuthority{"b"}.cert_pem());
  roots.write("0123abcd.0", TestAuthority{"c"}.cert_pem());

  const auto bundle = CaBundle::load_system(kYear2026);

  ASSERT_TRUE(bundle.has_value()) << bundle.error();
  EXPECT_EQ((*bundle)->anchors().size(), 2U);
}

TEST(SystemCaBundle, ReadsTheHashedFilesWhereThereIsNoFile) {
  const SystemRoots roots;
  roots.write("0123abcd.0", TestAuthority{"a"}.cert_pem());
  roots.write("0123abcd.1", TestAuthority{"b"}.cert_pem());
  roots.write("ffffffff.0", "torn");
  roots.write("notes.txt", TestAuthority{"c"}.cert_pem());

  const auto bundle = CaBundle::load_system(kYear2026);

  ASSERT_TRUE(bundle.has_value()) << bundle.error();
  EXPECT_EQ((*bundle)->anchors().size(), 2U);
}

TEST(SystemCaBundle, IsAnErrorWhereThereIsNothing) {
  const SystemRoots roots;

  const auto bundle = CaBundle::load_system(kYear2026);

  ASSERT_FALSE(bundle.has_value());
  EXPECT_EQ(bundle.error().reason, Reason::BadCa);
}

}  // namespace
}  // namespace handfast::pki
