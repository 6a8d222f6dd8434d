#include "proxy/config/own_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "proxy/config/text.h"
#include "tests/unit/proxy/config/samples.h"

namespace handfast::config {
namespace {

std::vector<std::string> own_texts() {
  VirtualHost host;
  host.host = "shop.example";
  host.certificate = testing::sample_pair();
  host.client = testing::sample_client();
  host.routes = {testing::sample_route(), testing::sample_route()};
  host.routes[1].refused = Refusal{Reason::InvalidValue, "a \"quoted\" back\\slash: - # {}"};
  Service service;
  service.name = "shop/api:443";
  service.endpoints = {{"10.0.0.1", 8443}, {"2001:db8::1", 8443, false}};
  Service none;
  none.name = "shop/none:443";
  Index index;
  index.generation = 7;
  index.buckets[3] = std::string(64, 'a');
  return {serialize(Shard{host}),
          serialize(Shard{service}),
          serialize(Shard{none}),
          serialize(Shard{testing::sample_policy()}),
          serialize(Shard{testing::full_policy()}),
          serialize(Shard{Front{}}),
          serialize(Bucket{{"host/", std::string(64, 'b')}, {"tls/a/b/c:1", std::string(64, 'c')}}),
          serialize(Bucket{}),
          serialize(index)};
}

void expect_same_tree(const std::string& text) {
  const auto own = try_read_own(text);
  if (!own) return;
  const auto tree = parse_yaml(text);
  ASSERT_TRUE(tree) << tree.error() << "\n" << text;
  EXPECT_TRUE(*own == *tree) << text;
}

TEST(OwnText, ReadsWhatWeWrite) {
  for (const std::string& text : own_texts()) {
    EXPECT_TRUE(try_read_own(text)) << text;
    expect_same_tree(text);
  }
}

TEST(OwnText, LeavesOtherYamlToTheLibrary) {
  for (const char* text : {"",
                           "a",
                           "a: 1",
                           "a: null\n",
                           "a: ~\n",
                           "a: word\n",
                           "a: 'x'\n",
                           "a: 1 # comment\n",
                           "# comment\na: 1\n",
                           "{a: 1}\n",
                           "- 1\n",
                           "a: [1]\n",
                           "a: \"\\u0041\"\n",
                           "a: \"x\ny\"\n",
                           "a:\n",
                           "a:\nb: 1\n",
                           "a:\n    b: 1\n",
                           "a: &x 1\n",
                           "a: !t 1\n",
                           "null: 1\n",
                           "a: 1\na: 2\n",
                           "a:\n- b: 1\n",
                           "a: 1\n---\nb: 2\n",
                           "a: 1\r\n",
                           "a:  1\n",
                           "a: \"\xc3\xa9\"\n",
                           "a: 1\n\nb: 2\n",
                           "a: 0x10\n",
                           "a: 1.5\n",
                           "a: -\n",
                           "? a\n: 1\n"}) {
    EXPECT_FALSE(try_read_own(text)) << text;
  }
}

TEST(OwnText, WhateverItTakesTheLibraryReadsAsTheSame) {
  for (const std::string& text : own_texts()) {
    for (std::size_t at = 0; at < text.size(); at += 7) {
      for (const char c : {' ', '\n', '"', ':', '-', '\\', '0', '[', '#'}) {
        std::string other = text;
        other[at] = c;
        expect_same_tree(other);
      }
      expect_same_tree(text.substr(0, at) + "\n");
      expect_same_tree(text.substr(0, at) + text.substr(at + 1));
    }
  }
}

TEST(OwnText, PassesNoLimitOfTheLibrary) {
  for (const std::size_t length : {500U, 512U, 600U}) {
    std::string escaped;
    for (std::size_t i = 0; i < length; ++i) escaped += "\\\"";
    expect_same_tree("\"" + escaped + "\": 1\n");
  }
  std::string many = "a: [\"\"";
  for (std::size_t i = 0; i < kMaxDocumentNodes; ++i) many += ", \"\"";
  EXPECT_FALSE(try_read_own(many + "]\n"));
}

TEST(OwnText, BoundsItsDepth) {
  std::string text;
  for (std::size_t i = 0; i < 40; ++i) text += std::string(2 * i, ' ') + "a:\n";
  text += std::string(80, ' ') + "a: 1\n";

  EXPECT_FALSE(try_read_own(text));
}

}  // namespace
}  // namespace handfast::config
