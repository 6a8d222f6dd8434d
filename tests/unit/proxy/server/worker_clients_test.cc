// Worker::judge_clients: connections that are open while hosts change whom they let in.

#include <errno.h>
#include <poll.h>

#include "proxy/server/worker.h"
#include "tests/unit/proxy/server/worker_fixture.h"

namespace handfast::server {
namespace {

using testing::TestAuthority;
using testing::TestCertificate;

// A TLS client that may block; on a thread of the test's own.
class TlsClient {
 public:
  TlsClient(const net::Address& address, const TestCertificate* leaf, const char* server_name)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        context_(testing::make_client_ctx()) {
    const timeval patience{20, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (leaf != nullptr) {
      SSL_CTX_use_certificate(context_.get(), leaf->x509());
      SSL_CTX_use_PrivateKey(context_.get(), leaf->key());
    }
    ssl_.reset(SSL_new(context_.get()), SSL_free);
    SSL_set_tlsext_host_name(ssl_.get(), server_name);
    SSL_set_fd(ssl_.get(), fd_.get());
    open_ =
        ::connect(fd_.get(), address.data(), address.length()) == 0 && SSL_connect(ssl_.get()) == 1;
  }

  void send(const std::string& host) {
    const std::string request = "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
    std::size_t taken = 0;
    open_ = open_ && SSL_write_ex(ssl_.get(), request.data(), request.size(), &taken) == 1;
  }
  // The status of the answer; 0: the connection has ended; -1: nothing comes.
  int status() {
    std::array<char, 4096> space;
    std::size_t got = 0;
    errno = 0;
    open_ = open_ && SSL_read_ex(ssl_.get(), space.data(), space.size(), &got) == 1;
    ERR_clear_error();
    if (!open_ && errno == EAGAIN) return -1;
    return open_ && got > 12 ? std::stoi(std::string(space.data() + 9, 3)) : 0;
  }
  int ask(const std::string& host) {
    send(host);
    return status();
  }

 private:
  UniqueFd fd_;
  testing::SslCtx context_;
  std::shared_ptr<SSL> ssl_;
  bool open_ = false;
};

class WorkerClientsTest : public testing::WorkerFixture {
 protected:
  // A host that asks for certificates of `authority`; null: for none.
  config::VirtualHost host(const std::string& name, const TestAuthority* authority,
                           const std::string& crl = "") {
    config::VirtualHost host;
    host.host = name;
    config::Route route;
    route.path = "/";
    route.service = "shop/orders:80";
    if (authority != nullptr) {
      route.client.emplace();
      auto& client = host.client.emplace();
      client.ca = {state_.put_file("clients", "ca.crt", authority->cert_pem())};
      if (!crl.empty()) {
        client.crl = {state_.put_file("clients", "ca.crl", crl)};
        client.revocation = config::RevocationScope::Chain;
      }
    }
    host.routes = {route};
    return host;
  }
  void serve(std::vector<config::VirtualHost> hosts) {
    std::vector<config::Shard> shards(hosts.begin(), hosts.end());
    config::Service service;
    service.name = "shop/orders:80";
    service.endpoints = {{backend_.ip(), backend_.port(), true, true, false}};
    shards.emplace_back(service);
    state_.write(++generation_, shards);
    if (generation_ == 1) start();
    ASSERT_EQ(load(generation_).generation, generation_);
  }
  TlsClient open(const TestCertificate* leaf) { return {https_, leaf, "a.example"}; }
  std::string list(std::vector<const TestCertificate*> revoked = {}) {
    return root_.crl_pem(std::move(revoked));
  }

