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
