#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "cmd/handfast/verify.h"
#include "tests/support/test_authority.h"

namespace handfast {
namespace {

using testing::TestAuthority;
using testing::TestCertificate;

class VerifyCommand : public ::testing::Test {
 protected:
  VerifyCommand() {
    std::string pattern = ::testing::TempDir() + "handfast-verify-XXXXXX";
    const char* made = mkdtemp(pattern.data());
    EXPECT_NE(made, nullptr);
    directory_ = pattern;
    write("chain.pem", leaf_.chain_pem());
    write("ca.pem", root_.cert_pem());
    write("good.crl", root_.crl_pem() + issuing_.crl_pem());
    write("leaf-only.crl", issuing_.crl_pem());
    write("revoked.crl", root_.crl_pem() + issuing_.crl_pem({&leaf_}));
  }
  ~VerifyCommand() override { std::filesystem::remove_all(directory_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ / name, std::ios::binary) << text;
  }

  // `words`: a name with a dot and no dash in front is a file of the directory.
  int run(const std::vector<std::string>& words) {
    std::vector<std::string> full;
    for (const std::string& word : words) {
      full.push_back(word.starts_with("@") ? (directory_ / word.substr(1)).string() : word);
    }
    const std::vector<std::string_view> arguments(full.begin(), full.end());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int status = verify_command(arguments);
    out_ = ::testing::internal::GetCapturedStdout();
    err_ = ::testing::internal::GetCapturedStderr();
    return status;
  }

  int judge(std::vector<std::string> more) {
    more.insert(more.begin(), {"--chain", "@chain.pem", "--ca", "@ca.pem"});
    return run(more);
  }

  TestAuthority root_{"root"};
  TestAuthority issuing_ = root_.intermediate("issuing");
  TestCertificate leaf_ = issuing_.issue("a.svc.test");
  std::filesystem::path directory_;
  std::string out_;
  std::string err_;
};

TEST_F(VerifyCommand, SaysOkAndNothingElse) {
  EXPECT_EQ(judge({}), 0);
  EXPECT_EQ(out_, "ok\n");
  EXPECT_EQ(err_, "");
  EXPECT_EQ(judge({"--name", "a.svc.test", "--crl", "@good.crl"}), 0);
  EXPECT_EQ(judge({"--name=b.svc.test", "--name=a.svc.test"}), 0);
  EXPECT_EQ(judge({"--crl", "@leaf-only.crl", "--crl", "@good.crl"}), 0);
}

TEST_F(VerifyCommand, SaysTheReasonOnOneStreamAndTheDetailOnTheOther) {
  EXPECT_EQ(judge({"--name", "b.svc.test"}), 1);
  EXPECT_EQ(out_, "name_mismatch\n");
  EXPECT_NE(err_.find("DNS:a.svc.test"), std::string::npos) << err_;
  EXPECT_EQ(judge({"--crl", "@revoked.crl"}), 1);
  EXPECT_EQ(out_, "revoked\n");
  EXPECT_EQ(judge({"--crl", "@leaf-only.crl"}), 1);
  EXPECT_EQ(out_, "crl_missing\n");
  EXPECT_EQ(judge({"--depth", "0"}), 1);
  EXPECT_EQ(out_, "chain_too_long\n");
}

TEST_F(VerifyCommand, JudgesAsOfTheTimeGiven) {
  EXPECT_EQ(judge({"--time", "2019-12-31T23:59:59Z"}), 1);
  EXPECT_EQ(out_, "not_yet_valid\n");
  EXPECT_EQ(judge({"--time", "2020-01-01T00:00:00Z"}), 0);
  EXPECT_EQ(judge({"--time", "2020-01-01T01:59:59.5+02:00"}), 1);
  EXPECT_EQ(judge({"--time", "2020-01-01t02:00:00+02:00"}), 0);
}

TEST_F(VerifyCommand, HasAWordForMaterialThatCanNotBeUsed) {
  write("torn.pem", root_.cert_pem().substr(0, 200));

  EXPECT_EQ(run({"--chain", "@chain.pem", "--ca", "@torn.pem"}), 1);
  EXPECT_EQ(out_, "bad_ca\n");
  EXPECT_NE(err_.find("torn.pem"), std::string::npos) << err_;
  EXPECT_EQ(run({"--chain", "@torn.pem", "--ca", "@ca.pem"}), 1);
  EXPECT_EQ(out_, "bad_certificate\n");
  EXPECT_EQ(judge({"--crl", "@ca.pem"}), 1);
  EXPECT_EQ(out_, "bad_crl\n");
}

TEST_F(VerifyCommand, IsUnusableWithoutReadableFiles) {
  EXPECT_EQ(judge({"--crl", "@none.crl"}), 2);
  EXPECT_NE(err_.find("none.crl"), std::string::npos) << err_;
  EXPECT_EQ(run({"--chain", "@chain.pem", "--ca", "@"}), 2);
  EXPECT_EQ(out_, "");
}

TEST_F(VerifyCommand, IsUnusableWithWrongArguments) {
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"--name"},
                                             {"--name", ""},
                                             {"--name="},
                                             {"--depth", "-1"},
                                             {"--depth", "four"},
                                             {"--depth", "4x"},
                                             {"--time", "yesterday"},
                                             {"--time", "2026-02-31T00:00:00Z"},
                                             {"--time", "2026-01-01T00:00:00"},
                                             {"--time", "2026-01-01T00:00:00+0200"},
                                             {"--verbose", "1"},
                                             {"stray"},
                                             {"--ca", "@ca.pem"}}) {
    EXPECT_EQ(judge(wrong), 2) << wrong.front();
    EXPECT_EQ(out_, "");
    EXPECT_NE(err_.find("usage:"), std::string::npos);
  }
  EXPECT_EQ(run({"--ca", "@ca.pem"}), 2);
}

TEST_F(VerifyCommand, ExplainsItself) {
  EXPECT_EQ(run({"--help"}), 0);
  EXPECT_NE(out_.find("usage: handfast verify"), std::string::npos);
}

}  // namespace
}  // namespace handfast
