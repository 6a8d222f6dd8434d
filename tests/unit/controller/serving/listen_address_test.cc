#include "controller/serving/listen_address.h"

#include <gtest/gtest.h>

namespace handfast::serving {
namespace {

TEST(ListenAddress, IsAHostAndAPort) {
  EXPECT_EQ(try_listen_address("127.0.0.1:10254")->host, "127.0.0.1");
  EXPECT_EQ(try_listen_address(":10254")->host, "0.0.0.0");
  EXPECT_EQ(try_listen_address("[::1]:10254")->host, "::1");
  EXPECT_EQ(try_listen_address("[::1]:10254")->port, "10254");
}

TEST(ListenAddress, IsNothingElse) {
  for (const char* text :
       {"", "10254", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", ":65536", "127.0.0.1:1x", "::1:80",
        "a/b:80", "user@host:80", "a b:80", "[]:80", "[h]:80", "[:80"}) {
    EXPECT_FALSE(try_listen_address(text)) << text;
  }
}

}  // namespace
}  // namespace handfast::serving
