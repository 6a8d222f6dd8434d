#include "proxy/http/grpc.h"

#include <gtest/gtest.h>

namespace handfast::http {
namespace {

TEST(Grpc, IsKnownByItsContentType) {
  for (const char* type : {"application/grpc", "application/grpc+proto", "application/grpc;a=b"}) {
    EXPECT_TRUE(is_grpc_type(type)) << type;
  }
  for (const char* type : {"", "application/json", "application/grpc-web", "application/grpcx"}) {
    EXPECT_FALSE(is_grpc_type(type)) << type;
  }
}

TEST(Grpc, IsNotSpokenOverHttp1) {
  RequestHead head;
  ASSERT_TRUE(head.headers.add({"content-type", "application/grpc", HeaderId::Other}));
  EXPECT_FALSE(is_grpc(head));
  head.major_version = 2;
  EXPECT_TRUE(is_grpc(head));
}

std::optional<std::chrono::nanoseconds> timeout_of(std::string_view value) {
  RequestHead head;
  EXPECT_TRUE(head.headers.add({"grpc-timeout", value, HeaderId::Other}));
  return grpc_timeout(head);
}

TEST(Grpc, ReadsHowLongTheClientWaits) {
  using namespace std::chrono_literals;
  EXPECT_EQ(timeout_of("1H"), 1h);
  EXPECT_EQ(timeout_of("2M"), 2min);
  EXPECT_EQ(timeout_of("0S"), 0s);
  EXPECT_EQ(timeout_of("999u"), 999us);
  EXPECT_EQ(timeout_of("1m"), 1ms);
  EXPECT_EQ(timeout_of("12345678n"), 12'345'678ns);
  EXPECT_EQ(timeout_of("99999999H"), std::chrono::nanoseconds::max());
  EXPECT_EQ(grpc_timeout(RequestHead{}), std::nullopt);
}

TEST(Grpc, ATimeoutInOtherWordsIsNone) {
  for (const char* value : {"", "S", "1", "1s", "-1S", "+1S", "1.5S", " 1S", "1S ", "123456789S"}) {
    EXPECT_EQ(timeout_of(value), std::nullopt) << value;
  }
}

TEST(Grpc, HasACodeForEachAnswerOfOurs) {
  EXPECT_EQ(grpc_status_of(404), 12);
  EXPECT_EQ(grpc_status_of(408), 4);
  EXPECT_EQ(grpc_status_of(413), 8);
  EXPECT_EQ(grpc_status_of(431), 8);
  EXPECT_EQ(grpc_status_of(403), 7);
  EXPECT_EQ(grpc_status_of(500), 13);
  for (const int status : {421, 429, 502, 503, 504}) EXPECT_EQ(grpc_status_of(status), 14);
}

}  // namespace
}  // namespace handfast::http
