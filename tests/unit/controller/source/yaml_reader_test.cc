#include "controller/source/yaml_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace handfast::source {
namespace {

using objects::Value;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Read {
  std::vector<Value> documents;
  std::vector<std::string> problems;
  std::vector<int> lines;  // of the problems
};

Read read(std::string_view text) {
  Read out;
  read_documents(text, [&](Result<Value> document, int line) {
    if (document) {
      out.documents.push_back(std::move(*document));
    } else {
      out.problems.push_back(document.error().detail);
      out.lines.push_back(line);
    }
  });
  return out;
}

std::string problem(std::string_view text) {
  const Read out = read(text);
  return out.problems.empty() ? std::string() : out.problems[0];
}

std::string repeat(std::string_view text, std::size_t count) {
  std::string out;
  for (std::size_t n = 0; n < count; ++n) out += text;
  return out;
}

TEST(YamlReader, ReadsAllDocumentsWithTheirLines) {
  const Read out = read("# comment\na: 1\n---\n---\n\nb: 2\n...\n---\nc: 3\n---\n");

  ASSERT_EQ(out.documents.size(), 3U);
  EXPECT_EQ(out.documents[0].line, 2);
  EXPECT_EQ(out.documents[1].line, 6);
  EXPECT_EQ(out.documents[2].line, 9);
  EXPECT_TRUE(out.problems.empty());
}

TEST(YamlReader, ReadsADocumentAfterItsDirective) {
  const Read out = read("%YAML 1.2\n---\na: 1\n...\n%YAML 1.2\n---\nb: 2\n");

  EXPECT_EQ(out.documents.size(), 2U);
  EXPECT_TRUE(out.problems.empty());
}

TEST(YamlReader, TellsQuotedFromPlain) {
  const Read out = read("a: on\nb: \"on\"\nc: 'on'\nd: |\n  on\ne: !!str on\nf: ~\n");

  ASSERT_EQ(out.documents.size(), 1U);
  const Value& root = out.documents[0];
  EXPECT_FALSE(root.find("a")->quoted);
  EXPECT_TRUE(root.find("b")->quoted);
  EXPECT_TRUE(root.find("c")->quoted);
  EXPECT_TRUE(root.find("d")->quoted);
  EXPECT_TRUE(root.find("e")->quoted);
  EXPECT_TRUE(root.find("f")->is_null());
}

TEST(YamlReader, ABrokenDocumentHurtsNoOther) {
  const Read out = read("a: 1\n---\nb: [\n---\nc: 3\n");

  EXPECT_EQ(out.documents.size(), 2U);
  ASSERT_EQ(out.problems.size(), 1U);
  EXPECT_THAT(out.problems[0], HasSubstr("is not YAML: "));
}

TEST(YamlReader, SaysLineAndColumnOfAMistake) {
  const Read out = read("a: 1\n---\nb: 2\n  c: 3\n");

  ASSERT_EQ(out.lines, std::vector<int>{4});
  EXPECT_THAT(out.problems[0], HasSubstr("4:4: is not YAML"));
}

TEST(YamlReader, ReadsJsonAsWell) {
  const Read out = read("\n{\"a\": \"\\ud83d\\ude00\"}\n{\"b\": 1}\n---\n{c: flow}\n");

  ASSERT_EQ(out.documents.size(), 3U);
  EXPECT_EQ(out.documents[0].find("a")->scalar, "\xf0\x9f\x98\x80");
  EXPECT_EQ(out.documents[0].line, 2);
  EXPECT_EQ(out.documents[2].find("c")->scalar, "flow");
}

TEST(YamlReader, RefusesDuplicateKeys) {
  EXPECT_EQ(problem("a: 1\nb: 2\na: 3\n"), "3:1: the key a is there twice");
  EXPECT_EQ(problem("{a: 1, b: {c: 1, c: 2}}\n"), "1:18: the key c is there twice");
  EXPECT_THAT(problem("{\"a\": 1, \"a\": 2}"), HasSubstr("the key a is there twice"));
}

TEST(YamlReader, RefusesKeysThatAreNoStringsAndTagsItDoesNotKnow) {
  EXPECT_THAT(problem("? [a]\n: b\n"), HasSubstr("a key must be a string"));
  EXPECT_THAT(problem("a: !!binary AAAA\n"), HasSubstr("is not supported"));
  EXPECT_THAT(problem("a: !secret {b: c}\n"), HasSubstr("is not supported"));
}

TEST(YamlReader, ExpandsAliases) {
  const Read out = read("a: &x {k: v}\nb: *x\nc: &y s\nd: [*y, *y]\n");

  ASSERT_EQ(out.documents.size(), 1U);
  EXPECT_EQ(out.documents[0].find("b")->find("k")->scalar, "v");
  EXPECT_EQ(out.documents[0].find("d")->list[1].scalar, "s");
}

TEST(YamlReader, MergesMapsAsKubernetesDoes) {
  const Read out =
      read("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], a: 3}\nq: {'<<': 1}\n");

  ASSERT_EQ(out.documents.size(), 1U);
  const Value* z = out.documents[0].find("z");
  EXPECT_EQ(z->map.size(), 3U);
  EXPECT_EQ(z->find("a")->scalar, "3");
  EXPECT_EQ(z->find("b")->scalar, "1");
  EXPECT_EQ(z->find("c")->scalar, "2");
  EXPECT_NE(out.documents[0].find("q")->find("<<"), nullptr);
  EXPECT_THAT(problem("a: {<<: 1}\n"), HasSubstr("<< must be given a map"));
}

TEST(YamlReader, RefusesABillionLaughs) {
  std::string nodes = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  std::string bytes =
      "a0: &a0 " + std::string(1'000'000, 'x') + "\nb: [" + repeat("*a0,", 100) + "]\n";
  for (int n = 1; n < 20; ++n) {
    const std::string before = "*a" + std::to_string(n - 1);
    nodes += "a" + std::to_string(n) + ": &a" + std::to_string(n) + " [" + repeat(before + ",", 9) +
             before + "]\n";
  }

  EXPECT_THAT(problem(nodes), HasSubstr("anchors and aliases repeat too much"));
  EXPECT_THAT(problem(bytes), HasSubstr("anchors and aliases repeat too much"));
}

TEST(YamlReader, TheBudgetOfAliasesIsThatOfTheWholeText) {
  const std::string document =
      "---\na: &a " + std::string(200'000, 'x') + "\nb: [" + repeat("*a,", 20) + "]\n";

  const Read out = read(repeat(document, 10));

  EXPECT_EQ(out.documents.size(), 3U);
  EXPECT_EQ(out.problems.size(), 7U);
}

TEST(YamlReader, RefusesAnAliasToWhatItStandsIn) {
  EXPECT_THAT(problem("a: &x [*x]\n"), HasSubstr("an alias inside the value that it names"));
}

TEST(YamlReader, RefusesDeepNestingInEveryForm) {
  EXPECT_EQ(problem(repeat("[", 63) + "a" + repeat("]", 63) + "\n"), "");
  for (const std::size_t depth : {65U, 1'000U, 400'000U}) {
    EXPECT_THAT(problem(repeat("[", depth)), HasSubstr("is nested too deeply")) << depth;
    EXPECT_THAT(problem(repeat("- ", depth) + "a"), HasSubstr("is nested too deeply")) << depth;
  }
  EXPECT_THAT(problem(repeat("{a: ", 100'000)), HasSubstr("is nested too deeply"));
  EXPECT_THAT(problem(repeat("? ", 100'000)), HasSubstr("is nested too deeply"));
  const std::string thirty = repeat("[", 30) + "x" + repeat("]", 30);
  EXPECT_THAT(problem("a: &a " + thirty + "\nb: &b " + repeat("[", 30) + "*a" + repeat("]", 30) +
                      "\nc: [[[[*b]]]]\n"),
              HasSubstr("is nested too deeply"));
}

TEST(YamlReader, RefusesAFlowCollectionThatItWouldHaveToHoldAsTokens) {
  EXPECT_THAT(problem("[" + repeat("'a',", 200'000) + "]"),
              HasSubstr("holds too many values at one place"));
}

TEST(YamlReader, ReadsLongValues) {
  const std::string line = "    " + repeat("QUJD", 16) + "\n";
  const std::string text =
      "a: |\n" + repeat(line, 40'000) + "b: " + std::string(1 << 20, 'x') + "\n";

  const Read out = read(text);

  ASSERT_EQ(out.documents.size(), 1U);
  EXPECT_EQ(out.documents[0].find("a")->scalar.size(), 40'000U * 65);
  EXPECT_EQ(out.documents[0].find("b")->scalar.size(), std::size_t{1} << 20);
}

TEST(YamlReader, RefusesBytesThatYamlCppWouldChangeWithoutAWord) {
  EXPECT_EQ(problem("a: b\nc: \xff\n"), "2:4: is not UTF-8");
  EXPECT_EQ(problem("\xff\xfe"
                    "a"),
            "1:1: is not UTF-8");
  EXPECT_EQ(problem("a: \xed\xa0\x80\n"), "1:4: is not UTF-8");
  EXPECT_EQ(problem("a: \xc0\x80\n"), "1:4: is not UTF-8");
  EXPECT_EQ(problem(std::string_view("a: \0b\n", 6)), "1:4: holds a control character");
  EXPECT_EQ(problem("a: \x04"
                    "b\n"),
            "1:4: holds a control character");
  EXPECT_EQ(problem("a: \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n"), "");
  EXPECT_EQ(problem("\xef\xbb\xbf"
                    "a: b\r\n"),
            "");
}

TEST(YamlReader, RefusesWhatFollowsTheDocument) {
  EXPECT_NE(problem("{a: b} c\n"), "");
  EXPECT_NE(problem("[a]\n{b: c}\n"), "");
}

}  // namespace
}  // namespace handfast::source
