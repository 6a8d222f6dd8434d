#include "controller/translate/flags.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace handfast::translate {
namespace {

Result<Options> read(std::vector<const char*> arguments) {
  OptionSet set{"controller", "a test"};
  add_flags(set);
  arguments.insert(arguments.begin(), "controller");
  const auto parsed = set.parse(static_cast<int>(arguments.size()), arguments.data(), nullptr);
  if (!parsed) return fail(parsed.error());
  return read_flags(*parsed);
}

TEST(Flags, HaveTheDefaultsOfTheModel) {
  const auto options = read({});
  ASSERT_TRUE(options.has_value()) << options.error();
  const TrafficDefaults defaults;
  const config::Route route;

  EXPECT_EQ(options->traffic.max_body_bytes, route.max_body_bytes);
  EXPECT_EQ(options->traffic.connect_timeout_ms, route.connect_timeout_ms);
  EXPECT_EQ(options->traffic.read_timeout_ms, route.read_timeout_ms);
  EXPECT_EQ(options->traffic.send_timeout_ms, route.send_timeout_ms);
  EXPECT_EQ(options->traffic.retry, route.retry);
  EXPECT_EQ(defaults.max_body_bytes, route.max_body_bytes);
}

TEST(Flags, SetTheDefaultsOfTraffic) {
  const auto options =
      read({"--proxy-body-size=20m", "--proxy-connect-timeout=1500ms", "--proxy-read-timeout", "1h",
            "--proxy-send-timeout=30", "--proxy-next-upstream=error http_503",
            "--proxy-next-upstream-tries=0", "--proxy-next-upstream-timeout=10s"});
  ASSERT_TRUE(options.has_value()) << options.error();

  EXPECT_EQ(options->traffic.max_body_bytes, 20U << 20U);
  EXPECT_EQ(options->traffic.connect_timeout_ms, 1'500U);
  EXPECT_EQ(options->traffic.read_timeout_ms, 3'600'000U);
  EXPECT_EQ(options->traffic.send_timeout_ms, 30'000U);
  EXPECT_TRUE(options->traffic.retry.error);
  EXPECT_FALSE(options->traffic.retry.timeout);
  EXPECT_EQ(options->traffic.retry.statuses, std::vector<std::uint16_t>{503});
  EXPECT_EQ(options->traffic.retry.tries, 0U);
  EXPECT_EQ(options->traffic.retry.timeout_ms, 10'000U);
}

TEST(Flags, TakeAuditsWithTheirEnd) {
  const auto options =
      read({"--upstream-verification-audit=shop/*@2026-03-01,*/orders@2026-03-02"});
  ASSERT_TRUE(options.has_value()) << options.error();

  ASSERT_EQ(options->verification_audits.size(), 2U);
  EXPECT_EQ(options->verification_audits[0].pattern, "shop/*");
  EXPECT_EQ(options->verification_audits[0].until, 1772323200);
  EXPECT_EQ(options->verification_audits[1].until, 1772323200 + 86400);
}

TEST(Flags, NameTheOneWhoseValueIsNone) {
  for (const char* bad :
       {"--proxy-body-size=8mb", "--proxy-connect-timeout=0", "--proxy-read-timeout=1200h",
        "--proxy-send-timeout=0s", "--proxy-next-upstream=sometimes",
        "--proxy-next-upstream-tries=-1", "--proxy-next-upstream-timeout=never",
        "--allow-insecure-upstream=shop", "--allow-trust-drain=shop",
        "--upstream-verification-audit=shop/*", "--upstream-verification-audit=shop@2026-03-01",
        "--upstream-verification-audit=shop/*@2026-02-30",
        "--upstream-verification-audit=shop/*@tomorrow"}) {
    const auto options = read({bad});
    ASSERT_FALSE(options.has_value()) << bad;
    const std::string flag{bad, std::string{bad}.find('=')};
    EXPECT_NE(options.error().detail.find(flag), std::string::npos) << options.error();
  }
}

}  // namespace
}  // namespace handfast::translate
