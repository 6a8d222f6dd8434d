#pragma once
// Workers with their loader, on real sockets and threads, over a state directory.

#include <gtest/gtest.h>

#include <array>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "proxy/server/loader.h"
#include "proxy/server/worker.h"
#include "tests/unit/proxy/net/peer.h"
#include "tests/unit/proxy/server/state_directory.h"
#include "tests/unit/proxy/tls/tls_peer.h"

namespace handfast::testing {

// A client that may block; on a thread of the test's own.
class BlockingClient {
 public:
  explicit BlockingClient(const net::Address& address)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience{20, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ = ::connect(fd_.get(), address.data(), address.length()) == 0;
  }
  // Sends and reads one answer with a Content-Length; "" if there is none.
  std::string ask(const std::string& request) {
    if (!connected_ || ::send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
      return "";
    }
    std::string text;
    std::array<char, 4096> space;
    for (;;) {
      http::H1ResponseParser parser;
      http::ResponseHead head;
      const auto parsed = parser.parse(text, "GET", head);
      if (parsed.status == http::ParseStatus::Complete &&
          text.size() >= parsed.consumed + head.content_length) {
        return text;
      }
      const ssize_t got = ::recv(fd_.get(), space.data(), space.size(), 0);
      if (got <= 0) return "";
      text.append(space.data(), static_cast<std::size_t>(got));
    }
  }

 private:
  UniqueFd fd_;
  bool connected_ = false;
};

// Answers every request with 200 and a fixed body, until it ends.
class ThreadedBackend {
 public:
  explicit ThreadedBackend(std::string body) : body_(std::move(body)) {
    thread_ = std::thread([this] { run(); });
  }
  ~ThreadedBackend() {
    stop_ = true;
    thread_.join();
  }
  [[nodiscard]] const net::Address& address() const { return backend_.address(); }

 private:
  void run() {
    while (!stop_) {
      backend_.pump();
      bool idle = true;
      for (auto& peer : backend_.peers) {
        while (peer->received.find("\r\n\r\n") != std::string::npos) {
          peer->received.erase(0, peer->received.find("\r\n\r\n") + 4);
          peer->send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body_.size()) +
                     "\r\n\r\n" + body_);
          idle = false;
        }
      }
      if (idle) std::this_thread::yield();
    }
  }
  TestBackend backend_;
  std::string body_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class WorkerFixture : public ::testing::Test {
 protected:
  static constexpr std::size_t kWorkers = 2;

  explicit WorkerFixture(session::Limits limits = {.keep_alive_requests = 0},
                         std::uint32_t address_connections = 0)
      : connection_limits_(address_connections) {
    shared_.limits = std::move(limits);
    const net::Address any = net::Address::from_ip("127.0.0.1", 0).value();
    UniqueFd first = std::move(net::open_listener(any).value());
    http_ = net::local_address(first.get());
    UniqueFd first_tls = std::move(net::open_listener(any).value());
    https_ = net::local_address(first_tls.get());
    std::vector<server::Worker*> borrowed;
    for (std::size_t i = 0; i < kWorkers; ++i) {
      server::WorkerSockets sockets;
      sockets.http.push_back(
          i == 0 ? std::move(first)
                 : std::move(net::open_listener(http_, net::PortUse::Shared).value()));
      sockets.https.push_back(
          i == 0 ? std::move(first_tls)
                 : std::move(net::open_listener(https_, net::PortUse::Shared).value()));
      workers_.push_back(std::move(server::Worker::create(i, shared_, std::move(sockets)).value()));
      borrowed.push_back(workers_.back().get());
    }
    loader_.set_workers(std::move(borrowed));
  }
  ~WorkerFixture() override {
    loader_.stop();
    for (auto& worker : workers_) worker->stop();
  }

  void start() {
    loader_.start();
    for (auto& worker : workers_) worker->start();
  }
  config::LoadAnswer load(std::uint64_t number) {
    std::promise<config::LoadAnswer> answer;
    loader_.load(number, [&](config::LoadAnswer loaded) { answer.set_value(std::move(loaded)); });
    return answer.get_future().get();
  }
  // What was posted to the loader before has run.
  void wait_for_loader() {
    std::promise<void> done;
    loader_.post([&] { done.set_value(); });
    done.get_future().wait();
  }
  static std::vector<config::Shard> plain_site(const net::Address& backend) {
    config::Service service;
    service.name = "shop/orders:80";
    service.endpoints = {{backend.ip(), backend.port(), true, true, false}};
    config::Route route;
    route.path = "/";
    route.ingress_namespace = "shop";
    route.ingress = "web";
    route.service = service.name;
    config::VirtualHost host;
    host.host = "shop.example";
    host.routes = {route};
    return {host, service};
  }
  static constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

  SystemClock clock_;
  StateDirectory state_;
  server::RouteMetrics route_metrics_{kWorkers};
  server::ProcessMetrics process_metrics_;
  server::AccessLog access_log_{kWorkers, UniqueFd()};
  upstream::Resolver resolver_{
      clock_, [](const std::string&, const std::function<void(upstream::NameAnswer)>& answered) {
        answered({});
      }};
  server::Loader loader_{{state_.path(), {}},
                         clock_,
                         route_metrics_,
                         process_metrics_,
                         tls::make_default_certificate().value()};
  net::ConnectionLimits connection_limits_;
  server::WorkerShared shared_{
      .clock = clock_,
      .access_log = access_log_,
      .route_metrics = route_metrics_,
      .process_metrics = process_metrics_,
      .resolver = resolver_,
      .connection_limits = connection_limits_,
      .tickets = tls::TicketKeyRing::make(),
      .limits = {},
      .pool_limits = {},
      .off_loop = [this](std::function<void()> task) { loader_.post(std::move(task)); },
      .on_handshake = [](const upstream::HandshakeOutcome&) {}};
  net::Address http_;
  net::Address https_;
  std::vector<std::unique_ptr<server::Worker>> workers_;
};

}  // namespace handfast::testing
