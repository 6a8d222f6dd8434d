#include "proxy/route/route_table.h"

#include <gtest/gtest.h>

#include <random>

namespace handfast::route {
namespace {

using config::PathType;

struct Rule {
  PathType type;
  const char* path;
};

std::vector<config::Route> routes(std::initializer_list<Rule> rules) {
  std::vector<config::Route> made;
  for (const Rule& rule : rules) {
    config::Route route;
    route.type = rule.type;
    route.path = rule.path;
    made.push_back(route);
  }
  return made;
}

bool matches(PathType type, const char* rule, std::string_view path) {
  return RouteTable(routes({{type, rule}})).find(path) == 0;
}

struct Row {
  PathType type;
  const char* rule;
  const char* path;
  bool matches;
};

// The table of Kubernetes' Ingress documentation, "Examples", and its edges.
TEST(RouteTable, FollowsTheTableOfKubernetes) {
  constexpr auto kPrefix = PathType::Prefix;
  constexpr auto kExact = PathType::Exact;
  const Row rows[] = {
      {kPrefix, "/", "/", true},
      {kPrefix, "/", "/any/path", true},
      {kExact, "/foo", "/foo", true},
      {kExact, "/foo", "/bar", false},
      {kExact, "/foo", "/foo/", false},
      {kExact, "/foo/", "/foo", false},
      {kPrefix, "/foo", "/foo", true},
      {kPrefix, "/foo", "/foo/", true},
      {kPrefix, "/foo/", "/foo", true},
      {kPrefix, "/foo/", "/foo/", true},
      {kPrefix, "/aaa/bb", "/aaa/bbb", false},
      {kPrefix, "/aaa/bbb", "/aaa/bbb", true},
      {kPrefix, "/aaa/bbb/", "/aaa/bbb", true},
      {kPrefix, "/aaa/bbb", "/aaa/bbb/", true},
      {kPrefix, "/aaa/bbb", "/aaa/bbb/ccc", true},
      {kPrefix, "/aaa/bbb", "/aaa/bbbxyz", false},
      {kPrefix, "/foo", "/foobar", false},
      {kPrefix, "/foo", "/f", false},
      {kPrefix, "/foo", "/", false},
      {kPrefix, "/foo", "/Foo", false},
      {kExact, "/", "/", true},
      {kExact, "/", "/a", false},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(matches(row.type, row.rule, row.path), row.matches) << row.rule << " " << row.path;
  }
}

TEST(RouteTable, TheLongestPrefixWins) {
  const RouteTable table(routes(
      {{PathType::Prefix, "/"}, {PathType::Prefix, "/aaa"}, {PathType::Prefix, "/aaa/bbb"}}));

  EXPECT_EQ(table.find("/aaa/bbb/c"), 2u);
  EXPECT_EQ(table.find("/aaa/ccc"), 1u);
  EXPECT_EQ(table.find("/ccc"), 0u);
  EXPECT_EQ(table.find("/aaab"), 0u);
}

TEST(RouteTable, ExactComesBeforePrefixOfTheSamePath) {
  const RouteTable table(routes({{PathType::Prefix, "/foo"}, {PathType::Exact, "/foo"}}));

  EXPECT_EQ(table.find("/foo"), 1u);
  EXPECT_EQ(table.find("/foo/"), 0u);
  EXPECT_EQ(table.find("/foo/bar"), 0u);
}

// The cut at the longest rule must fall back to the element before, wherever it falls.
TEST(RouteTable, APathLongerThanEveryRuleIsCutAtAnElement) {
  const RouteTable table(routes({{PathType::Prefix, "/a"}, {PathType::Prefix, "/bbbb/c"}}));

  EXPECT_EQ(table.find("/a/xxxxxxxxxxxxxxxx"), 0u);
  EXPECT_EQ(table.find("/bbbb/cc/ddddddd"), RouteTable::kNone);
  EXPECT_EQ(table.find("/bbbb/c/ddddddd"), 1u);
  EXPECT_EQ(table.find("/zzzzzzzzzzzzzzzzzzzzz"), RouteTable::kNone);
}

TEST(RouteTable, AnEmptyOneMatchesNothing) {
  EXPECT_EQ(RouteTable({}).find("/"), RouteTable::kNone);
}

std::size_t slow_find(const std::vector<config::Route>& rules, std::string_view path) {
  std::size_t best = RouteTable::kNone;
  std::size_t best_size = 0;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    std::string rule = rules[i].path;
    if (rules[i].type == PathType::Exact) {
      if (rule == path) return i;
      continue;
    }
    while (!rule.empty() && rule.back() == '/') rule.pop_back();
    const bool fits =
        path.starts_with(rule) && (path.size() == rule.size() || path[rule.size()] == '/');
    if (fits && (best == RouteTable::kNone || rule.size() > best_size)) {
      best = i;
      best_size = rule.size();
    }
  }
  return best;
}

TEST(RouteTable, AgreesWithAPlainSearchOverManySeeds) {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto random_path = [&] {
      std::string path;
      for (auto n = random() % 4; n > 0; --n) {
        path += "/";
        for (auto m = 1 + random() % 3; m > 0; --m) path += "ab"[random() % 2];
      }
      return path.empty() || random() % 4 == 0 ? path + "/" : path;
    };
    std::vector<config::Route> rules(1 + random() % 8);
    for (auto& rule : rules) {
      rule.path = random_path();
      rule.type = random() % 3 == 0 ? PathType::Exact : PathType::Prefix;
    }
    // Two prefixes that differ only in a trailing slash are one rule; the first is kept by both.
    const RouteTable table(rules);
    for (int i = 0; i < 40; ++i) {
      const std::string path = random_path();
      ASSERT_EQ(table.find(path), slow_find(rules, path)) << path;
    }
  }
}

}  // namespace
}  // namespace handfast::route
