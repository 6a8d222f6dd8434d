// tests/fixtures/crd: what the CRD's schema accepts and rejects, our own decoder accepts and
// rejects too. The first line of a rejected one names the field.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/unit/controller/objects/decode_yaml.h"

namespace handfast::objects {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> list_files(const char* folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator{fs::path{HANDFAST_CRD_FIXTURES} / folder}) {
    files.push_back(entry.path().stem().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string read_file(const std::string& folder, const std::string& name) {
  std::ifstream file{fs::path{HANDFAST_CRD_FIXTURES} / folder / (name + ".yaml")};
  return {std::istreambuf_iterator<char>{file}, {}};
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

class AcceptedPolicy : public ::testing::TestWithParam<std::string> {};

TEST_P(AcceptedPolicy, HasNoFault) {
  const Decoded decoded = decode_yaml(read_file("accept", GetParam()));

  const auto* policy = only<UpstreamTlsPolicy>(decoded);
  ASSERT_NE(policy, nullptr);
  EXPECT_TRUE(decoded.problems.empty());
  EXPECT_FALSE(policy->fault) << policy->fault->field << ": " << policy->fault->error;
}

class RejectedPolicy : public ::testing::TestWithParam<std::string> {};

TEST_P(RejectedPolicy, HasTheFault) {
  const std::string text = read_file("reject", GetParam());
  const Decoded decoded = decode_yaml(text);

  ASSERT_TRUE(text.starts_with("# "));
  const std::string field = text.substr(2, text.find('\n') - 2);
  // Without any target it is a document that can't be read; else it stands in their way.
  if (const auto* policy = only<UpstreamTlsPolicy>(decoded)) {
    ASSERT_TRUE(policy->fault);
    EXPECT_EQ(policy->fault->field, field) << policy->fault->error;
    EXPECT_FALSE(policy->targets.empty());
  } else {
    ASSERT_EQ(decoded.problems.size(), 1U);
    EXPECT_EQ(decoded.problems[0].field, field) << decoded.problems[0].error;
  }
}

INSTANTIATE_TEST_SUITE_P(Crd, AcceptedPolicy, ::testing::ValuesIn(list_files("accept")), test_name);
INSTANTIATE_TEST_SUITE_P(Crd, RejectedPolicy, ::testing::ValuesIn(list_files("reject")), test_name);

}  // namespace
}  // namespace handfast::objects
