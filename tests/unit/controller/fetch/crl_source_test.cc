#include "controller/fetch/crl_source.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/base/check.h"
#include "tests/support/test_authority.h"
#include "tests/support/times.h"

namespace handfast::fetch {
namespace {

using std::chrono::seconds;
using testing::CrlOptions;
using testing::FakeClock;
using testing::TestAuthority;

constexpr const char* kUrl = "http://crl.example/ca.crl";

// Answers what the test put there.
class FakeGetter final : public Getter {
 public:
  Result<std::string> get(const std::string& url) override {
    ++asked;
    const auto found = documents.find(url);
    if (found == documents.end()) return fail(Reason::Io, url + ": nobody answers");
    return found->second;
  }
  void cancel() override {}

  std::map<std::string, std::string> documents;
  int asked = 0;
};

class Kept final : public source::Sink {
 public:
  void on_batch(source::Batch batch) override {
    for (const source::Event& event : batch.events) {
      lists = std::get<objects::ConfigMap>(*event.object).data;
      ++events;
    }
    problems = std::move(batch.problems);
    synced = batch.synced;
  }
  [[nodiscard]] std::string list() const {
    return lists.empty() ? std::string() : lists.begin()->second.bytes;
  }

  objects::DataMap lists;
  std::vector<objects::Decoded::Problem> problems;
  int events = 0;
  bool synced = false;
};

class CrlSourceTest : public ::testing::Test {
 protected:
  CrlSourceTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "handfast-XXXXXX";
    check(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
    folder_ = pattern;
    std::ofstream(ca_file()) << ca_.cert_pem();
    make();
  }
  ~CrlSourceTest() override {
    source_.reset();
    std::filesystem::remove_all(folder_);
  }

  [[nodiscard]] std::string ca_file() const { return folder_ + "/ca.crt"; }

  // As a controller that starts, over what lies on disk.
  void make(std::vector<std::string> urls = {kUrl}) {
    source_.reset();
    auto getter = std::make_unique<FakeGetter>();
    getter_ = getter.get();
    auto cache = publish::DirectoryFileSystem::open(folder_ + "/crls");
    check(cache.has_value(), "cache");
    std::vector<CrlPoint> points;
    for (std::string& url : urls) points.push_back({ca_file(), std::move(url)});
    source_ = std::make_unique<CrlSource>(std::move(points), std::move(getter), std::move(*cache),
                                          clock_);
    kept_ = {};
  }

  void offer(std::string list) { getter_->documents[kUrl] = std::move(list); }
  [[nodiscard]] seconds fetch() {
    const Monotonic due = source_->fetch_due(kept_);
    return std::chrono::duration_cast<seconds>(due - clock_.now());
  }
  // Fetches again as soon as that is due.
  seconds fetch_again() {
    clock_.advance(seconds(3600));
    return fetch();
  }

  [[nodiscard]] std::string crl(UnixSeconds this_update, UnixSeconds next_update) const {
    CrlOptions options;
    options.this_update = this_update;
    options.next_update = next_update;
    return ca_.crl_der({}, options);
  }

