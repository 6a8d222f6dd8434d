#pragma once
// A worker without its thread, between clients and backends of which some speak HTTP/2.

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/http/h2_codec.h"
#include "tests/unit/proxy/http/h2_frames.h"
#include "tests/unit/proxy/session/session_fixture.h"

namespace handfast::testing {

// An HTTP/2 end over some peer's socket: a client, or a backend.
template <class Socket>
class H2End {
 public:
  H2End(Socket& socket, http::H2Codec::Role role, const http::H2Limits& limits = {})
      : codec(role, log, limits), socket_(socket) {
    log.consumer = &codec;
  }

  http::H2StreamId ask(std::string_view method, std::string_view target,
                       std::span<const http::Header> fields, bool end,
                       std::string_view authority = "shop.example") {
    http::RequestHead head;
    head.method = method;
    head.target = target;
    head.authority = authority;
    const auto stream = codec.send_request(head, "http", fields, end);
    check(stream.has_value(), "no stream");
    return *stream;
  }
  http::H2StreamId get(std::string_view target = "/a") { return ask("GET", target, {}, true); }

  void pump() {
    const std::string bytes = socket_.take();
    if (!bytes.empty()) static_cast<void>(codec.feed(bytes));
    BufferPool pool;
    Buffer out(pool);
    codec.produce(out, 1 << 20);
    socket_.send(out.view());
  }
  [[nodiscard]] bool heard(std::string_view text) const {
    return log.text.find(text) != std::string::npos;
  }

  http::h2::Log log;

 private:
  struct Codec final : http::H2Codec {
    Codec(Role role, Events& events, const http::H2Limits& limits)
        : http::H2Codec(role, events, limits) {}
  };

 public:
  Codec codec;

 private:
  Socket& socket_;
};

class H2Fixture : public SessionFixture {
 protected:
  using Client = H2End<Peer>;

  H2Fixture() {
    each_round_ = [this] {
      for (auto& client : clients) client->pump();
      for (auto& backend : backends) backend->pump();
    };
  }

  ~H2Fixture() override { each_round_ = nullptr; }

  Client& dial() {
    clients.push_back(std::make_unique<Client>(connect(), http::H2Codec::Role::Client));
    return *clients.back();
  }
  // The newest connection of the backend speaks HTTP/2.
  Client& h2_backend(const http::H2Limits& limits = {}) {
    check(driver_.until([this] { return !backend_.peers.empty(); }), "no connection");
    backends.push_back(
        std::make_unique<Client>(backend_.last(), http::H2Codec::Role::Server, limits));
    return *backends.back();
  }
  [[nodiscard]] bool hears(const Client& end, std::string_view text) {
    return driver_.until([&end, text] { return end.heard(text); });
  }
  void answer(std::string_view bytes = kOk, std::size_t peer = 0) {
    ASSERT_TRUE(backend_gets("\r\n\r\n", peer));
    backend_.peers[peer]->take();
    backend_.peers[peer]->send(bytes);
  }
  [[nodiscard]] bool client_gone() {
    return driver_.until([this] { return sessions_.empty(); });
  }
  void serve_h2() {
    config::Route route = route_to("/", "shop/orders:80");
    route.http2 = config::Http2::Require;
    publish(SnapshotMaker()
                .host(host_with("shop.example", {route}))
                .service("shop/orders:80", {backend_.address()}));
  }

  std::vector<std::unique_ptr<Client>> clients;
  std::vector<std::unique_ptr<Client>> backends;
};

}  // namespace handfast::testing
