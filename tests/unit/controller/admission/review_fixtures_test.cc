// Every file of tests/fixtures/admission/*.yaml is a case: what is asked, the object, and what is
// in the cluster already. The .txt beside it is what must come out; UPDATE_FIXTURES=1 rewrites it.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "controller/admission/review.h"
#include "controller/objects/decode.h"
#include "controller/objects/json_reader.h"
#include "controller/translate/flags.h"
#include "proxy/base/options.h"
#include "tests/support/test_authority.h"
#include "tests/unit/controller/admission/support.h"

namespace handfast::admission::testing {
namespace {

namespace fs = std::filesystem;
using handfast::testing::kYear2026;
using objects::Value;

std::vector<std::string> list_cases() {
  std::vector<std::string> cases;
  for (const auto& entry : fs::directory_iterator{HANDFAST_FIXTURES}) {
    if (entry.path().extension() == ".yaml") cases.push_back(entry.path().stem().string());
  }
  std::sort(cases.begin(), cases.end());
  return cases;
}

std::string read_file(const fs::path& path) {
  std::ifstream file{path};
  return {std::istreambuf_iterator<char>{file}, {}};
}

translate::Options read_options(const Value& settings) {
  OptionSet set{"test", "test"};
  translate::add_flags(set);
  std::vector<std::string> words{"test"};
  if (const Value* flags = settings.find("flags")) {
    for (const Value& each : flags->list) words.push_back(each.scalar);
  }
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  const auto parsed = set.parse(static_cast<int>(argv.size()), argv.data(), nullptr);
  EXPECT_TRUE(parsed.has_value()) << parsed.error();
  auto options = translate::read_flags(*parsed);
  EXPECT_TRUE(options.has_value()) << options.error();
  return *options;
}

std::string more_of(const Value& settings) {
  std::string more;
  if (const Value* before = settings.find("before")) more += R"(,"oldObject":)" + to_json(*before);
  if (const Value* kind = settings.find("kind")) more += R"(,"kind":)" + to_json(*kind);
  if (const Value* sub = settings.find("subResource")) {
    more += R"(,"subResource":)" + to_json(*sub);
  }
  return more;
}

// Lines for a person to look at: the verdict, the message's lines, the warnings.
std::string text_of(const Answer& answer) {
  objects::JsonReader reader{answer.json, 1};
  auto document = reader.next();
  EXPECT_TRUE(document.has_value()) << document.error() << "\n" << answer.json;
  const Value* response = document->find("response");
  EXPECT_EQ(response->find("uid")->scalar, "u-1");
  std::string text(answer.kind);
  text += ' ' + std::string(answer.result) + '\n';
  EXPECT_EQ(response->find("allowed")->scalar, answer.result == "denied" ? "false" : "true");
  if (const Value* status = response->find("status")) {
    text += status->find("code")->scalar + ": " + status->find("message")->scalar + '\n';
  }
  if (const Value* warnings = response->find("warnings")) {
    for (const Value& warning : warnings->list) {
      EXPECT_LE(warning.scalar.size(), 120U) << warning.scalar;
      text += "warning: " + warning.scalar + '\n';
    }
  }
  return text;
}

class AdmissionFixture : public ::testing::TestWithParam<std::string> {};

TEST_P(AdmissionFixture, GivesTheExpectedAnswer) {
  const fs::path path = fs::path{HANDFAST_FIXTURES} / (GetParam() + ".yaml");
  std::vector<Value> documents = read_yaml(read_file(path));
  ASSERT_GE(documents.size(), 2U);
  const translate::Options options = read_options(documents[0]);
  Index index{options, Index::Told::All};
  for (std::size_t i = 2; i < documents.size(); ++i) {
    for (const auto& object : objects::decode(documents[i], {}).objects) index.apply(object);
  }
  const Judge judge{options, index, stand_ins()};

  const auto answer =
      review(review_of(documents[0].find("operation")->scalar, documents[1], more_of(documents[0])),
             judge, kYear2026);

  ASSERT_TRUE(answer.has_value()) << answer.error();
  const std::string text = text_of(*answer);
  const fs::path expected = fs::path{path}.replace_extension(".txt");
  if (std::getenv("UPDATE_FIXTURES") != nullptr) {
    std::ofstream{expected} << text;
  } else {
    EXPECT_EQ(text, read_file(expected)) << "in " << expected;
  }
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Cases, AdmissionFixture, ::testing::ValuesIn(list_cases()), test_name);

}  // namespace
}  // namespace handfast::admission::testing