  FakeClock clock_;
  std::string folder_;
  const TestAuthority ca_{"backends"};
  FakeGetter* getter_ = nullptr;
  std::unique_ptr<CrlSource> source_;
  Kept kept_;
};

TEST_F(CrlSourceTest, TellsAListThatItsIssuerSigned) {
  const std::string list = ca_.crl_der();
  offer(list);

  source_->begin(kept_);
  EXPECT_FALSE(kept_.synced);
  (void)fetch();

  EXPECT_TRUE(kept_.synced);
  EXPECT_EQ(kept_.list(), list);
  EXPECT_TRUE(kept_.problems.empty());
}

TEST_F(CrlSourceTest, KeepsTheGoodListWhateverIsAnsweredInstead) {
  const std::string good = ca_.crl_pem();
  offer(good);
  source_->begin(kept_);
  (void)fetch();

  CrlOptions forged;
  forged.break_signature = true;
  const TestAuthority other{"backends"};  // of the same name
  for (const std::string& bad :
       {std::string("<html>"), std::string(), ca_.cert_pem(), good + good, other.crl_pem(),
        ca_.crl_pem({}, forged), good.substr(0, good.size() / 2)}) {
    offer(bad);
    EXPECT_EQ(fetch_again(), seconds(15));
    ASSERT_EQ(kept_.problems.size(), 1U) << bad;
    EXPECT_EQ(kept_.problems.front().error.reason, Reason::BadCrl);
    EXPECT_EQ(kept_.list(), good);
    offer(good);
    (void)fetch_again();
    EXPECT_TRUE(kept_.problems.empty());
  }
  EXPECT_EQ(kept_.events, 1);
}

TEST_F(CrlSourceTest, AnOlderListIsNoNewOne) {
  const UnixSeconds now = clock_.unix_now();
  const std::string good = crl(now - 100, now + 1000);
  offer(good);
  source_->begin(kept_);
  (void)fetch();

  offer(crl(now - 200, now + 1000));
  (void)fetch_again();

  EXPECT_EQ(kept_.list(), good);
  EXPECT_EQ(kept_.problems.size(), 1U);
}

TEST_F(CrlSourceTest, IsThereAgainAfterARestartBeforeTheNetworkIs) {
  const std::string list = ca_.crl_der();
  offer(list);
  source_->begin(kept_);
  (void)fetch();

  make();
  source_->begin(kept_);

  EXPECT_TRUE(kept_.synced);
  EXPECT_EQ(kept_.list(), list);
  EXPECT_EQ(getter_->asked, 0);
  (void)fetch();
  EXPECT_EQ(kept_.list(), list);
  EXPECT_EQ(kept_.problems.size(), 1U);
}

TEST_F(CrlSourceTest, WhatLiesOnDiskMustBeSignedToo) {
  offer(ca_.crl_der());
  source_->begin(kept_);
  (void)fetch();
  std::ofstream(ca_file()) << TestAuthority{"others"}.cert_pem();

  make();
  source_->begin(kept_);

  EXPECT_FALSE(kept_.synced);
  EXPECT_TRUE(kept_.lists.empty());
}

TEST_F(CrlSourceTest, AServerThatIsAwayHoldsUpNobody) {
  source_->begin(kept_);

  EXPECT_EQ(fetch(), seconds(15));

  EXPECT_TRUE(kept_.synced);
  ASSERT_EQ(kept_.problems.size(), 1U);
  EXPECT_EQ(kept_.problems.front().error.reason, Reason::CrlMissing);
}

TEST_F(CrlSourceTest, AsksEverLessOftenAfterFailures) {
  source_->begin(kept_);
  std::vector<seconds> waits;
  for (int i = 0; i < 8; ++i) {
    waits.push_back(fetch());
    clock_.advance(waits.back());
  }

  EXPECT_EQ(waits, (std::vector<seconds>{seconds(15), seconds(30), seconds(60), seconds(120),
                                         seconds(240), seconds(480), seconds(600), seconds(600)}));
}

TEST_F(CrlSourceTest, AsksAgainAtHalfOfTheListsTime) {
  const UnixSeconds now = clock_.unix_now();
  source_->begin(kept_);
  offer(crl(now - 100, now + 1000));
  EXPECT_EQ(fetch(), seconds(500));
  offer(crl(now - 90, now + 30 * testing::kDay));
  EXPECT_EQ(fetch_again(), seconds(3600));
  offer(crl(now - 80, now - 10));  // out of date, and newer: it condemns still
  EXPECT_EQ(fetch_again(), seconds(60));
  EXPECT_TRUE(kept_.problems.empty());
}

TEST_F(CrlSourceTest, OneListHoldsUpNoOther) {
  make({"http://gone.example/ca.crl", kUrl});
  const std::string list = ca_.crl_der();
  offer(list);
  source_->begin(kept_);

  (void)fetch();

  EXPECT_TRUE(kept_.synced);
  EXPECT_EQ(kept_.list(), list);
  EXPECT_EQ(kept_.problems.size(), 1U);
}

}  // namespace
}  // namespace handfast::fetch
