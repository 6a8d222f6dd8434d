#include "proxy/config/control.h"

#include <gtest/gtest.h>

namespace handfast::config {
namespace {

TEST(Control, CarriesALoadRequest) {
  EXPECT_EQ(to_json(LoadRequest{42}), R"({"generation":42})");
  EXPECT_EQ(parse_load_request(R"({"generation": 42})")->generation, 42u);
}

TEST(Control, RefusesARequestThatSaysAnythingElse) {
  EXPECT_FALSE(parse_load_request(""));
  EXPECT_FALSE(parse_load_request("[]"));
  EXPECT_FALSE(parse_load_request("{}"));
  EXPECT_FALSE(parse_load_request(R"({"generation": -1})"));
  EXPECT_FALSE(parse_load_request(R"({"generation": "1"})"));
  EXPECT_FALSE(parse_load_request(R"({"generation": 18446744073709551616})"));
  EXPECT_FALSE(parse_load_request(R"({"generation": 1, "force": true})"));
}

TEST(Control, CarriesRejections) {
  LoadAnswer answer;
  answer.generation = 41;
  answer.rejected = {
      {"tls/shop/orders/api:443", "identity.key", "tls/shop/orders-tls/0123456789abcdef/tls.key",
       Reason::KeyMismatch, "the key is not the certificate's: \"tls.key\""},
      {"", "", "", Reason::Io, "index.yaml can't be read"}};

  const auto parsed = parse_load_answer(to_json(answer));

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(*parsed, answer);
}

TEST(Control, CarriesTheState) {
  StateAnswer state;
  state.generation = 42;
  state.policies.resize(2);
  PolicyState& first = state.policies[0];
  first.name = "shop/orders/api:443";
  first.subject = "CN=orders";
  first.issuer = "CN=ca";
  first.serial = "01ab";
  first.sha256 = std::string(64, 'a');
  first.sans = {"DNS:orders", "URI:spiffe://x/y"};
  first.not_before = 1'700'000'000;
  first.not_after = 1'900'000'000;
  first.ca_count = 2;
  first.ca_not_after = 1'950'000'000;
  first.crls = {{"CN=ca", "17", 1'700'000'000, 1'800'000'000, 3}, {"CN=other", "", 1, 0, 0}};
  state.policies[1].name = "shop/pay/api:443";
  state.policies[1].not_after = -5;
  state.policies[1].refused = "ca_missing";
  state.endpoints = {{"shop/api:443", "10.0.0.7:8443", "revoked", 1'764'000'000}};
  state.unwell = {{1, "shop/api:443", "10.0.0.7:8443", "resting", 4, 1'500}};

  const auto parsed = parse_state_answer(to_json(state));

  ASSERT_TRUE(parsed) << parsed.error();
  EXPECT_EQ(*parsed, state);
}

TEST(Control, RefusesAnAnswerWithAnUnknownReason) {
  EXPECT_FALSE(
      parse_load_answer(R"({"generation":1,"rejected":[{"shard":"host/a","reason":"because"}]})"));
}

}  // namespace
}  // namespace handfast::config
