// Clients that are asked for a certificate: what they show, and what a session brings back.

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <sys/epoll.h>

#include <chrono>
#include <map>

#include "tests/support/times.h"
#include "tests/unit/proxy/tls/tls_peer.h"

namespace handfast::tls {
namespace {

using handfast::testing::TestAuthority;
using handfast::testing::TestCertificate;
using handfast::testing::TlsPeer;

class Hosts final : public CertificateSelector {
 public:
  Identities select_certificates(std::string_view /*server_name*/) override {
    return {&certificate, 1};
  }
  std::shared_ptr<const ClientPolicy> select_client_policy(std::string_view name) override {
    const auto found = policies.find(name);
    return found == policies.end() ? nullptr : found->second;
  }
  std::shared_ptr<const pki::Identity> certificate;
  std::map<std::string, std::shared_ptr<ClientPolicy>, std::less<>> policies;
};

class ClientAuthTest : public ::testing::TestWithParam<int> {
 protected:
  ClientAuthTest() {
    hosts_.certificate = testing::load_identity(front_.issue("front.example"));
    hosts_.policies["a.example"] = policy_of(authority_, "a");
    hosts_.policies["b.example"] = policy_of(other_, "b");
    hosts_.policies["bound.example"] = policy_of(authority_, "bound");
  }

  static std::shared_ptr<ClientPolicy> policy_of(const TestAuthority& authority,
                                                 const std::string& key) {
    auto policy = std::make_shared<ClientPolicy>();
    policy->key = key;
    policy->epoch = std::string(64, 'e');
    policy->trust.push_back(*pki::CaBundle::load(authority.cert_pem(), testing::kYear2026));
    policy->rules.purpose = pki::Purpose::Client;
    policy->rules.depth = 1;
    policy->bind_sessions(key);
    policy->announce_authorities();
    return policy;
  }
  static void revoke(ClientPolicy& policy, const std::string& pem) {
    policy.crls = {*pki::CrlSet::load(pem)};
    policy.rules.crl_scope = pki::CrlScope::Chain;
    policy.epoch = std::string(64, 'f');
  }

  testing::SslCtx client(const TestCertificate* certificate = nullptr) const {
    testing::SslCtx context = testing::make_client_ctx();
    SSL_CTX_set_max_proto_version(context.get(), GetParam());
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT);
    if (certificate != nullptr) {
      const std::string chain = certificate->chain_pem();
      BIO* const pem = BIO_new_mem_buf(chain.data(), static_cast<int>(chain.size()));
      SSL_CTX_use_certificate(context.get(), certificate->x509());
      SSL_CTX_use_PrivateKey(context.get(), certificate->key());
      X509* above = PEM_read_bio_X509(pem, nullptr, nullptr, nullptr);
      X509_free(above);  // the leaf
      while ((above = PEM_read_bio_X509(pem, nullptr, nullptr, nullptr)) != nullptr) {
        SSL_CTX_add_extra_chain_cert(context.get(), above);
      }
      BIO_free(pem);
      ERR_clear_error();
    }
    return context;
  }

  // A whole handshake; what the server found is in client_certificate().
  const ClientCertificate* connect(const testing::SslCtx& context, const char* host,
                                   SSL_SESSION* session = nullptr) {
    auto [far, near] = testing::tcp_pair();
    peer_ = std::make_unique<TlsPeer>(std::move(far), context, /*server=*/false, host);
    if (session != nullptr) SSL_set_session(peer_->ssl(), session);
    stream_ = server_.accept(net::Socket(std::move(near)), pool_);
    for (int i = 0; i < 20; ++i) {
      peer_->pump();
      stream_->socket().note_events(EPOLLIN | EPOLLOUT);
      stream_->advance_handshake();
      stream_->flush();
    }
    EXPECT_EQ(stream_->state(), TlsStream::State::Open) << stream_->failure();
    return stream_->client_certificate();
  }
  std::shared_ptr<SSL_SESSION> session() {
    stream_->write("x");
    stream_->flush();
    peer_->pump();
    peer_->shutdown();
    return {SSL_get1_session(peer_->ssl()), SSL_SESSION_free};
  }
  [[nodiscard]] bool resumed() const { return stream_->resumed(); }

