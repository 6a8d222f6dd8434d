#include "controller/serving/listen_address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace handfast::serving {
namespace {

TEST(ListenAddress, IsAHostAndAPort) {
  EXPECT_EQ(try_listen_address("127.0.0.1:10254")->host, "127.0.0.1");
  EXPECT_EQ(try_listen_address(":10254")->host, "");
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

bool connects(const sockaddr* address, socklen_t length) {
  const UniqueFd fd{::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  return ::connect(fd.get(), address, length) == 0;
}

TEST(ListenOn, NoHostIsBothFamiliesWhereThereAreBoth) {
  const auto socket = listen_on(ListenAddress{"", "0"});
  ASSERT_TRUE(socket) << socket.error();
  sockaddr_in6 own{};
  socklen_t length = sizeof own;
  ASSERT_EQ(::getsockname(socket->get(), reinterpret_cast<sockaddr*>(&own), &length), 0);

  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = own.sin6_port;  // at the same place in either form
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_TRUE(connects(reinterpret_cast<const sockaddr*>(&v4), sizeof v4));
  if (own.sin6_family != AF_INET6) return;  // this machine has no IPv6
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = own.sin6_port;
  v6.sin6_addr = in6addr_loopback;
  EXPECT_TRUE(connects(reinterpret_cast<const sockaddr*>(&v6), sizeof v6));
}

}  // namespace
}  // namespace handfast::serving
