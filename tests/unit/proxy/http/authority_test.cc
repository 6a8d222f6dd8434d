#include "proxy/http/authority.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace handfast::http {
namespace {

void expect_read(std::string_view text, std::string_view host, std::string_view port) {
  const auto authority = parse_authority(text);
  ASSERT_TRUE(authority.has_value()) << text;
  EXPECT_EQ(authority->host, host);
  EXPECT_EQ(authority->port, port);
  EXPECT_EQ(authority->text,
            port.empty() ? std::string(host) : std::string(host) + ":" + std::string(port));
}

void expect_refused(std::string_view text) {
  EXPECT_FALSE(parse_authority(text).has_value()) << text;
}

TEST(Authority, ReadsNames) {
  expect_read("a", "a", "");
  expect_read("Shop.Example", "Shop.Example", "");
  expect_read("a.b.:80", "a.b.", "80");
  expect_read("xn--bcher-kva.example:65535", "xn--bcher-kva.example", "65535");
  expect_read("under_score~1:1", "under_score~1", "1");
  expect_read("192.0.2.7:8080", "192.0.2.7", "8080");
  expect_read(std::string(255, 'a'), std::string(255, 'a'), "");
}

TEST(Authority, ReadsAddressesInBrackets) {
  expect_read("[::]", "[::]", "");
  expect_read("[2001:db8::1]:443", "[2001:db8::1]", "443");
  expect_read("[::ffff:192.0.2.7]", "[::ffff:192.0.2.7]", "");
  expect_read("[ABCD:EF01:2345:6789:ABCD:EF01:2345:6789]",
              "[ABCD:EF01:2345:6789:ABCD:EF01:2345:6789]", "");
  expect_read("[ABCD:EF01:2345:6789:ABCD:EF01:100.100.100.100]:1",
              "[ABCD:EF01:2345:6789:ABCD:EF01:100.100.100.100]", "1");
}

TEST(Authority, AnEmptyPortIsNone) {
  expect_read("a:", "a", "");
  expect_read("a.b.:", "a.b.", "");
  expect_read("[::1]:", "[::1]", "");
  expect_refused("a::");
}

TEST(Authority, RefusesBytesThatAreNoName) {
  for (const std::string_view mark :
       {" ", "\t", "@", "/", "\\", "?",  "#", "%", "!", "$", "&", "'",    "(",    ")", "*", "+",
        ",", ";",  "=", "<", ">",  "\"", "|", "^", "`", "{", "}", "\x7f", "\x80", "[", "]"}) {
    expect_refused(std::string("a").append(mark).append("b"));
    expect_refused(std::string(mark).append("b"));
    expect_refused(std::string("b").append(mark));
  }
  expect_refused(std::string("a\0b", 3));
}

TEST(Authority, RefusesEmptyNamesAndLabels) {
  expect_refused("");
  expect_refused(":80");
  expect_refused(".");
  expect_refused(".a");
  expect_refused("a..b");
  expect_refused("a..");
  expect_refused(std::string(256, 'a'));
}

TEST(Authority, RefusesBadPorts) {
  for (const std::string_view port : {"0", "00", "080", "65536", "99999", "100000", "-1", "+1",
                                      "1 ", "0x1", "80a", "80:80", "18446744073709551617"}) {
    expect_refused(std::string("a:").append(port));
    expect_refused(std::string("[::1]:").append(port));
  }
}

TEST(Authority, RefusesBracketsWithoutAnAddress) {
  expect_refused("[");
  expect_refused("[]");
  expect_refused("[::1");
  expect_refused("::1");
  expect_refused("[::1]a");
  expect_refused("[::1]]");
  expect_refused("[[::1]]");
  expect_refused("[:::1]");
  expect_refused("[1:2]");
  expect_refused("[192.0.2.7]");
  expect_refused("[fe80::1%25eth0]");
  expect_refused("[fe80::1%eth0]");
  expect_refused("[v1.x]");
  expect_refused("[a.example]");
  expect_refused("[" + std::string(400, ':') + "]");
  expect_refused(std::string("[::1\0]", 6));
}

}  // namespace
}  // namespace handfast::http
