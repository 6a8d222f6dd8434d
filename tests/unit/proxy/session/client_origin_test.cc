#include "proxy/session/client_origin.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "proxy/http/header_id.h"

namespace handfast::session {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

// Owns the bytes that the views of an origin point to.
class ClientOriginTest : public ::testing::Test {
 protected:
  const ClientOrigin& read(Fields fields, const std::string& peer = "10.0.0.1") {
    fields_ = std::move(fields);
    http::HeaderList headers;
    for (const auto& [name, value] : fields_) {
      headers.add({name, value, http::identify_header(name)});
    }
    read_client_origin(headers, net::Address::from_ip(peer, 4711).value(), trust_, origin_);
    return origin_;
  }
  std::string address(const std::string& forwarded_for) {
    return read({{"X-Forwarded-For", forwarded_for}}).address;
  }

  ClientTrust trust_{.proxy_protocol = {},
                     .forwarded = NetworkSet::parse({"10.0.0.0/8", "2001:db8::/32"}).value()};
  Fields fields_;
  ClientOrigin origin_;
};

TEST_F(ClientOriginTest, IsThePeerWithoutAHeader) {
  const ClientOrigin& origin = read({{"Host", "shop.example"}});

  EXPECT_EQ(origin.address, "10.0.0.1");
  EXPECT_EQ(origin.forwarded_for, "10.0.0.1");
  EXPECT_EQ(origin.original_for, "");
  EXPECT_EQ(origin.original_host, "");
  EXPECT_EQ(origin.scheme, "");
  EXPECT_EQ(origin.host, "");
  EXPECT_EQ(origin.port, 0);
}

TEST_F(ClientOriginTest, IsTheRightmostHopThatIsNotTrusted) {
  EXPECT_EQ(address("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(address("192.0.2.7, 10.9.9.9"), "192.0.2.7");
  EXPECT_EQ(address("192.0.2.7, 10.9.9.9,10.8.8.8 ,\t2001:db8::5"), "192.0.2.7");
}

TEST_F(ClientOriginTest, IsNotWhatTheClientWroteItself) {
  EXPECT_EQ(address("203.0.113.9, 192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(address("10.1.1.1, 192.0.2.7, 10.9.9.9"), "192.0.2.7");
  EXPECT_EQ(address("127.0.0.1,, 192.0.2.7"), "192.0.2.7");
}

TEST_F(ClientOriginTest, IsTheFarthestHopWhenAllAreTrusted) {
  EXPECT_EQ(address("10.1.1.1, 10.2.2.2"), "10.1.1.1");
}

TEST_F(ClientOriginTest, IsTheHopBeforeOneThatIsNoAddress) {
  EXPECT_EQ(address("192.0.2.7, unknown"), "10.0.0.1");
  EXPECT_EQ(address("192.0.2.7, unknown, 10.9.9.9"), "10.9.9.9");
  for (const char* hop :
       {"_hidden", "192.0.2.7.8", "192.0.2", "192.0.2.7:", "192.0.2.7:x", "192.0.2.7:65536",
        "[2001:db8::7", "2001:db8::7]", "[192.0.2.7]", "[192.0.2.7]:80", "[]", "[", ":", "::1%eth0",
        "\"192.0.2.7\"", "for=192.0.2.7", "192.0.2.7 10.0.0.1"}) {
    EXPECT_EQ(address(hop), "10.0.0.1") << hop;
  }
  EXPECT_EQ(address(std::string(5000, '1')), "10.0.0.1");
}

TEST_F(ClientOriginTest, KnowsEachFormOfAnAddress) {
  EXPECT_EQ(address("192.0.2.7:1234"), "192.0.2.7");
  EXPECT_EQ(address("2001:dead::7"), "2001:dead::7");
  EXPECT_EQ(address("[2001:dead::7]"), "2001:dead::7");
  EXPECT_EQ(address("[2001:dead::7]:1234"), "2001:dead::7");
  EXPECT_EQ(address("::ffff:192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(address("192.0.2.7, ::ffff:10.0.0.9"), "192.0.2.7");
  EXPECT_EQ(address(", 192.0.2.7 ,,"), "192.0.2.7");
}

TEST_F(ClientOriginTest, TakesSeveralLinesForOneList) {
  const ClientOrigin& origin = read({{"X-Forwarded-For", "203.0.113.9"},
                                     {"x-forwarded-for", ""},
                                     {"Accept", "*/*"},
                                     {"X-FORWARDED-FOR", "192.0.2.7, 10.2.2.2"},
                                     {"X-Forwarded-For", "10.3.3.3"}});

  EXPECT_EQ(origin.address, "192.0.2.7");
  EXPECT_EQ(origin.original_for, "203.0.113.9, 192.0.2.7, 10.2.2.2, 10.3.3.3");
}

TEST_F(ClientOriginTest, TellsTheBackendTheClientAloneOrTheWholeListWithThePeer) {
  EXPECT_EQ(read({{"X-Forwarded-For", "203.0.113.9, 192.0.2.7"}}).forwarded_for, "192.0.2.7");
  trust_.full_forwarded_for = true;
  EXPECT_EQ(read({{"X-Forwarded-For", "203.0.113.9, 192.0.2.7"}}).forwarded_for,
            "203.0.113.9, 192.0.2.7, 10.0.0.1");
  EXPECT_EQ(read({{"X-Forwarded-For", ""}}).forwarded_for, "10.0.0.1");
}

TEST_F(ClientOriginTest, BelievesNoOtherSpelling) {
  for (const char* name :
       {"X_Forwarded_For", "X.Forwarded.For", "X-Forwarded_For", "X-Forwarded-For-",
        "X-Forwarded-Fo", "X-Original-Forwarded-For", "X-Real-IP", "Forwarded"}) {
    EXPECT_EQ(read({{name, "192.0.2.7"}}).address, "10.0.0.1") << name;
    EXPECT_EQ(origin_.original_for, "") << name;
  }
}

TEST_F(ClientOriginTest, LooksAtAHundredHopsAndNoMore) {
  std::string hops;
  for (int i = 0; i < 99; ++i) hops += ", 10.0.0.2";

  EXPECT_EQ(address("192.0.2.7" + hops), "192.0.2.7");
  EXPECT_EQ(address("192.0.2.7, 10.0.0.3" + hops), "10.0.0.3");
}

TEST_F(ClientOriginTest, TakesTheSchemeOfTheNearestProxyIfItIsOne) {
  const auto scheme = [this](const std::string& told) {
    return std::string(read({{"X-Forwarded-Proto", told}}).scheme);
  };
  EXPECT_EQ(scheme("https"), "https");
  EXPECT_EQ(scheme("HTTP"), "http");
  EXPECT_EQ(scheme("http, https"), "https");
  EXPECT_EQ(scheme("https,http "), "http");
  EXPECT_EQ(scheme("wss"), "https");
  EXPECT_EQ(scheme("ws"), "http");
  EXPECT_EQ(scheme("ftp"), "");
  EXPECT_EQ(scheme("https,"), "");
  EXPECT_EQ(scheme(""), "");
}

TEST_F(ClientOriginTest, TakesThePortOfTheNearestProxyIfItIsOne) {
  const auto port = [this](const std::string& told) {
    return int{read({{"X-Forwarded-Port", told}}).port};
  };
  EXPECT_EQ(port("443"), 443);
  EXPECT_EQ(port("80, 8443"), 8443);
  for (const char* told : {"", "0", "65536", "-1", "+1", "80x", "x", "https"}) {
    EXPECT_EQ(port(told), 0) << told;
  }
}

TEST_F(ClientOriginTest, TakesTheHostOfTheNearestProxyIfItIsOne) {
  const auto host = [this](const std::string& told) {
    return std::string(read({{"X-Forwarded-Host", told}}).host);
  };
  EXPECT_EQ(host("shop.example"), "shop.example");
  EXPECT_EQ(host("shop.example:8443"), "shop.example:8443");
  EXPECT_EQ(host("shop.example:"), "shop.example");
  EXPECT_EQ(host("forged.example, shop.example"), "shop.example");
  for (const char* told : {"", "a b", "user@shop.example", "shop.example/", "<script>", "a,"}) {
    EXPECT_EQ(host(told), "") << told;
  }
  EXPECT_EQ(read({{"X-Forwarded-Host", "a b"}}).original_host, "a b");
}

TEST_F(ClientOriginTest, LeavesNothingOfTheRequestBefore) {
  read({{"X-Forwarded-For", "192.0.2.7"},
        {"X-Forwarded-Proto", "https"},
        {"X-Forwarded-Host", "shop.example"},
        {"X-Forwarded-Port", "443"}});
  const ClientOrigin& origin = read({});

  EXPECT_EQ(origin.address, "10.0.0.1");
  EXPECT_EQ(origin.forwarded_for, "10.0.0.1");
  EXPECT_EQ(origin.original_for, "");
  EXPECT_EQ(origin.original_host, "");
  EXPECT_EQ(origin.scheme, "");
  EXPECT_EQ(origin.host, "");
  EXPECT_EQ(origin.port, 0);
}

}  // namespace
}  // namespace handfast::session
