// No allocation of ours for a request on kept-alive connections: what a thread allocates is counted
// while the worker's loop runs on one of its own. (OpenSSL's go to malloc and aren't ours.)

#include <poll.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <new>
#include <thread>

#include "tests/unit/proxy/session/session_fixture.h"

namespace {

thread_local bool counts = false;
std::atomic<std::size_t> allocations{0};

void* allocate(std::size_t size) {
  if (counts) allocations.fetch_add(1);
  if (void* const memory = std::malloc(size == 0 ? 1 : size); memory != nullptr) return memory;
  std::abort();
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return allocate(size);
}
void* operator new[](std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  return allocate(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t /*size*/) noexcept { std::free(memory); }

namespace handfast::session {
namespace {

using handfast::testing::make_server_ctx;
using handfast::testing::tcp_pair;

// The far end of a connection, which blocks.
class End {
 public:
  explicit End(UniqueFd fd) : fd_(std::move(fd)) {
    ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) & ~O_NONBLOCK);
    const timeval patience{60, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  void start_tls(const handfast::testing::SslCtx& ctx, bool server) {
    ssl_.reset(SSL_new(ctx.get()), SSL_free);
    SSL_set_fd(ssl_.get(), fd_.get());
    check((server ? SSL_accept(ssl_.get()) : SSL_connect(ssl_.get())) == 1, "handshake");
  }
  void send(std::string_view text) {
    const auto size = static_cast<int>(text.size());
    const auto sent = ssl_ == nullptr ? ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL)
                                      : SSL_write(ssl_.get(), text.data(), size);
    check(sent == size, "send");
  }
  // Reads on until what came ends with `end`.
  [[nodiscard]] std::string receive(std::string_view end) {
    std::string received;
    std::array<char, 16384> space;
    while (!received.ends_with(end)) {
      const auto got = ssl_ == nullptr
                           ? ::recv(fd_.get(), space.data(), space.size(), 0)
                           : SSL_read(ssl_.get(), space.data(), static_cast<int>(space.size()));
      if (got <= 0) return "nothing came after: " + received;
      received.append(space.data(), static_cast<std::size_t>(got));
    }
    return received;
  }

 private:
  UniqueFd fd_;
  std::shared_ptr<SSL> ssl_;
};

struct Quiet : ExchangeObserver {
  void on_exchange(const ExchangeRecord& record) override {
    if (record.status == 200) ++answered;
  }
  void on_http2_flood(http::H2Flood /*flood*/) override {}
  int answered = 0;
};

struct Owner : SessionOwner {
  void on_session_closed(Session& session) override { check(&session == one.get()); }
  void on_session_replaced(Session& session, std::unique_ptr<Session> next) override {
    check(&session == one.get());
    loop->defer_delete(std::exchange(one, std::move(next)));
  }
  bool admit(Session& /*session*/, const net::Address& /*client*/) override { return true; }
  void on_refused(RefusedConnection /*why*/) override {}
  event::Loop* loop = nullptr;
  std::unique_ptr<Session> one;
};

class AllocationTest : public handfast::testing::SessionFixture {
 protected:
  AllocationTest() { owner_.loop = loop_.get(); }
  ~AllocationTest() override {
    loop_->stop();
    if (thread_.joinable()) thread_.join();
    owner_.one.reset();
  }

  void adopt(std::unique_ptr<net::Stream> stream, tls::TlsStream* tls) {
    owner_.one = std::make_unique<Opening>(quiet_context_, owner_, std::move(stream), tls, peer_);
    check(static_cast<Opening&>(*owner_.one).start().has_value(), "start");
    thread_ = std::thread([this] { loop_->run(); });
  }
  [[nodiscard]] End accept_backend() {
    pollfd waiting{listener_.get(), POLLIN, 0};
    check(::poll(&waiting, 1, 60'000) == 1, "a connection to the backend");
    return End(UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  }
  void count(bool wanted) {
    std::promise<void> done;
    loop_->post([wanted, &done] {
      counts = wanted;
      done.set_value();
    });
    done.get_future().wait();
  }
  static void exchange(End& client, End& backend) {
    client.send(
        "GET /a/b?c=d HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: a client of some length\r\n"
        "Accept: */*\r\nCookie: session=4d8f1f0a6b2c4e3f9a7d5c1b0e8f6a2d\r\n\r\n");
    EXPECT_TRUE(backend.receive("\r\n\r\n").starts_with("GET /a/b?c=d HTTP/1.1\r\n"));
    backend.send("HTTP/1.1 200 OK\r\nServer: a backend\r\nContent-Length: 1000\r\n\r\n" +
                 std::string(999, 'x') + '.');
    EXPECT_TRUE(client.receive(".").starts_with("HTTP/1.1 200 OK\r\n"));
  }
  void expect_no_allocation(End& client, End& backend) {
    for (int i = 0; i < 20; ++i) exchange(client, backend);
    count(true);
    const std::size_t before = allocations.load();
    for (int i = 0; i < 100; ++i) exchange(client, backend);
    EXPECT_EQ(allocations.load() - before, 0u) << "by 100 requests";
    count(false);
    EXPECT_EQ(quiet_.answered, 120);
  }

  UniqueFd listener_ =
      std::move(net::open_listener(net::Address::from_ip("127.0.0.1", 0).value()).value());
  Quiet quiet_;
  Owner owner_;
  Context quiet_context_{*loop_,    buffers_, snapshots_, pool_,  balancer_,
                         resolver_, quiet_,   ids_,       limits_};
  std::thread thread_;
};

TEST_F(AllocationTest, ARequestAllocatesNothing) {
  publish(handfast::testing::SnapshotMaker()
              .host(handfast::testing::host_with(
                  "shop.example", {handfast::testing::route_to("/", "shop/orders-of-all:80")}))
              .service("shop/orders-of-all:80", {net::local_address(listener_.get())}));
  auto [far, near] = tcp_pair();
  adopt(std::make_unique<net::PlainStream>(net::Socket(std::move(near)), buffers_), nullptr);
  End client(std::move(far));
  client.send("GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n");
  End backend = accept_backend();
  EXPECT_TRUE(backend.receive("\r\n\r\n").starts_with("GET /a"));
  backend.send("HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_TRUE(client.receive("\r\n\r\n").starts_with("HTTP/1.1 204"));

  expect_no_allocation(client, backend);
}

TEST_F(AllocationTest, ARequestOverTlsToATlsBackendAllocatesNothing) {
  auto policy = handfast::testing::make_policy(root_, {"orders.shop.svc"});
  policy->identity = handfast::testing::load_identity(root_.issue("a-client-of-some-length"));
  config::Route route = handfast::testing::route_to("/", "shop/orders-of-all:443");
  route.protocol = config::BackendProtocol::Https;
  route.upstream_tls = policy->name;
  publish(handfast::testing::SnapshotMaker()
              .host(handfast::testing::host_with("shop.example", {route}))
              .service("shop/orders-of-all:443", {net::local_address(listener_.get())})
              .policy(policy));
  const auto server = make_server_ctx(root_.issue("orders.shop.svc"), &root_);
  auto [far, near] = tcp_pair();
  auto stream = server_tls_.accept(net::Socket(std::move(near)), buffers_);
  tls::TlsStream* const tls = stream.get();
  adopt(std::move(stream), tls);
  End client(std::move(far));
  client.start_tls(handfast::testing::make_client_ctx(), /*server=*/false);
  client.send("GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n");
  End backend = accept_backend();
  backend.start_tls(server, /*server=*/true);
  EXPECT_TRUE(backend.receive("\r\n\r\n").starts_with("GET /a"));
  backend.send("HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_TRUE(client.receive("\r\n\r\n").starts_with("HTTP/1.1 204"));

  expect_no_allocation(client, backend);
}

}  // namespace
}  // namespace handfast::session
