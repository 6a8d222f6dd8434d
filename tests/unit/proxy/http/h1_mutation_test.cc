// Heads with random damage: whatever comes out holds the invariants, however the input was split.

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "proxy/http/forwarding.h"
#include "proxy/http/h1_parser.h"
#include "tests/unit/proxy/http/h1_invariants.h"
#include "tests/unit/proxy/http/h1_outcome.h"

namespace handfast::http {
namespace {

constexpr unsigned kSeeds = 20'000;
constexpr H1Limits kLimits{.head_bytes = 400, .line_bytes = 60};

const std::vector<std::string_view> kRequests = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /a?b HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nConnection: x, close\r\n\r\nhello",
    "GET http://[::1]/x HTTP/1.0\r\nHost: [::1]\r\nA: \t b\t\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a.b.\r\nTransfer-Encoding: chunked\r\nExpect: "
    "100-continue\r\n\r\n",
    "\r\nGET http://a HTTP/1.1\r\nHost: A\r\nX_Forwarded_For: 1\r\nX-Long: "
    "0123456789abcdef\r\n\r\n",
};

const std::vector<std::string_view> kResponses = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: s\r\n\r\nhello",
    "HTTP/1.0 304 \r\nConnection: keep-alive\r\nA: caf\xc3\xa9\r\n\r\n",
    "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nConnection: a\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
};

const std::vector<std::string_view> kFragments = {"\r\n",
                                                  "\n",
                                                  "\r",
                                                  "\r\n\r\n",
                                                  " ",
                                                  "\t",
                                                  ":",
                                                  ",",
                                                  "0",
                                                  "chunked",
                                                  "Host: b\r\n",
                                                  "Content-Length: 1\r\n",
                                                  "Transfer-Encoding: chunked\r\n",
                                                  "http://",
                                                  "HTTP/1.1",
                                                  "#",
                                                  "\x7f",
                                                  "\xff"};

std::string mutate(std::string input, std::mt19937& random) {
  for (auto n = 1 + random() % 3; n > 0; --n) {
    const std::size_t at = random() % (input.size() + 1);
    switch (random() % 5) {
      case 0:
        input.insert(at, 1, static_cast<char>(random() % 256));
        break;
      case 1:
        input.erase(at, 1 + random() % 4);
        break;
      case 2:
        input.insert(at, kFragments[random() % kFragments.size()]);
        break;
      case 3:
        input.insert(at, input.substr(random() % (input.size() + 1), random() % 80));
        break;
      default:
        if (at < input.size()) input[at] = static_cast<char>(random() % 256);
        break;
    }
  }
  return input;
}

// A split parse must give the outcome of a whole one.
template <class Side>
void expect_same_split(const Side& side, const std::string& input, std::mt19937& random) {
  typename Side::Parser parser(side.limits);
  const Outcome whole = parse_step(side, parser, input);
  typename Side::Parser split(side.limits);
  Outcome last;
  std::size_t given = 0;
  while (given < input.size() && last.status == ParseStatus::Incomplete) {
    given += std::min<std::size_t>(1 + random() % 40, input.size() - given);
    last = parse_step(side, split, std::string_view(input).substr(0, given));
  }
  EXPECT_EQ(last, whole) << input;
}

TEST(H1Mutation, RequestsThatPassHoldTheInvariants) {
  unsigned passed = 0;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const std::string input = mutate(std::string(kRequests[random() % kRequests.size()]), random);
    RequestHead head;
    const ParseResult result = H1RequestParser(kLimits).parse(input, head);

    ASSERT_STREQ(broken_invariant(result, input, kLimits), nullptr) << input;
    expect_same_split(RequestSide{kLimits}, input, random);
    if (result.status != ParseStatus::Complete) continue;
    ++passed;
    ASSERT_STREQ(broken_invariant(head, input), nullptr) << input;
    std::string out;
    append_request_head(out, head, {"192.0.2.7", "http", 80, "0123456789abcdef0123456789abcdef"});
    RequestHead again;
    const bool host_missing = head.authority.empty();
    ASSERT_EQ(H1RequestParser().parse(out, again).status,
              host_missing ? ParseStatus::Bad : ParseStatus::Complete)
        << out;
  }
  EXPECT_GT(passed, kSeeds / 20);  // else the damage is too great to test anything
}

TEST(H1Mutation, ResponsesThatPassHoldTheInvariants) {
  unsigned passed = 0;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const std::string input = mutate(std::string(kResponses[random() % kResponses.size()]), random);
    ResponseHead head;
    const ParseResult result = H1ResponseParser(kLimits).parse(input, "GET", head);

    ASSERT_STREQ(broken_invariant(result, input, kLimits), nullptr) << input;
    expect_same_split(ResponseSide{kLimits}, input, random);
    if (result.status != ParseStatus::Complete) continue;
    ++passed;
    ASSERT_STREQ(broken_invariant(head, input), nullptr) << input;
    std::string out;
    append_response_head(out, head, {.close = true});
    ResponseHead again;
    ASSERT_EQ(H1ResponseParser().parse(out, "GET", again).status, ParseStatus::Complete) << out;
    EXPECT_EQ(again.status, head.status);
    EXPECT_EQ(again.reason, head.reason);
  }
  EXPECT_GT(passed, kSeeds / 20);
}

}  // namespace
}  // namespace handfast::http
