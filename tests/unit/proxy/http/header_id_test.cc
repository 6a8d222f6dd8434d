#include "proxy/http/header_id.h"

#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

namespace handfast::http {
namespace {

void expect_protected(std::string_view name) {
  EXPECT_EQ(identify_header(name), HeaderId::Protected) << name;
}

void expect_other(std::string_view name) {
  EXPECT_EQ(identify_header(name), HeaderId::Other) << name;
}

std::string upper(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

TEST(HeaderId, KnowsItsNamesInAnyCase) {
  for (const auto& [name, id] : {
           std::pair<std::string_view, HeaderId>{"connection", HeaderId::Connection},
           {"content-length", HeaderId::ContentLength},
           {"date", HeaderId::Date},
           {"expect", HeaderId::Expect},
           {"host", HeaderId::Host},
           {"keep-alive", HeaderId::KeepAlive},
           {"proxy-authenticate", HeaderId::ProxyAuthenticate},
           {"proxy-authorization", HeaderId::ProxyAuthorization},
           {"proxy-connection", HeaderId::ProxyConnection},
           {"server", HeaderId::Server},
           {"te", HeaderId::Te},
           {"trailer", HeaderId::Trailer},
           {"transfer-encoding", HeaderId::TransferEncoding},
           {"upgrade", HeaderId::Upgrade},
           {"user-agent", HeaderId::UserAgent},
           {"referer", HeaderId::Referer},
       }) {
    EXPECT_EQ(identify_header(name), id) << name;
    EXPECT_EQ(identify_header(upper(name)), id) << name;
  }
}

TEST(HeaderId, ProtectsWhatTheProxyAssertsInEverySpelling) {
  for (const std::string_view name :
       {"x-forwarded-for", "x-forwarded-host", "x-forwarded-client-cert", "x-forwarded-anything",
        "x-real-ip", "x-scheme", "x-request-id", "x-original-uri", "x-original-forwarded-for",
        "ssl-client-verify", "ssl-client-subject-dn", "x-ssl-client-dn", "x-client-cert",
        "x-client-cert-chain", "x-client-certificate", "client-cert", "client-cert-chain"}) {
    for (const char separator : {'-', '_', '.', '!', '~'}) {
      std::string spelling(name);
      for (char& c : spelling) {
        if (c == '-') c = separator;
      }
      expect_protected(spelling);
      expect_protected(upper(spelling));
    }
  }
  expect_protected("Forwarded");
  expect_protected("PROXY");
  expect_protected("X_Forwarded-For");
  expect_protected("X-Forwarded_For");
  expect_protected("X.Forwarded.For");
}

TEST(HeaderId, ProtectsAgainstAliasesOfFramingAndHopByHopNames) {
  expect_protected("Content_Length");
  expect_protected("content.length");
  expect_protected("Transfer_Encoding");
  expect_protected("TRANSFER.ENCODING");
  expect_protected("Keep_Alive");
  expect_protected("Proxy_Connection");
  expect_protected("Proxy_Authorization");
  expect_protected("Proxy.Authenticate");
}

TEST(HeaderId, LetsOtherNamesBe) {
  for (const std::string_view name : {"",
                                      "a",
                                      "x",
                                      "x-",
                                      "x-r",
                                      "accept",
                                      "cookie",
                                      "authorization",
                                      "content-type",
                                      "content-lengt",
                                      "content-length-",
                                      "content-lengthy",
                                      "contentxlength",
                                      "connections",
                                      "connectiom",
                                      "hosts",
                                      "x-forwarded",
                                      "xx-forwarded-for",
                                      "x-forwardedfor",
                                      "forwarded-for",
                                      "forwarder",
                                      "x-real-ipx",
                                      "x-real-i",
                                      "x-schemes",
                                      "x-request-ids",
                                      "x-request-start",
                                      "x-original",
                                      "ssl-client",
                                      "ssl-clients",
                                      "x-ssl",
                                      "x-client",
                                      "proxy-",
                                      "proxies",
                                      "user_agent",
                                      "dat",
                                      "xs",
                                      "x-s",
                                      "ssl",
                                      "-te",
                                      "te-",
                                      "x-csrf-token",
                                      "x-frame-options"}) {
    expect_other(name);
  }
}

}  // namespace
}  // namespace handfast::http
