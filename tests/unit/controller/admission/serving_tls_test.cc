#include "controller/admission/serving_tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "proxy/pki/openssl_ptr.h"
#include "tests/support/test_authority.h"

namespace handfast::admission {
namespace {

namespace fs = std::filesystem;
using handfast::testing::TestAuthority;
using handfast::testing::TestCertificate;
using ::testing::HasSubstr;

class ServingTlsTest : public ::testing::Test {
 protected:
  ServingTlsTest() { fs::create_directory(folder_); }
  ~ServingTlsTest() override { fs::remove_all(folder_); }

  // As kubelet does it: another file takes the place.
  std::string write(const std::string& name, const std::string& text) {
    const fs::path path = folder_ / name;
    std::ofstream{folder_ / "new"} << text;
    fs::rename(folder_ / "new", path);
    return path.string();
  }
  ServingTls::Files write_pair(const TestCertificate& pair) {
    return {write("tls.crt", pair.cert_pem()), write("tls.key", pair.key_pem()), {}};
  }
  // The names in the certificate that a new connection would be shown.
  static std::string shown(ServingTls& tls) {
    const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context{SSL_CTX_new(TLS_server_method()),
                                                               SSL_CTX_free};
    tls.prepare(context.get());
    const X509* leaf = SSL_CTX_get0_certificate(context.get());
    if (leaf == nullptr) return "";
    const pki::OpensslBytesPtr text{reinterpret_cast<unsigned char*>(
        X509_NAME_oneline(X509_get_subject_name(leaf), nullptr, 0))};
    return reinterpret_cast<const char*>(text.get());
  }