  TestAuthority root_{"clients"};
  TestAuthority other_{"others"};
  TestCertificate alice_ = root_.issue("alice", {.extended_key_usage = "clientAuth"});
  TestCertificate bob_ = root_.issue("bob", {.extended_key_usage = "clientAuth"});
  testing::ThreadedBackend answering_{"one"};
  net::Address backend_ = answering_.address();
  std::uint64_t generation_ = 0;
};

TEST_F(WorkerClientsTest, CutsThoseWhoseCertificateWasRevokedAndNoOthers) {
  serve({host("a.example", &root_, list())});
  TlsClient alice = open(&alice_);
  TlsClient bob = open(&bob_);
  ASSERT_EQ(alice.ask("a.example"), 200);
  ASSERT_EQ(bob.ask("a.example"), 200);

  serve({host("a.example", &root_, list({&alice_}))});

  EXPECT_EQ(alice.status(), 0);
  EXPECT_EQ(bob.ask("a.example"), 200);
}

TEST_F(WorkerClientsTest, CutsThoseWhoseAuthorityIsAnother) {
  serve({host("a.example", &root_)});
  TlsClient alice = open(&alice_);
  ASSERT_EQ(alice.ask("a.example"), 200);

  serve({host("a.example", &other_)});

  EXPECT_EQ(alice.status(), 0);
}

TEST_F(WorkerClientsTest, CutsWhomNobodyCanJudgeAnyMore) {
  serve({host("a.example", &root_)});
  TlsClient alice = open(&alice_);
  TlsClient nobody = open(nullptr);
  ASSERT_EQ(alice.ask("a.example"), 200);
  ASSERT_EQ(nobody.ask("a.example"), 400);
  config::VirtualHost closed = host("a.example", nullptr);
  closed.routes[0].client.emplace().refused = config::Refusal{Reason::CaMissing, "there is none"};

  serve({closed});

  EXPECT_EQ(alice.status(), 0);
  EXPECT_EQ(nobody.ask("a.example"), 403);
}

TEST_F(WorkerClientsTest, TellsThoseWhoWereNeverAskedToComeAgain) {
  serve({host("a.example", nullptr)});
  TlsClient before = open(nullptr);
  ASSERT_EQ(before.ask("a.example"), 200);

  serve({host("a.example", &root_)});

  EXPECT_EQ(before.status(), 0);
}

// What is under way at a backend that never answers.
class WorkerGuardedHostsTest : public WorkerClientsTest {
 protected:
  WorkerGuardedHostsTest() { backend_ = net::local_address(silent_.get()); }

  // It came by the name of a.example and asks for b.example.
  TlsClient wait_at_b(const TestCertificate& leaf) {
    TlsClient client = open(&leaf);
    client.send("b.example");
    return client;
  }
  // They have arrived at the backend.
  void wait_for_requests(std::size_t count) {
    while (taken_.size() < count) {
      pollfd waiting{silent_.get(), POLLIN, 0};
      ASSERT_EQ(::poll(&waiting, 1, 20'000), 1);
      taken_.emplace_back(::accept(silent_.get(), nullptr, nullptr));
    }
  }

  UniqueFd silent_ = net::open_listener(net::Address::from_ip("127.0.0.1", 0).value()).value();
  std::vector<UniqueFd> taken_;
};

TEST_F(WorkerGuardedHostsTest, AreJudgedByTheHostTheyAreAtThoughTheOneTheyCameByAsksForNothing) {
  serve({host("a.example", &root_, list()), host("b.example", &root_, list())});
  TlsClient alice = wait_at_b(alice_);
  TlsClient bob = wait_at_b(bob_);
  wait_for_requests(2);
  serve({host("a.example", nullptr), host("b.example", &root_, list())});

  serve({host("a.example", nullptr), host("b.example", &root_, list({&alice_}))});

  EXPECT_EQ(alice.status(), 0);
  taken_.clear();
  EXPECT_EQ(bob.status(), 502);
}

TEST_F(WorkerGuardedHostsTest, AreCutWhereNobodyCanJudgeThemAnyMore) {
  serve({host("a.example", &root_), host("b.example", &root_)});
  TlsClient alice = wait_at_b(alice_);
  wait_for_requests(1);
  config::VirtualHost closed = host("b.example", nullptr);
  closed.routes[0].client.emplace().refused = config::Refusal{Reason::CaMissing, "there is none"};

  serve({host("a.example", nullptr), closed});

  EXPECT_EQ(alice.status(), 0);
}

}  // namespace
}  // namespace handfast::server
