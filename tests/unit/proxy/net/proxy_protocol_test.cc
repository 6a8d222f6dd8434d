#include "proxy/net/proxy_protocol.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

namespace handfast::net {
namespace {

using State = ProxyHeader::State;

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
const std::string kV4Addresses("\xc0\x00\x02\x01\xc6\x33\x64\x02\x1f\x90\x01\xbb", 12);

std::string two_bytes(std::size_t number) {
  return {static_cast<char>(number >> 8U), static_cast<char>(number & 0xffU)};
}
std::string version_2(char command, char family, const std::string& rest) {
  return kSignature + command + family + two_bytes(rest.size()) + rest;
}
std::string tlv(char type, const std::string& value) {
  return type + two_bytes(value.size()) + value;
}

// Every prefix says Incomplete or what the whole says, and once it has decided it stays with it;
// nor does what follows the header matter.
void check_every_split(const std::string& bytes) {
  const ProxyHeader whole = read_proxy_header(bytes);
  bool decided = false;
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    const ProxyHeader part = read_proxy_header(std::string_view(bytes).substr(0, n));
    if (part.state == State::Incomplete) {
      EXPECT_FALSE(decided) << n;
      continue;
    }
    decided = true;
    EXPECT_EQ(part.state, whole.state) << n;
    EXPECT_EQ(part.problem, whole.problem) << n;
    EXPECT_EQ(part.consumed, whole.consumed) << n;
    EXPECT_LE(part.consumed, n);
  }
  if (!decided) return;
  for (const char* more : {"GET / HTTP/1.1\r\n", "\r\n", "PROXY ", "\x16\x03\x01"}) {
    const ProxyHeader longer = read_proxy_header(bytes + more);
    EXPECT_EQ(longer.state, whole.state);
    EXPECT_EQ(longer.consumed, whole.consumed);
  }
}

// "source destination", "local", "incomplete", or the problem.
std::string outcome(const std::string& bytes) {
  check_every_split(bytes);
  const ProxyHeader header = read_proxy_header(bytes);
  if (header.state == State::Incomplete) return "incomplete";
  if (header.state == State::Bad) return std::string(header.problem);
  EXPECT_EQ(header.consumed, bytes.size());
  if (!header.endpoints) return "local";
  return header.endpoints->source.to_string() + " " + header.endpoints->destination.to_string();
}

bool is_bad(const std::string& bytes) {
  check_every_split(bytes);
  const ProxyHeader header = read_proxy_header(bytes);
  EXPECT_EQ(header.state == State::Bad, !header.problem.empty());
  return header.state == State::Bad;
}

TEST(ProxyProtocol, ReadsBothFamiliesInVersion1) {
  EXPECT_EQ(outcome("PROXY TCP4 192.0.2.1 198.51.100.2 8080 443\r\n"),
            "192.0.2.1:8080 198.51.100.2:443");
  EXPECT_EQ(outcome("PROXY TCP6 2001:db8::1 2001:DB8::2 0 65535\r\n"),
            "[2001:db8::1]:0 [2001:db8::2]:65535");
}

TEST(ProxyProtocol, TakesTheLongestLineOfVersion1) {
  const std::string address = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  const std::string unknown = "PROXY UNKNOWN " + address + " " + address + " 65535 65535\r\n";
  ASSERT_EQ(unknown.size(), 107u);

  EXPECT_EQ(outcome(unknown), "local");
  EXPECT_EQ(outcome("PROXY TCP6 " + address + " " + address + " 65535 65535\r\n"),
            "[" + address + "]:65535 [" + address + "]:65535");
}

TEST(ProxyProtocol, RefusesALineOfVersion1ThatGoesOn) {
  const std::string head = "PROXY UNKNOWN ";
  for (const std::size_t length : {106u, 107u, 108u, 4000u}) {
    EXPECT_EQ(outcome(head + std::string(length - head.size(), 'x')),
              length < 107 ? "incomplete" : "the line is longer than 107 bytes");
  }
  EXPECT_TRUE(is_bad(head + std::string(106 - head.size(), 'x') + "\r\n"));
}

TEST(ProxyProtocol, TellsNoAddressOfAnUnknownConnection) {
  EXPECT_EQ(outcome("PROXY UNKNOWN\r\n"), "local");
  EXPECT_EQ(outcome("PROXY UNKNOWN \r\n"), "local");
  EXPECT_EQ(outcome("PROXY UNKNOWN whatever 1 2 3 4 5\r\n"), "local");
}

TEST(ProxyProtocol, RefusesWhatIsNotTheGrammarOfVersion1) {
  for (const char* line :
       {"PROXY\r\n", "PROXY \r\n", "PROXY TCP4\r\n", "PROXY TCP4 \r\n", "PROXY UNKNOWN2\r\n",
        "PROXY unknown\r\n", "PROXY TCP 192.0.2.1 192.0.2.2 1 2\r\n", "proxy TCP4 ",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        " PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "PROXY TCP4\t192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\t2\r\n", "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"}) {
    EXPECT_TRUE(is_bad(line)) << line;
  }
}

TEST(ProxyProtocol, RefusesAddressesThatAreNotOfTheirFamily) {
  for (const char* words :
       {"TCP4 2001:db8::1 192.0.2.2 1 2", "TCP4 192.0.2.1 2001:db8::2 1 2",
        "TCP6 192.0.2.1 2001:db8::2 1 2", "TCP6 2001:db8::1 192.0.2.2 1 2",
        "TCP4 192.0.2.256 192.0.2.2 1 2", "TCP4 192.0.2 192.0.2.2 1 2",
        "TCP4 192.0.02.1 192.0.2.2 1 2", "TCP4 0xc0.0.2.1 192.0.2.2 1 2", "TCP4 host 192.0.2.2 1 2",
        "TCP6 2001:db8::1%eth0 2001:db8::2 1 2", "TCP6 [2001:db8::1] 2001:db8::2 1 2",
        "TCP6 2001::db8::1 2001:db8::2 1 2", "TCP6 02001:db8::1 2001:db8::2 1 2"}) {
    EXPECT_TRUE(is_bad("PROXY " + std::string(words) + "\r\n")) << words;
  }
  EXPECT_TRUE(is_bad(std::string("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n", 37)));
}

TEST(ProxyProtocol, RefusesPortsThatAreNotOnes) {
  for (const char* port : {"65536", "99999", "100000", "-1", "+1", "01", "00", "1x", "", "0x1"}) {
    EXPECT_TRUE(is_bad("PROXY TCP4 192.0.2.1 192.0.2.2 " + std::string(port) + " 1\r\n")) << port;
    EXPECT_TRUE(is_bad("PROXY TCP4 192.0.2.1 192.0.2.2 1 " + std::string(port) + "\r\n")) << port;
  }
}

TEST(ProxyProtocol, RefusesALineOfVersion1WithoutItsExactEnd) {
  EXPECT_TRUE(is_bad("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"));
  EXPECT_TRUE(is_bad("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rG"));
  EXPECT_TRUE(is_bad("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n"));
  EXPECT_TRUE(is_bad("PROXY UNKNOWN a\nb\r\n"));
  EXPECT_TRUE(is_bad("PROXY UNKNOWN a\rb\r\n"));
}

TEST(ProxyProtocol, LeavesWhatFollowsTheHeader) {
  const std::string line = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
  const std::string block = version_2(0x21, 0x11, kV4Addresses);

  EXPECT_EQ(read_proxy_header(line + "GET /").consumed, line.size());
  EXPECT_EQ(read_proxy_header(block + "GET /").consumed, block.size());
}

TEST(ProxyProtocol, ReadsBothFamiliesInVersion2) {
  const std::string v6 = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + '\x01' +
                         std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + '\x02' +
                         std::string("\xff\xff\x00\x50", 4);

  EXPECT_EQ(outcome(version_2(0x21, 0x11, kV4Addresses)), "192.0.2.1:8080 198.51.100.2:443");
  EXPECT_EQ(outcome(version_2(0x21, 0x21, v6)), "[2001:db8::1]:65535 [2001:db8::2]:80");
  // The client came over QUIC.
  EXPECT_EQ(outcome(version_2(0x21, 0x12, kV4Addresses)), "192.0.2.1:8080 198.51.100.2:443");
  EXPECT_EQ(outcome(version_2(0x21, 0x22, v6)), "[2001:db8::1]:65535 [2001:db8::2]:80");
}

TEST(ProxyProtocol, TellsNoAddressOfALocalUnspecifiedOrUnixConnection) {
  EXPECT_EQ(outcome(version_2(0x20, 0x00, "")), "local");
  EXPECT_EQ(outcome(version_2(0x20, 0x11, kV4Addresses)), "local");
  EXPECT_EQ(outcome(version_2(0x20, 0x55, "anything at all")), "local");
  EXPECT_EQ(outcome(version_2(0x21, 0x00, "")), "local");
  EXPECT_EQ(outcome(version_2(0x21, 0x00, "unspecified")), "local");
  EXPECT_EQ(outcome(version_2(0x21, 0x31, std::string(216, '/'))), "local");
  EXPECT_EQ(outcome(version_2(0x21, 0x32, std::string(216, '/') + tlv(4, "x"))), "local");
}

TEST(ProxyProtocol, RefusesOtherVersionsCommandsAndFamilies) {
  for (const int command : {0x00, 0x01, 0x10, 0x11, 0x22, 0x2f, 0x31, 0xff}) {
    EXPECT_TRUE(is_bad(version_2(static_cast<char>(command), 0x11, kV4Addresses))) << command;
  }
  for (const int family : {0x01, 0x02, 0x10, 0x13, 0x20, 0x23, 0x30, 0x33, 0x41, 0xff}) {
    const std::string header = version_2(0x21, static_cast<char>(family), std::string(216, '\0'));
    EXPECT_TRUE(is_bad(header)) << family;
  }
  EXPECT_TRUE(is_bad(std::string("\r\n\r\n\0\r\nQUIX\n", 12)));
}

TEST(ProxyProtocol, RefusesAddressesThatAreCutOff) {
  for (std::size_t n = 0; n < 12; ++n) {
    EXPECT_TRUE(is_bad(version_2(0x21, 0x11, kV4Addresses.substr(0, n)))) << n;
  }
  EXPECT_TRUE(is_bad(version_2(0x21, 0x21, std::string(35, '\0'))));
  EXPECT_TRUE(is_bad(version_2(0x21, 0x31, std::string(215, '\0'))));
}

TEST(ProxyProtocol, TakesAHeaderOf4KiBAndNoneThatIsLonger) {
  const std::string most = tlv(4, std::string(4096 - 16 - 12 - 3, '\0'));

  EXPECT_EQ(outcome(version_2(0x21, 0x11, kV4Addresses + most)), "192.0.2.1:8080 198.51.100.2:443");
  EXPECT_EQ(outcome(kSignature + "\x21\x11" + two_bytes(4081)),
            "the header is longer than 4096 bytes");
  EXPECT_EQ(outcome(kSignature + '\x20' + '\0' + two_bytes(65535)),
            "the header is longer than 4096 bytes");
}

TEST(ProxyProtocol, TakesTlvsThatAreWellFormed) {
  for (const std::string& tlvs :
       {tlv(1, "h2"), tlv(2, "shop.example") + tlv(4, ""), tlv(4, ""),
        tlv('\xea', std::string("\x01vpce-0", 7)), tlv(0x20, std::string(5, '\0'))}) {
    EXPECT_EQ(outcome(version_2(0x21, 0x11, kV4Addresses + tlvs)),
              "192.0.2.1:8080 198.51.100.2:443");
  }
}

TEST(ProxyProtocol, RefusesTlvsThatAreNot) {
  const std::string good = tlv(2, "shop.example");
  for (std::size_t n = 1; n < good.size(); ++n) {
    EXPECT_TRUE(is_bad(version_2(0x21, 0x11, kV4Addresses + good.substr(0, n)))) << n;
  }
  EXPECT_TRUE(is_bad(version_2(0x21, 0x11, kV4Addresses + good + '\x04')));
}

// The sums were made with another implementation, bit by bit.
TEST(ProxyProtocol, ChecksTheSumIfThereIsOne) {
  const auto with_sum = [](const std::string& sum, const std::string& more) {
    return version_2(0x21, 0x11, kV4Addresses + tlv(3, sum) + more);
  };

  EXPECT_EQ(outcome(with_sum("\xdc\xa6\xb6\xbb", "")), "192.0.2.1:8080 198.51.100.2:443");
  EXPECT_EQ(outcome(with_sum("\x03\x78\xa1\x69", tlv(1, "abc"))),
            "192.0.2.1:8080 198.51.100.2:443");
  EXPECT_EQ(outcome(with_sum("\x03\x78\xa1\x69", tlv(1, "abd"))),
            "the CRC32c is not that of the header");
  EXPECT_EQ(outcome(with_sum(std::string(4, '\0'), "")), "the CRC32c is not that of the header");
  EXPECT_TRUE(is_bad(with_sum("\xdc\xa6\xb6\xbb", tlv(3, "\xdc\xa6\xb6\xbb"))));
}

TEST(ProxyProtocol, RefusesASumThatIsNotFourBytesOnce) {
  EXPECT_TRUE(is_bad(version_2(0x21, 0x11, kV4Addresses + tlv(3, ""))));
  EXPECT_TRUE(is_bad(version_2(0x21, 0x11, kV4Addresses + tlv(3, "abc"))));
  EXPECT_TRUE(is_bad(version_2(0x21, 0x11, kV4Addresses + tlv(3, "abcde"))));
}

TEST(ProxyProtocol, RefusesAConnectionThatBeginsWithoutAHeader) {
  for (const char* bytes : {"GET / HTTP/1.1\r\n", "\x16\x03\x01", "PRI * HTTP/2.0", "\r\nGET",
                            "PROXX", "\n", "PUT / HTTP/1.1\r\n"}) {
    EXPECT_EQ(outcome(bytes), "the connection does not begin with a PROXY header") << bytes;
  }
}

TEST(ProxyProtocol, WaitsForTheRest) {
  for (const char* bytes : {"", "P", "PROXY", "PROXY ", "PROXY TCP4 192", "\r", "\r\n\r\n"}) {
    EXPECT_EQ(outcome(bytes), "incomplete") << bytes;
  }
  EXPECT_EQ(outcome(kSignature + "\x21\x11"), "incomplete");
}

TEST(ProxyProtocol, KnowsAHeaderFromAllElse) {
  for (const std::string& header : {std::string("PROXY TCP4 "), std::string("PROXY TCP6 "),
                                    std::string("PROXY UNKNOWN"), kSignature}) {
    EXPECT_EQ(is_proxy_header(header + "x"), true);
    for (std::size_t n = 0; n < header.size(); ++n) {
      EXPECT_EQ(is_proxy_header(header.substr(0, n)), std::nullopt) << n;
    }
  }
  for (const char* bytes : {"PROXY /", "PROXY TCP5", "PRI", "PUT", "\r\n\r\nG", "\r\nG", "\n",
                            "GET / HTTP/1.1\r\n", "\x16"}) {
    EXPECT_EQ(is_proxy_header(bytes), false) << bytes;
  }
}

TEST(WriteProxyHeader, IsReadAsItWasMeant) {
  for (const auto& [source, destination] :
       {std::pair("192.0.2.7", "198.51.100.1"), std::pair("2001:db8::7", "2001:db8::1")}) {
    const ProxyEndpoints told{Address::from_ip(source, 1234).value(),
                              Address::from_ip(destination, 443).value()};
    const std::string header = write_proxy_header(told);

    const ProxyHeader read = read_proxy_header(header);

    ASSERT_TRUE(read.endpoints) << header;
    EXPECT_EQ(read.consumed, header.size());
    EXPECT_EQ(read.endpoints->source, told.source);
    EXPECT_EQ(read.endpoints->destination, told.destination);
  }
}

TEST(WriteProxyHeader, OfTwoFamiliesOrNobodyTellsNothing) {
  const Address v4 = Address::from_ip("192.0.2.7", 1).value();
  const Address v6 = Address::from_ip("2001:db8::7", 1).value();
  EXPECT_EQ(write_proxy_header({v4, v6}), "PROXY UNKNOWN\r\n");
  EXPECT_EQ(write_proxy_header({v4, {}}), "PROXY UNKNOWN\r\n");
}

}  // namespace
}  // namespace handfast::net
