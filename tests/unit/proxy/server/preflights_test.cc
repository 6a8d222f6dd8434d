#include "proxy/server/preflights.h"

#include <gtest/gtest.h>

#include <future>
#include <string>

#include "tests/unit/proxy/event/loop_driver.h"
#include "tests/unit/proxy/server/state_directory.h"

namespace handfast::server {
namespace {

// What backends answer is tested over the whole way, in tests/integration.
class PreflightsTest : public ::testing::Test {
 protected:
  PreflightsTest() {
    request_.tls.name = "shop/orders@utls/api:443";
    request_.tls.ca = {state_.put_file("roots", "ca.crt", root_.cert_pem())};
    request_.tls.names = {"api.shop.svc"};
    request_.tls.versions = {config::TlsVersion::Tls13};
  }
  config::PreflightAnswer ask() {
    std::promise<config::PreflightAnswer> told;
    preflights_.ask(request_,
                    [&told](const config::PreflightAnswer& answer) { told.set_value(answer); });
    return told.get_future().get();
  }

  SystemClock clock_;
  handfast::testing::StateDirectory state_;
  handfast::testing::TestAuthority root_{"root"};
  upstream::Resolver resolver_{clock_, [](const std::string& /*name*/, const auto& answered) {
                                 answered(upstream::NameAnswer{});
                               }};
  config::PreflightRequest request_;
  Preflights preflights_{state_.path(), clock_, resolver_};
};

TEST_F(PreflightsTest, TellsWhichEndpointCannotBeReached) {
  request_.endpoints = {{.address = "127.0.0.1", .port = 1}, {.address = "nobody", .port = 1}};
  const auto answer = ask();

  EXPECT_EQ(answer.refused, Reason::Ok);
  ASSERT_EQ(answer.votes.size(), 2u);
  EXPECT_EQ(answer.votes[0].address, "127.0.0.1:1");
  EXPECT_EQ(answer.votes[0].reason, Reason::ConnectRefused);
  EXPECT_EQ(answer.votes[1].reason, Reason::NoEndpoints);
}

TEST_F(PreflightsTest, ANameLeadsToNoLoopback) {
  request_.external_name = true;
  request_.endpoints = {{.address = "127.0.0.1", .port = 1},
                        {.address = "169.254.169.254", .port = 80},
                        {.address = "nobody.example", .port = 443}};
  for (const auto& vote : ask().votes) EXPECT_EQ(vote.reason, Reason::NoEndpoints) << vote.address;
}

TEST_F(PreflightsTest, AsksNobodyByRulesThatCannotBeLoaded) {
  request_.endpoints = {{.address = "127.0.0.1", .port = 1}};
  request_.tls.identity = state_.put_pair("client", root_.issue("a"));
  request_.tls.identity->key = state_.put_pair("other", root_.issue("b")).key;
  const auto answer = ask();

  EXPECT_EQ(answer.refused, Reason::KeyMismatch);
  EXPECT_TRUE(answer.votes.empty());
}

TEST_F(PreflightsTest, AsksNobodyWithACertificateThatHasExpired) {
  request_.endpoints = {{.address = "127.0.0.1", .port = 1}};
  request_.tls.identity =
      state_.put_pair("client", root_.issue("a", {.not_after = handfast::testing::kYear2020 + 1}));

  EXPECT_EQ(ask().refused, Reason::ClientCertificateExpired);
}

}  // namespace
}  // namespace handfast::server