  const fs::path folder_ =
      fs::path{::testing::TempDir()} /
      ("serving_tls_" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) +
       ::testing::UnitTest::GetInstance()->current_test_info()->name());
  TestAuthority authority_{"ca"};
};

TEST_F(ServingTlsTest, ServesWithWhatTheFilesHold) {
  auto tls = ServingTls::open(write_pair(authority_.issue("first")));

  ASSERT_TRUE(tls.has_value()) << tls.error();
  EXPECT_THAT(shown(**tls), HasSubstr("first"));
}

TEST_F(ServingTlsTest, ReadsFilesAgainThatAreOthers) {
  auto tls = ServingTls::open(write_pair(authority_.issue("first")));
  ASSERT_TRUE(tls.has_value()) << tls.error();

  write_pair(authority_.issue("second"));

  EXPECT_THAT(shown(**tls), HasSubstr("second"));
}

TEST_F(ServingTlsTest, KeepsWhatItHadWhileThePairIsHalf) {
  auto tls = ServingTls::open(write_pair(authority_.issue("first")));
  ASSERT_TRUE(tls.has_value()) << tls.error();
  const TestCertificate second = authority_.issue("second");

  write("tls.crt", second.cert_pem());
  EXPECT_THAT(shown(**tls), HasSubstr("first"));

  write("tls.key", second.key_pem());
  EXPECT_THAT(shown(**tls), HasSubstr("second"));
}

TEST_F(ServingTlsTest, KeepsWhatItHadWhileAFileIsGone) {
  const ServingTls::Files files = write_pair(authority_.issue("first"));
  auto tls = ServingTls::open(files);
  ASSERT_TRUE(tls.has_value()) << tls.error();

  fs::remove(files.key);

  EXPECT_THAT(shown(**tls), HasSubstr("first"));
}

// Whoever connects makes it look: a line for each would be his to write.
TEST_F(ServingTlsTest, TellsOnceOfWhatItCannotUse) {
  const auto count = [](const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
    return found;
  };
  auto tls = ServingTls::open(write_pair(authority_.issue("first")));
  ASSERT_TRUE(tls.has_value()) << tls.error();
  ::testing::internal::CaptureStderr();

  write("tls.crt", authority_.issue("second").cert_pem());
  for (int n = 0; n < 5; ++n) (void)shown(**tls);
  write("tls.crt", "another thing");
  for (int n = 0; n < 5; ++n) (void)shown(**tls);

  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(count(log, "keeps the files that it had"), 2U) << log;
}

TEST_F(ServingTlsTest, SaysAtStartWhichFileIsWrong) {
  ServingTls::Files files = write_pair(authority_.issue("first"));
  files.client_ca = write("clients.crt", "nothing");
  EXPECT_THAT(ServingTls::open(files).error().detail, HasSubstr("clients.crt"));

  files.client_ca.clear();
  files.key = (folder_ / "absent.key").string();
  EXPECT_THAT(ServingTls::open(files).error().detail, HasSubstr("absent.key"));

  files.key = write("other.key", authority_.issue("other").key_pem());
  EXPECT_EQ(ServingTls::open(files).error().reason, Reason::KeyMismatch);
}

TEST_F(ServingTlsTest, WithoutAPairNoHandshakeIsPossible) {
  auto tls = ServingTls::open({});
  ASSERT_TRUE(tls.has_value()) << tls.error();

  EXPECT_EQ(shown(**tls), "");
}

// The two ends of a connection in memory, as far as the handshake gets.
bool shakes_hands(ServingTls& tls, const TestCertificate* client) {
  const auto make = [](const SSL_METHOD* method) {
    return std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)>{SSL_CTX_new(method), SSL_CTX_free};
  };
  const auto serving = make(TLS_server_method());
  const auto asking = make(TLS_client_method());
  tls.prepare(serving.get());
  const std::unique_ptr<SSL, void (*)(SSL*)> server{SSL_new(serving.get()), SSL_free};
  const std::unique_ptr<SSL, void (*)(SSL*)> peer{SSL_new(asking.get()), SSL_free};
  if (client != nullptr) {
    const std::string certificate = client->cert_pem(), key = client->key_pem();
    const pki::BioPtr first{BIO_new_mem_buf(certificate.data(), -1)};
    const pki::BioPtr second{BIO_new_mem_buf(key.data(), -1)};
    const pki::X509Ptr leaf{PEM_read_bio_X509(first.get(), nullptr, nullptr, nullptr)};
    const pki::EvpPkeyPtr own{PEM_read_bio_PrivateKey(second.get(), nullptr, nullptr, nullptr)};
    SSL_use_certificate(peer.get(), leaf.get());
    SSL_use_PrivateKey(peer.get(), own.get());
  }
  BIO* left = nullptr;
  BIO* right = nullptr;
  BIO_new_bio_pair(&left, 0, &right, 0);
  SSL_set_bio(server.get(), left, left);
  SSL_set_bio(peer.get(), right, right);
  SSL_set_accept_state(server.get());
  SSL_set_connect_state(peer.get());
  for (int round = 0; round < 10; ++round) {
    (void)SSL_do_handshake(peer.get());
    (void)SSL_do_handshake(server.get());
  }
  (void)pki::drain_openssl_errors();
  return SSL_is_init_finished(server.get()) == 1;
}

TEST_F(ServingTlsTest, AnybodyMayAskWithoutAClientCa) {
  auto tls = ServingTls::open(write_pair(authority_.issue("server")));
  ASSERT_TRUE(tls.has_value()) << tls.error();

  EXPECT_TRUE(shakes_hands(**tls, nullptr));
}

TEST_F(ServingTlsTest, WithAClientCaOnlyWhoItVouchesForMayAsk) {
  const TestAuthority clients{"clients"};
  ServingTls::Files files = write_pair(authority_.issue("server"));
  files.client_ca = write("clients.crt", clients.cert_pem());
  auto tls = ServingTls::open(files);
  ASSERT_TRUE(tls.has_value()) << tls.error();
  const TestCertificate known = clients.issue("apiserver");
  const TestCertificate stranger = authority_.issue("apiserver");

  EXPECT_TRUE(shakes_hands(**tls, &known));
  EXPECT_FALSE(shakes_hands(**tls, &stranger));
  EXPECT_FALSE(shakes_hands(**tls, nullptr));

  write("clients.crt", authority_.cert_pem());
  EXPECT_FALSE(shakes_hands(**tls, &known));
  EXPECT_TRUE(shakes_hands(**tls, &stranger));
}

}  // namespace
}  // namespace handfast::admission
