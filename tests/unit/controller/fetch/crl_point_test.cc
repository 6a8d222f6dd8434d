#include "controller/fetch/crl_point.h"

#include <gtest/gtest.h>

namespace handfast::fetch {
namespace {

TEST(CrlPoint, IsAFileAndAUrl) {
  const auto point = parse_crl_point("/etc/ca.crt=http://crl.example:8080/a=b.crl?c=d");

  ASSERT_TRUE(point);
  EXPECT_EQ(point->ca_file, "/etc/ca.crt");
  EXPECT_EQ(point->url, "http://crl.example:8080/a=b.crl?c=d");
}

TEST(CrlPoint, IsNothingElse) {
  for (const char* text :
       {"", "http://crl.example/a", "=http://crl.example/a", "ca.crt=", "ca.crt=crl.example/a",
        "ca.crt=ftp://crl.example/a", "ca.crt=https://crl.example/a", "ca.crt=http:///a",
        "ca.crt=http://crl.example", "ca.crt=http://[::1]/a", "ca.crt=http://me@crl.example/a",
        "ca.crt=http://crl.example/a b", "ca.crt=http://crl.example/a#b"}) {
    const auto point = parse_crl_point(text);
    ASSERT_FALSE(point) << text;
    EXPECT_EQ(point.error().reason, Reason::InvalidValue);
  }
}

}  // namespace
}  // namespace handfast::fetch
