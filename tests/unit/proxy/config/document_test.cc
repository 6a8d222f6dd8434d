#include "proxy/config/document.h"

#include <gtest/gtest.h>

namespace handfast::config {
namespace {

std::string repeat(std::string_view text, std::size_t count) {
  std::string all;
  all.reserve(text.size() * count);
  for (std::size_t i = 0; i < count; ++i) all += text;
  return all;
}

TEST(Document, KeepsOrderLinesAndQuotes) {
  const auto document = parse_document("b: \"1\"\na: [x, 2]\n");

  ASSERT_TRUE(document) << document.error();
  ASSERT_EQ(document->map.size(), 2u);
  EXPECT_EQ(document->map[0].first, "b");
  EXPECT_TRUE(document->map[0].second.quoted);
  EXPECT_EQ(document->map[1].second.line, 2);
  ASSERT_EQ(document->map[1].second.list.size(), 2u);
  EXPECT_FALSE(document->map[1].second.list[1].quoted);
}

TEST(Document, ReadsJson) {
  const auto document = parse_document(R"({"a": [1, true, null, "x\u00e9\n"], "b": {}})");

  ASSERT_TRUE(document) << document.error();
  const Node& list = document->map[0].second;
  ASSERT_EQ(list.list.size(), 4u);
  EXPECT_EQ(list.list[2].kind, Node::Kind::Null);
  EXPECT_EQ(list.list[3].scalar, "x\xc3\xa9\n");
}

class TooDeep : public ::testing::TestWithParam<std::string> {};

TEST_P(TooDeep, IsRefusedWithoutRecursingIntoIt) {
  const auto document = parse_document(GetParam());

  ASSERT_FALSE(document);
  EXPECT_EQ(document.error().reason, Reason::BadYaml);
  EXPECT_NE(document.error().detail.find("nested too deeply"), std::string::npos)
      << document.error();
}

std::string staircase(std::size_t steps) {
  std::string text;
  for (std::size_t i = 0; i < steps; ++i) text += std::string(i, ' ') + "a:\n";
  return text;
}

INSTANTIATE_TEST_SUITE_P(Forms, TooDeep,
                         ::testing::Values(repeat("[", 100'000), repeat("{a: ", 100'000),
                                           repeat("- ", 100'000), repeat("? ", 100'000),
                                           repeat("[a: ", 100'000), staircase(1000), staircase(40),
                                           repeat("- ", 40) + "x",
                                           "a: 'it''s' \nb: " + repeat("[", 33) + repeat("]", 33)));

TEST(Document, TakesThirtyTwoLevels) {
  const auto document = parse_document(repeat("[", 32) + repeat("]", 32));

  EXPECT_TRUE(document) << document.error();
}

TEST(Document, DoesNotCountBracketsInQuotes) {
  const auto document = parse_document("a: \"" + repeat("[", 100) + "\"\nb: '" + repeat("{", 100) +
                                       "' # " + repeat("[", 100));

  EXPECT_TRUE(document) << document.error();
}

class Refused : public ::testing::TestWithParam<std::string> {};

TEST_P(Refused, IsAnErrorAndNotAnException) {
  const auto document = parse_document(GetParam());

  ASSERT_FALSE(document);
  EXPECT_EQ(document.error().reason, Reason::BadYaml);
  EXPECT_FALSE(document.error().detail.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Texts, Refused,
    ::testing::Values(std::string(), std::string("a: 1\na: 2\n"), std::string("a: &x 1\nb: *x\n"),
                      std::string("a: !!int 1\n"), std::string("a: 1\n---\nb: 2\n"),
                      std::string("[1]: 2\n"), std::string("a: \"open"), std::string("a: b: c\n"),
                      std::string("a: 1\n\x04"
                                  "b: 2\n"),
                      std::string("a: \0 1\n", 8), std::string("\"\\ud83d\\ude00\""),
                      std::string("\t- a\n\tb"), std::string(kMaxDocumentBytes + 1, ' '),
                      "[" + repeat("a,", kMaxDocumentNodes + 1) + "]"));

}  // namespace
}  // namespace handfast::config