  BufferPool pool_;
  testing::FakeClock clock_;
  TestAuthority front_{"front"};
  TestAuthority authority_{"clients"};
  TestAuthority below_ = authority_.intermediate("below");
  TestAuthority other_{"others"};
  TestCertificate alice_ = below_.issue("alice");
  Hosts hosts_;
  TicketKeys tickets_ = TicketKeyRing::make();
  ServerContext server_{hosts_, tickets_, clock_};
  std::unique_ptr<TlsPeer> peer_;
  std::unique_ptr<TlsStream> stream_;
};

TEST_P(ClientAuthTest, AsksOnlyForHostsThatWantIt) {
  EXPECT_EQ(connect(client(&alice_), "open.example"), nullptr);
  ASSERT_NE(connect(client(&alice_), "a.example"), nullptr);
}

TEST_P(ClientAuthTest, JudgesWhatIsShownAndLetsTheHandshakePass) {
  const auto reason = [this](const TestCertificate* shown) {
    return connect(client(shown), "a.example")->verdict().reason;
  };
  const TestCertificate foreign = other_.issue("mallory");

  EXPECT_EQ(reason(&alice_), Reason::Ok);
  EXPECT_EQ(stream_->client_certificate()->subject(), "CN=alice");
  EXPECT_EQ(stream_->client_certificate()->verify_text(), "SUCCESS");
  EXPECT_EQ(reason(&foreign), Reason::UntrustedIssuer);
  EXPECT_TRUE(stream_->client_certificate()->verify_text().starts_with("FAILED:"));
  EXPECT_TRUE(stream_->client_certificate()->forwarded(true).empty());
  EXPECT_EQ(reason(nullptr), Reason::NoClientCertificate);
  EXPECT_EQ(stream_->client_certificate()->verify_text(), "NONE");
}

TEST_P(ClientAuthTest, AFilterIsPartOfTheVerdict) {
  hosts_.policies["a.example"]->subject = *pki::CommonNamePattern::compile("CN=bob");

  EXPECT_EQ(connect(client(&alice_), "a.example")->verdict().reason, Reason::NameMismatch);
}

TEST_P(ClientAuthTest, NamesTheAuthorities) {
  connect(client(), "a.example");
  const STACK_OF(X509_NAME)* names = SSL_get0_peer_CA_list(peer_->ssl());
  EXPECT_EQ(sk_X509_NAME_num(names), 1);

  hosts_.policies["a.example"]->announced = nullptr;
  connect(client(), "a.example");
  EXPECT_LE(sk_X509_NAME_num(SSL_get0_peer_CA_list(peer_->ssl())), 0);
}

TEST_P(ClientAuthTest, ASessionBringsBackWhoTheClientIs) {
  const auto context = client(&alice_);
  connect(context, "a.example");
  const auto kept = session();

  const ClientCertificate* again = connect(context, "a.example", kept.get());

  EXPECT_TRUE(resumed());
  EXPECT_EQ(again->verdict().reason, Reason::Ok);
  EXPECT_EQ(sk_X509_num(again->chain()), 1);
  EXPECT_EQ(stream_->client_certificate()->subject(), "CN=alice");
}

TEST_P(ClientAuthTest, ASessionOfOneHostOpensNoOther) {
  const auto context = client(&alice_);
  connect(context, "a.example");
  const auto kept = session();

  for (const char* host : {"b.example", "bound.example"}) {
    const ClientCertificate* there = connect(context, host, kept.get());

    EXPECT_FALSE(resumed()) << host;
    const bool same_ca = std::string_view(host) == "bound.example";
    EXPECT_EQ(there->verdict().reason, same_ca ? Reason::Ok : Reason::UntrustedIssuer) << host;
  }
  connect(client(), "open.example", kept.get());
  EXPECT_FALSE(resumed());
}

TEST_P(ClientAuthTest, ASessionOfAnOpenHostOpensNoneThatAsks) {
  const auto context = client();
  connect(context, "open.example");
  const auto kept = session();

  const ClientCertificate* there = connect(context, "a.example", kept.get());

  EXPECT_FALSE(resumed());
  EXPECT_EQ(there->verdict().reason, Reason::NoClientCertificate);
}

TEST_P(ClientAuthTest, ASessionIsJudgedByTodaysLists) {
  const auto context = client(&alice_);
  connect(context, "a.example");
  const auto kept = session();

  revoke(*hosts_.policies["a.example"], authority_.crl_pem() + below_.crl_pem());
  connect(context, "a.example", kept.get());
  EXPECT_TRUE(resumed());

  revoke(*hosts_.policies["a.example"], authority_.crl_pem() + below_.crl_pem({&alice_}));
  hosts_.policies["a.example"]->epoch = std::string(64, '0');
  const ClientCertificate* revoked = connect(context, "a.example", kept.get());
  EXPECT_FALSE(resumed());
  EXPECT_EQ(revoked->verdict().reason, Reason::Revoked);
}

TEST_P(ClientAuthTest, ASessionEndsWhenItsVerdictDoes) {
  const TestCertificate brief =
      authority_.issue("brief", {.not_after = clock_.unix_now() + testing::kDay});
  const auto context = client(&brief);
  connect(context, "a.example");
  const auto kept = session();
  SSL_SESSION_set_timeout(kept.get(), 1'000'000);

  connect(context, "a.example", kept.get());
  EXPECT_TRUE(resumed());
  clock_.advance(std::chrono::hours(48));
  const ClientCertificate* late = connect(context, "a.example", kept.get());

  EXPECT_FALSE(resumed());
  EXPECT_EQ(late->verdict().reason, Reason::Expired);
}

TEST_P(ClientAuthTest, WhoShowsNothingGoodGetsNoSession) {
  const TestCertificate foreign = other_.issue("mallory");
  for (const TestCertificate* shown : {&foreign, static_cast<const TestCertificate*>(nullptr)}) {
    const auto context = client(shown);
    connect(context, "a.example");
    const auto kept = session();
    connect(context, "a.example", kept.get());

    EXPECT_FALSE(resumed());
    EXPECT_FALSE(stream_->client_certificate()->verdict().ok());
  }
}

// Whoever has seen a ticket can send it: it proves nothing until OpenSSL has taken the session up,
// which it doesn't if the cipher is another's.
TEST_P(ClientAuthTest, ATicketThatIsNotTakenUpProvesNothing) {
  if (GetParam() != TLS1_3_VERSION) GTEST_SKIP() << "TLS 1.2 ends the handshake instead";
  const auto context = client(&alice_);
  SSL_CTX_set_ciphersuites(context.get(), "TLS_AES_256_GCM_SHA384");
  connect(context, "a.example");
  const auto kept = session();

  const auto thief = client();
  SSL_CTX_set_ciphersuites(thief.get(), "TLS_AES_128_GCM_SHA256");
  const ClientCertificate* found = connect(thief, "a.example", kept.get());

  EXPECT_FALSE(resumed());
  EXPECT_EQ(found->verdict().reason, Reason::NoClientCertificate);
  EXPECT_EQ(found->leaf(), nullptr);
}

TEST(ClientCertificate, ForgetsWhatASessionToldUnlessItWasTakenUp) {
  const TestAuthority authority("clients");
  const TestCertificate alice = authority.issue("alice");
  auto policy = std::make_shared<ClientPolicy>();
  ClientCertificate client(policy);

  client.bring_back(alice.x509(), nullptr, 0, testing::kYear2026);
  EXPECT_TRUE(client.verdict().ok());
  client.settle(/*resumed=*/false);

  EXPECT_EQ(client.verdict().reason, Reason::NoClientCertificate);
  EXPECT_EQ(client.leaf(), nullptr);
  EXPECT_EQ(client.verify_text(), "NONE");
}

TEST(ClientCertificate, WritesEnvoysFormOfWhoItIs) {
  const TestAuthority authority("clients");
  const TestCertificate alice = authority.issue(
      "alice", {.sans = {"URI:spiffe://shop/a", "DNS:a.test"}, .subject = "O=A \"B\"/CN=alice"});
  auto policy = std::make_shared<ClientPolicy>();
  policy->trust.push_back(*pki::CaBundle::load(authority.cert_pem(), testing::kYear2026));
  policy->rules.purpose = pki::Purpose::Client;
  ClientCertificate client(policy);
  client.show(alice.x509(), nullptr, testing::kYear2026);

  const std::string text(client.forwarded(false));
  EXPECT_TRUE(text.starts_with("Hash=")) << text;
  EXPECT_NE(text.find(R"(;Subject="CN=alice,O=A \\\"B\\\"";URI=spiffe://shop/a;DNS=a.test)"),
            std::string::npos)
      << text;
  EXPECT_NE(client.forwarded(true).find(";Cert=\"-----BEGIN%20CERTIFICATE-----%0A"),
            std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Versions, ClientAuthTest,
                         ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION));

}  // namespace
}  // namespace handfast::tls
