#include "controller/translate/traffic_values.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "controller/translate/traffic.h"

namespace handfast::translate {
namespace {

using config::BackendProtocol;
using config::Http2;
using config::LoadBalance;
using config::RetryPolicy;

TEST(ParseSeconds, TakesWholeSecondsThatFitIntoMilliseconds) {
  EXPECT_EQ(parse_seconds("1", 1), 1'000U);
  EXPECT_EQ(parse_seconds("060", 1), 60'000U);
  EXPECT_EQ(parse_seconds("0", 0), 0U);
  EXPECT_EQ(parse_seconds("4294967", 1), 4'294'967'000U);
  for (const char* bad :
       {"", "0", "+5", "-1", "1.5", "60s", " 60", "4294968", "99999999999999999999", "0x10"}) {
    EXPECT_FALSE(parse_seconds(bad, 1).has_value()) << bad;
  }
}

TEST(ParseCount, KeepsToItsRange) {
  EXPECT_EQ(parse_count("0", 0, 7), 0U);
  EXPECT_EQ(parse_count("7", 0, 7), 7U);
  EXPECT_FALSE(parse_count("8", 0, 7).has_value());
  EXPECT_FALSE(parse_count("0", 1, 7).has_value());
}

TEST(ParseSize, TakesTheUnitsOfNginxInEitherCase) {
  EXPECT_EQ(parse_size("0"), 0U);
  EXPECT_EQ(parse_size("1000"), 1000U);
  EXPECT_EQ(parse_size("1000b"), 1000U);
  EXPECT_EQ(parse_size("4k"), 4096U);
  EXPECT_EQ(parse_size("8M"), 8U << 20U);
  EXPECT_EQ(parse_size("2G"), std::uint64_t{2} << 30U);
  EXPECT_EQ(parse_size("9223372036854775807"), 9'223'372'036'854'775'807U);
}

TEST(ParseSize, RefusesWhatNginxWouldNotReadOrCannotHold) {
  for (const char* bad : {"", "m", "8mb", "8 m", "-1", "+1", "1.5m", "0x8", "8t",
                          "9223372036854775808", "8589934592g", "99999999999999999999"}) {
    EXPECT_FALSE(parse_size(bad).has_value()) << bad;
  }
}

TEST(ParseNextUpstream, SetsWhatItNamesAndClearsTheRest) {
  RetryPolicy retry;
  retry.tries = 7;
  retry.statuses = {404};

  ASSERT_TRUE(parse_next_upstream("http_503\thttp_500  timeout http_503", retry).has_value());

  EXPECT_EQ(retry, (RetryPolicy{.error = false,
                                .timeout = true,
                                .invalid_header = false,
                                .non_idempotent = false,
                                .statuses = {500, 503},
                                .tries = 7,
                                .timeout_ms = 0}));
}

TEST(ParseNextUpstream, TakesOffForNever) {
  RetryPolicy retry;
  ASSERT_TRUE(parse_next_upstream("off", retry).has_value());
  EXPECT_FALSE(retry.error || retry.timeout || retry.invalid_header || retry.non_idempotent);
  EXPECT_TRUE(retry.statuses.empty());
}

TEST(ParseNextUpstream, LeavesThePolicyAsItIsWhenItRefuses) {
  for (const char* bad : {"", " ", "off off error", "Error", "error,timeout", "http_501", "http_",
                          "http_0500", "http_50", "http_+50", "updating"}) {
    RetryPolicy retry;
    EXPECT_FALSE(parse_next_upstream(bad, retry).has_value()) << bad;
    EXPECT_EQ(retry, RetryPolicy{}) << bad;
  }
}

TEST(ParseLoadBalance, TakesEwmaForLeastRequest) {
  EXPECT_EQ(parse_load_balance("round_robin"), LoadBalance::RoundRobin);
  EXPECT_EQ(parse_load_balance("least_request"), LoadBalance::LeastRequest);
  EXPECT_EQ(parse_load_balance("ewma"), LoadBalance::LeastRequest);
  for (const char* bad : {"", "EWMA", "least_conn", "ip_hash", "chash"}) {
    EXPECT_FALSE(parse_load_balance(bad).has_value()) << bad;
  }
}

struct Choice {
  BackendProtocol protocol;
  const char* app_protocol;
  Http2 expected;
};

TEST(ChooseHttp2, FollowsAppProtocolUnlessItContradictsTls) {
  for (const Choice& each : std::vector<Choice>{
           {BackendProtocol::Http, "", Http2::Off},
           {BackendProtocol::Http, "http", Http2::Off},
           {BackendProtocol::Http, "kubernetes.io/h2c", Http2::Require},
           {BackendProtocol::Http, "Kubernetes.io/H2C", Http2::Require},
           {BackendProtocol::Http, "kubernetes.io/ws", Http2::Off},
           {BackendProtocol::Http, "grpc", Http2::Off},
           {BackendProtocol::Http, "https", Http2::Off},
           {BackendProtocol::Http, "example.com/h2c", Http2::Off},
           {BackendProtocol::Https, "", Http2::Off},
           {BackendProtocol::Https, "https", Http2::Offer},
           {BackendProtocol::Https, "grpc", Http2::Offer},
           {BackendProtocol::Https, "kubernetes.io/wss", Http2::Off},
           {BackendProtocol::Https, "kubernetes.io/h2c", Http2::Off},
           {BackendProtocol::Grpc, "http", Http2::Require},
           {BackendProtocol::Grpcs, "", Http2::Require},
       }) {
    EXPECT_EQ(choose_http2(each.protocol, std::nullopt, each.app_protocol), each.expected)
        << static_cast<int>(each.protocol) << ' ' << each.app_protocol;
  }
}

TEST(ChooseHttp2, DoesWhatTheAnnotationSaysWhateverAppProtocolIs) {
  for (const char* app_protocol : {"", "https", "kubernetes.io/h2c", "kubernetes.io/ws"}) {
    EXPECT_EQ(choose_http2(BackendProtocol::Http, true, app_protocol), Http2::Require);
    EXPECT_EQ(choose_http2(BackendProtocol::Http, false, app_protocol), Http2::Off);
    EXPECT_EQ(choose_http2(BackendProtocol::Https, true, app_protocol), Http2::Offer);
    EXPECT_EQ(choose_http2(BackendProtocol::Https, false, app_protocol), Http2::Off);
  }
}

}  // namespace
}  // namespace handfast::translate
