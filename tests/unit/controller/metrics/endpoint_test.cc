#include "controller/metrics/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proxy/base/check.h"
#include "proxy/base/unique_fd.h"

namespace handfast::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A socket that listens on a free port of loopback.
struct Taken {
  Taken() {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    check(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0, "bind");
    check(::listen(fd.get(), 1) == 0, "listen");
    check(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
  }
  [[nodiscard]] std::string text() const {
    return "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }

  UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
};

class EndpointTest : public ::testing::Test {
 protected:
  // The endpoint takes no port 0: one that was free just now, and another if somebody was faster.
  EndpointTest() {
    for (int tries = 0; tries < 20 && endpoint_ == nullptr; ++tries) {
      std::string text;
      {
        const Taken taken;
        address_ = taken.address;
        text = taken.text();
      }
      auto opened =
          Endpoint::open(text, {[this] { return metrics(); }, [this] { return is_ready_.load(); }});
      if (opened) endpoint_ = std::move(*opened);
    }
    check(endpoint_ != nullptr, "no free port");
  }

  std::string metrics() {
    if (is_slow_) {
      begun_.set_value();
      released_.get_future().wait();
    }
    return "a_metric 1\n";
  }

  // The whole answer; the server is asked to close behind it.
  std::string ask(const std::string& method, const std::string& target) const {
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto* address = reinterpret_cast<const sockaddr*>(&address_);
    check(::connect(fd.get(), address, sizeof address_) == 0, "connect");
    const std::string request =
        method + " " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    check(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(request.size()));
    std::string answer;
    std::array<char, 4096> bytes{};
    for (ssize_t got = 0; (got = ::recv(fd.get(), bytes.data(), bytes.size(), 0)) > 0;) {
      answer.append(bytes.data(), static_cast<std::size_t>(got));
    }
    return answer;
  }

  std::atomic<bool> is_ready_{false};
  std::atomic<bool> is_slow_{false};
  std::promise<void> begun_;     // a scrape, while it is slow
  std::promise<void> released_;  // may go on
  sockaddr_in address_{};
  std::unique_ptr<Endpoint> endpoint_;
};

TEST_F(EndpointTest, IsHealthyAsLongAsItAnswers) {
  EXPECT_THAT(ask("GET", "/healthz"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(EndpointTest, IsReadyWhenTheControllerIs) {
  EXPECT_THAT(ask("GET", "/readyz"), StartsWith("HTTP/1.1 503 "));

  is_ready_ = true;

  EXPECT_THAT(ask("GET", "/readyz"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(EndpointTest, ShowsTheMetricsInTheFormatOfPrometheus) {
  const std::string answer = ask("GET", "/metrics");

  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answer, HasSubstr("text/plain; version=0.0.4"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\na_metric 1\n"));
}

TEST_F(EndpointTest, AScrapeThatTakesLongKeepsNoProbeWaiting) {
  is_slow_ = true;
  auto scrape = std::async(std::launch::async, [this] { return ask("GET", "/metrics"); });
  begun_.get_future().wait();

  auto probe = std::async(std::launch::async, [this] { return ask("GET", "/healthz"); });
  const bool answered = probe.wait_for(std::chrono::seconds{5}) == std::future_status::ready;
  released_.set_value();

  EXPECT_TRUE(answered);
  EXPECT_THAT(probe.get(), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(scrape.get(), HasSubstr("a_metric 1"));
}

TEST_F(EndpointTest, HasNothingElse) {
  EXPECT_THAT(ask("GET", "/"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask("GET", "/metrics/"), StartsWith("HTTP/1.1 404 "));
}

TEST_F(EndpointTest, TakesNoOtherMethod) {
  const std::string answer = ask("POST", "/metrics");

  EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD\r\n"));
}

TEST(Endpoint, RefusesWhatIsNoAddressOfOnePort) {
  for (const char* address : {"", "10254", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", ":65536",
                              "127.0.0.1:1x", "::1:80", "a/b:80", "user@host:80", "a b:80"}) {
    const auto opened = Endpoint::open(address, {});
    ASSERT_FALSE(opened) << address;
    EXPECT_EQ(opened.error().reason, Reason::InvalidValue) << address;
  }
}

TEST(Endpoint, SaysThatAPortIsTaken) {
  const Taken taken;

  const auto opened = Endpoint::open(taken.text(), {});

  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().reason, Reason::Io);
  EXPECT_THAT(opened.error().detail, HasSubstr(taken.text()));
}

}  // namespace
}  // namespace handfast::metrics
