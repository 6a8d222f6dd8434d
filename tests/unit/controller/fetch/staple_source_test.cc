#include "controller/fetch/staple_source.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/base/check.h"
#include "tests/support/test_ocsp.h"
#include "tests/support/times.h"

namespace handfast::fetch {
namespace {

using std::chrono::seconds;
using testing::FakeClock;
using testing::OcspOptions;
using testing::TestAuthority;
using testing::TestCertificate;

// The test speaks in its place.
class Silent final : public source::Source {
 public:
  void run(source::Sink& /*sink*/) override {}
  void stop() override {}
};

class FakeGetter final : public Getter {
 public:
  Result<std::string> get(const std::string& url) override {
    asked.push_back(url);
    if (answer.empty()) return fail(Reason::Io, "nobody answers");
    return answer;
  }
  void cancel() override {}
  std::string answer;
  std::vector<std::string> asked;
};

class Kept final : public source::Sink {
 public:
  void on_batch(source::Batch batch) override { batches.push_back(std::move(batch)); }
  [[nodiscard]] std::string staple() const {
    const auto& secret = std::get<objects::Secret>(*batches.back().events.front().object);
    const auto found = secret.data.find(objects::kStapleKey);
    return found == secret.data.end() ? std::string() : found->second.bytes;
  }
  std::vector<source::Batch> batches;
};

class StapleSourceTest : public ::testing::Test {
 protected:
  StapleSourceTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "handfast-XXXXXX";
    check(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
    folder_ = pattern;
    make();
  }
  ~StapleSourceTest() override {
    source_.reset();
    std::filesystem::remove_all(folder_);
  }

  void make() {
    source_.reset();
    auto getter = std::make_unique<FakeGetter>();
    getter_ = getter.get();
    auto cache = publish::DirectoryFileSystem::open(folder_ + "/ocsp");
    check(cache.has_value(), "cache");
    source_ = std::make_unique<StapleSource>(std::make_unique<Silent>(),
                                             std::set<std::string>{"ocsp.example"},
                                             std::move(getter), std::move(*cache), clock_);
    source_->begin(kept_);
  }

  void tell(source::Batch batch) { source_->on_batch(std::move(batch)); }
  seconds fetch() {
    return std::chrono::duration_cast<seconds>(source_->fetch_due() - clock_.now());
  }

  [[nodiscard]] TestCertificate issue(const std::string& responder) const {
    testing::CertificateOptions options;
    options.extensions = {{"authorityInfoAccess", "OCSP;URI:" + responder}};
    return issuer_.issue("shop.example", options);
  }
  static source::Batch secret(const std::string& pem, const std::string& staple = {}) {
    objects::Secret secret;
    secret.meta.ns = "shop";
    secret.meta.name = "front";
    secret.data["tls.crt"].bytes = pem;
    if (!staple.empty()) secret.data[std::string(objects::kStapleKey)].bytes = staple;
    source::Batch batch;
    batch.events.push_back({objects::key(secret), objects::Object(std::move(secret))});
    return batch;
  }

  FakeClock clock_;
  std::string folder_;
  const TestAuthority root_{"root"};
  const TestAuthority issuer_ = root_.intermediate("issuing");
  FakeGetter* getter_ = nullptr;
  std::unique_ptr<StapleSource> source_;
  Kept kept_;
};

TEST_F(StapleSourceTest, PutsTheResponseIntoTheSecret) {
  const TestCertificate leaf = issue("http://ocsp.example/status");
  getter_->answer = testing::ocsp_response(issuer_, leaf);

  tell(secret(leaf.chain_pem()));
  (void)fetch();

  ASSERT_EQ(getter_->asked.size(), 1U);
  EXPECT_TRUE(getter_->asked.front().starts_with("http://ocsp.example/status/M"));
  ASSERT_EQ(kept_.batches.size(), 2U);
  EXPECT_EQ(kept_.staple(), getter_->answer);
  EXPECT_TRUE(kept_.batches.back().synced);
}

TEST_F(StapleSourceTest, AsksNobodyElse) {
  for (const char* responder : {"http://elsewhere.example/", "https://ocsp.example/",
                                "http://ocsp.example:8080/", "http://me@ocsp.example/"}) {
    make();
    tell(secret(issue(responder).chain_pem()));
    (void)fetch();
    EXPECT_TRUE(getter_->asked.empty()) << responder;
  }
  make();
  const TestCertificate leaf = issue("http://ocsp.example/");
  for (auto& batch : {secret(leaf.cert_pem()),                // without its issuer
                      secret(leaf.chain_pem(), "their own"),  // has one
                      secret("nothing")}) {
    tell(batch);
    (void)fetch();
  }
  EXPECT_TRUE(getter_->asked.empty());
}

TEST_F(StapleSourceTest, LeavesOutWhatDoesntVouch) {
  const TestCertificate leaf = issue("http://ocsp.example/");
  const TestCertificate other = issue("http://ocsp.example/");
  OcspOptions revoked;
  revoked.status = OcspOptions::Status::Revoked;
  OcspOptions broken;
  broken.break_signature = true;
  for (const std::string& answer :
       {std::string(), std::string("<html>"), testing::ocsp_response(issuer_, other),
        testing::ocsp_response(issuer_, leaf, revoked),
        testing::ocsp_response(issuer_, leaf, broken)}) {
    make();
    kept_ = {};
    getter_->answer = answer;
    tell(secret(leaf.chain_pem()));
    (void)fetch();
    EXPECT_EQ(getter_->asked.size(), 1U);
    EXPECT_EQ(kept_.batches.size(), 1U);
    EXPECT_EQ(kept_.staple(), "");
  }
}

TEST_F(StapleSourceTest, HasItAgainAfterARestart) {
  const TestCertificate leaf = issue("http://ocsp.example/");
  const std::string response = testing::ocsp_response(issuer_, leaf);
  getter_->answer = response;
  tell(secret(leaf.chain_pem()));
  (void)fetch();

  make();
  kept_ = {};
  tell(secret(leaf.chain_pem()));
  (void)fetch();

  EXPECT_TRUE(getter_->asked.empty());
  ASSERT_EQ(kept_.batches.size(), 1U);
  EXPECT_EQ(kept_.staple(), response);
}

TEST_F(StapleSourceTest, AChangedSecretKeepsTheResponseOfTheSameCertificateOnly) {
  const TestCertificate leaf = issue("http://ocsp.example/");
  const TestCertificate next = issue("http://ocsp.example/");
  getter_->answer = testing::ocsp_response(issuer_, leaf);
  tell(secret(leaf.chain_pem()));
  (void)fetch();
  tell(secret(leaf.chain_pem()));
  EXPECT_EQ(kept_.staple(), getter_->answer);
  tell(secret(next.chain_pem()));
  EXPECT_EQ(kept_.staple(), "");
}

TEST_F(StapleSourceTest, AsksAgainInTime) {
  const TestCertificate leaf = issue("http://ocsp.example/");
  OcspOptions options;
  options.this_update = clock_.unix_now() - 10;
  options.next_update = clock_.unix_now() + 3600;
  getter_->answer = testing::ocsp_response(issuer_, leaf, options);
  tell(secret(leaf.chain_pem()));
  const seconds wait = fetch();
  EXPECT_GE(wait, seconds(1700));
  EXPECT_LE(wait, seconds(2100));
  getter_->answer.clear();
  clock_.advance(wait + seconds(1));
  EXPECT_EQ(fetch(), seconds(15));
}

}  // namespace
}  // namespace handfast::fetch
