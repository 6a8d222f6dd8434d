#include "proxy/http/path.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace handfast::http {
namespace {

void expect_normal(std::string_view path, std::string_view normal) {
  std::string scratch = "left from before";
  const auto result = normalise_path(path, scratch);
  ASSERT_TRUE(result.has_value()) << path;
  EXPECT_EQ(*result, normal) << path;
}

void expect_same(std::string_view path) {
  std::string scratch;
  const auto result = normalise_path(path, scratch);
  ASSERT_TRUE(result.has_value()) << path;
  EXPECT_EQ(*result, path);
  EXPECT_EQ(result->data(), path.data()) << path << " was copied";
}

void expect_refused(std::string_view path) {
  std::string scratch;
  EXPECT_FALSE(normalise_path(path, scratch).has_value()) << path;
}

TEST(NormalisePath, ReturnsAPathThatIsNormalUncopied) {
  for (const std::string_view path :
       {"/", "/a", "/a/", "/a/b.c", "/.well-known/x", "/..a", "/a..", "/...", "/a/.b/..c/d.",
        "/a+b", "/a;b=c", "/~user", "/a:b", "/caf\xc3\xa9", "/a\\..\\b"}) {
    expect_same(path);
  }
}

TEST(NormalisePath, DecodesEscapesOnce) {
  expect_normal("/%61b", "/ab");
  expect_normal("/a%20b", "/a b");
  expect_normal("/%C3%a9", "/\xc3\xa9");
  expect_normal("/%2561", "/%61");
  expect_normal("/%252e%252e/a", "/%2e%2e/a");
  expect_normal("/a%3Fb", "/a?b");
  expect_normal("/a%23", "/a#");
  expect_normal("/a%ff", "/a\xff");
}

TEST(NormalisePath, MergesSlashes) {
  expect_normal("//", "/");
  expect_normal("//a///b//", "/a/b/");
  expect_normal("/a%2Fb", "/a/b");
  expect_normal("/a/%2fb", "/a/b");
  expect_normal("/%2F", "/");
}

TEST(NormalisePath, RemovesDotSegments) {
  expect_normal("/.", "/");
  expect_normal("/./", "/");
  expect_normal("/a/.", "/a/");
  expect_normal("/a/./b", "/a/b");
  expect_normal("/a/..", "/");
  expect_normal("/a/../", "/");
  expect_normal("/a/../b", "/b");
  expect_normal("/a/b/..", "/a/");
  expect_normal("/a/b/../../c", "/c");
  expect_normal("/a/b/c/../../d/./../e", "/a/e");
  expect_normal("/a//../b", "/b");
  expect_normal("/a/b//..//c", "/a/c");
}

TEST(NormalisePath, RemovesDotSegmentsThatAreEscaped) {
  expect_normal("/a/%2e%2e/b", "/b");
  expect_normal("/a/.%2E/b", "/b");
  expect_normal("/a/%2e/b", "/a/b");
  expect_normal("/a%2f..%2fb", "/b");
  expect_normal("/public/%2e%2e%2fadmin", "/admin");
}

TEST(NormalisePath, RefusesToClimbAboveTheRoot) {
  expect_refused("/..");
  expect_refused("/../");
  expect_refused("/../a");
  expect_refused("/a/../..");
  expect_refused("/a/../../b");
  expect_refused("//..");
  expect_refused("/./..");
  expect_refused("/%2e%2e");
  expect_refused("/%2e./a");
  expect_refused("/a/..%2f..%2fb");
}

TEST(NormalisePath, RefusesBrokenEscapesAndNul) {
  expect_refused("/%");
  expect_refused("/%2");
  expect_refused("/a%");
  expect_refused("/%zz");
  expect_refused("/%2g");
  expect_refused("/%g2");
  expect_refused("/%%30");
  expect_refused("/%00");
  expect_refused("/a%00b");
  expect_refused("/%u0041");
}

TEST(NormalisePath, RefusesWhatIsNoPath) {
  expect_refused("");
  expect_refused("*");
  expect_refused("a/b");
  expect_refused("%2fa");
}

TEST(NormalisePath, IsTheSameWhenRepeatedUnlessAnEscapeWasEscaped) {
  for (const std::string_view path : {"/a/../b//c/%20/./d", "/x/y/z/../../%41", "//a//b/.."}) {
    std::string scratch;
    const std::string once(normalise_path(path, scratch).value());

    expect_same(once);
  }
}

}  // namespace
}  // namespace handfast::http
