#include "proxy/server/handshake_warnings.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/times.h"

namespace handfast::server {
namespace {

class HandshakeWarningsTest : public ::testing::Test {
 protected:
  // Lines that a handshake of this Service writes.
  std::size_t lines(const std::string& service, const pki::Verdict& verdict) {
    ::testing::internal::CaptureStderr();
    warnings_.on_handshake(
        {.service = &service, .address = &address_, .tls = true, .verdict = &verdict});
    written_ = ::testing::internal::GetCapturedStderr();
    return static_cast<std::size_t>(std::ranges::count(written_, '\n'));
  }

  handfast::testing::FakeClock clock_;
  net::Address address_ = net::Address::from_ip("192.0.2.1", 443).value();
  HandshakeWarnings warnings_{clock_};
  std::string written_;
  pki::Verdict audited_{.detail = "no such name", .would_refuse = Reason::NameMismatch};
};

TEST_F(HandshakeWarningsTest, NamesServiceEndpointAndReason) {
  EXPECT_EQ(lines("shop/orders:443", audited_), 1u);
  for (const char* part : {"shop/orders:443", "192.0.2.1:443", "name_mismatch", "no such name"}) {
    EXPECT_NE(written_.find(part), std::string::npos) << written_;
  }
}

TEST_F(HandshakeWarningsTest, TellsOnceAMinuteForAServiceAndReason) {
  EXPECT_EQ(lines("shop/orders:443", audited_), 1u);
  EXPECT_EQ(lines("shop/orders:443", audited_), 0u);
  EXPECT_EQ(lines("shop/billing:443", audited_), 1u);
  EXPECT_EQ(lines("shop/orders:443", {.detail = {}, .crl_skipped = Reason::CrlExpired}), 1u);
  clock_.advance(std::chrono::seconds(HandshakeWarnings::kEvery));
  EXPECT_EQ(lines("shop/orders:443", audited_), 1u);
}

TEST_F(HandshakeWarningsTest, SaysNothingOfWhatPassesOrIsPlain) {
  EXPECT_EQ(lines("shop/orders:443", {}), 0u);
  const std::string service = "shop/orders:80";
  ::testing::internal::CaptureStderr();
  warnings_.on_handshake({.service = &service, .address = &address_});
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace handfast::server
