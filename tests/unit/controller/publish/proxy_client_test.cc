#include "controller/publish/proxy_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "proxy/base/unique_fd.h"

namespace handfast::publish {
namespace {

using Kind = ProxyControl::LoadResult::Kind;

// Listens on a socket in a temporary directory and gives one connection a prepared answer.
class FakeProxy {
 public:
  FakeProxy() {
    std::string name = (std::filesystem::temp_directory_path() / "handfast-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    path = name + "/control.sock";
  }
  ~FakeProxy() {
    if (thread_.joinable()) thread_.join();
    std::filesystem::remove_all(directory_);
  }

  void listen() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    listener_.reset(::socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0);
    ASSERT_EQ(::listen(listener_.get(), 4), 0);
  }

  // Reads until the request holds `until`, then answers and closes.
  void answer(std::string until, std::string response) {
    listen();
    thread_ = std::thread([this, until = std::move(until), response = std::move(response)] {
      const UniqueFd peer{::accept(listener_.get(), nullptr, nullptr)};
      std::array<char, 4096> chunk{};
      while (request.find(until) == std::string::npos) {
        const ssize_t got = ::recv(peer.get(), chunk.data(), chunk.size(), 0);
        if (got <= 0) break;
        request.append(chunk.data(), static_cast<std::size_t>(got));
      }
      for (const char byte : response) (void)::send(peer.get(), &byte, 1, MSG_NOSIGNAL);
    });
  }
  void finish() { thread_.join(); }

  std::string path;
  std::string request;

 private:
  std::string directory_;
  UniqueFd listener_;
  std::thread thread_;
};

std::string http(const std::string& status, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

TEST(ProxyClient, LoadsAGeneration) {
  FakeProxy proxy;
  proxy.answer("{\"generation\":42}", http("200 OK", R"({"generation":42,"rejected":[]})"));

  const auto result = ProxyClient{proxy.path}.load(42);
  proxy.finish();

  ASSERT_EQ(result.kind, Kind::Answered) << result.error;
  EXPECT_EQ(result.answer.generation, 42u);
  EXPECT_TRUE(proxy.request.starts_with("POST /v1/load HTTP/1.1\r\n"));
  EXPECT_NE(proxy.request.find("\r\nContent-Length: 17\r\n"), std::string::npos);
  EXPECT_NE(proxy.request.find("\r\nConnection: close\r\n"), std::string::npos);
}

TEST(ProxyClient, HearsRejections) {
  FakeProxy proxy;
  proxy.answer("}",
               http("409 Conflict",
                    R"({"generation":41,"rejected":[{"shard":"host/a","reason":"bad_key"}]})"));

  const auto result = ProxyClient{proxy.path}.load(42);

  ASSERT_EQ(result.kind, Kind::Answered) << result.error;
  ASSERT_EQ(result.answer.rejected.size(), 1u);
  EXPECT_EQ(result.answer.rejected[0].reason, Reason::BadKey);
}

TEST(ProxyClient, TellsNobodyFromSomebodyWhoFails) {
  FakeProxy nobody;
  EXPECT_EQ(ProxyClient{nobody.path}.load(1).kind, Kind::Absent);
  EXPECT_EQ(ProxyClient{std::string(200, 'x')}.load(1).kind, Kind::Failed);

  for (const std::string& response :
       {std::string(), std::string("HTTP/1.1 200"), http("500 Internal Server Error", "{}"),
        http("200 OK", "nonsense"), std::string("HTTP/1.1 200 OK\r\n\r\n{}"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{}"),
        std::string("SSH-2.0-OpenSSH\r\n\r\n")}) {
    FakeProxy proxy;
    proxy.answer("}", response);
    const auto result = ProxyClient{proxy.path}.load(1);
    EXPECT_EQ(result.kind, Kind::Failed) << response;
    EXPECT_FALSE(result.error.detail.empty());
  }
}

TEST(ProxyClient, DoesNotWaitForever) {
  FakeProxy proxy;
  proxy.listen();

  const auto result = ProxyClient{proxy.path, std::chrono::milliseconds(30)}.load(1);

  EXPECT_EQ(result.kind, Kind::Failed);
  EXPECT_EQ(result.error.detail, "the proxy did not answer in time");
}

TEST(ProxyClient, CanBeCalledOff) {
  FakeProxy proxy;
  proxy.listen();
  ProxyClient client{proxy.path};

  std::thread stopper{[&client] { client.stop(); }};
  const auto result = client.load(1);
  stopper.join();

  EXPECT_EQ(result.kind, Kind::Failed);
  EXPECT_EQ(result.error.detail, "the controller is stopping");
}

TEST(ProxyClient, ReadsTheState) {
  FakeProxy proxy;
  proxy.answer("\r\n\r\n",
               http("200 OK", R"({"generation":7,"policies":[],"endpoints":[],"unwell":[]})"));

  const auto state = ProxyClient{proxy.path}.state();

  ASSERT_TRUE(state) << state.error();
  EXPECT_EQ(state->generation, 7u);
}

}  // namespace
}  // namespace handfast::publish
