#include "proxy/config/preflight.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/proxy/config/samples.h"

namespace handfast::config {
namespace {

PreflightRequest sample_request() {
  PreflightRequest request;
  request.tls = testing::sample_policy();
  request.http2 = Http2::Require;
  request.external_name = true;
  request.endpoints = {{.address = "orders.example", .port = 443},
                       {.address = "10.0.0.7", .port = 65535}};
  return request;
}

TEST(Preflight, CarriesARequest) {
  const auto parsed = parse_preflight_request(to_json(sample_request()));

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(*parsed, sample_request());
}

TEST(Preflight, CarriesAnAnswer) {
  PreflightAnswer answer;
  answer.refused = Reason::BadKey;
  answer.detail = "tls.key: \"is torn\"";
  answer.votes = {
      {"10.0.0.7:8443", Reason::ClientCertificateRejected, "unknown ca", Acceptance::Unknown},
      {"10.0.0.8:8443", Reason::Ok, "", Acceptance::NotConfirmed}};

  const auto parsed = parse_preflight_answer(to_json(answer));

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(*parsed, answer);
}

TEST(Preflight, RefusesARequestThatIsTornAnywhere) {
  const std::string whole = to_json(sample_request());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_preflight_request(whole.substr(0, size))) << size;
  }
}

TEST(Preflight, RefusesWhatIsNoPolicy) {
  PreflightRequest request = sample_request();
  std::string json = to_json(request);
  json.replace(json.find("kind: \\\"tls\\\""), 13, "kind: \\\"xxx\\\"");
  EXPECT_FALSE(parse_preflight_request(json));

  // Rules that would verify nothing are no rules here either.
  request.tls.ca.clear();
  EXPECT_FALSE(parse_preflight_request(to_json(request)));
}

TEST(Preflight, RefusesTooManyEndpoints) {
  PreflightRequest request = sample_request();
  request.endpoints.resize(kMostPreflightEndpoints + 1, request.endpoints.front());

  EXPECT_FALSE(parse_preflight_request(to_json(request)));
}

}  // namespace
}  // namespace handfast::config
