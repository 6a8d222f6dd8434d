// Connections that take up the session of an earlier one, and all that must keep them from it.

#include "proxy/tls/resumption.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>

#include "tests/support/test_ocsp.h"
#include "tests/support/times.h"
#include "tests/unit/proxy/tls/tls_peer.h"

namespace handfast::tls {
namespace {

using handfast::testing::make_policy;
using handfast::testing::make_server_ctx;
using handfast::testing::TestAuthority;
using handfast::testing::TestCertificate;
using handfast::testing::TlsPeer;

constexpr std::uint32_t kBoth = EPOLLIN | EPOLLOUT;

class ResumptionTest : public ::testing::TestWithParam<int> {
 protected:
  ResumptionTest() {
    policy_->sni = "orders.shop.svc";
    policy_->min_version = policy_->max_version = GetParam();
  }

  // A connection of `context_` to `server_`; what was there before ends in order.
  TlsStream::State connect() { return connect(context_); }
  TlsStream::State connect(ClientContext& context) {
    auto [far, near] = testing::tcp_pair();
    begin(context, std::move(near));
    peer_ = std::make_unique<TlsPeer>(std::move(far), server_, /*server=*/true);
    for (int i = 0; i < 20; ++i) step();
    return stream_->state();
  }
  void begin(ClientContext& context, UniqueFd near) {
    stream_.reset();
    auto stream = context.connect(net::Socket(std::move(near)), pool_, address_, policy_, alpn_);
    ASSERT_TRUE(stream) << stream.error();
    stream_ = std::move(*stream);
  }
  void step() {
    stream_->socket().note_events(kBoth);
    stream_->advance_handshake();
    stream_->flush();
    if (peer_ != nullptr) peer_->pump();
  }
  // The first byte from the server brings the tickets with it.
  net::IoResult exchange() {
    peer_->send("x");
    peer_->pump();
    stream_->socket().note_events(kBoth);
    return stream_->read(space_);
  }
  // True: open and resumed; the sessions that it brought are in the store, unless it failed.
  bool resumes() { return resumes(context_); }
  bool resumes(ClientContext& context) {
    if (connect(context) != TlsStream::State::Open) return false;
    EXPECT_EQ(exchange().state, net::IoState::Data);
    EXPECT_EQ(SSL_session_reused(peer_->ssl()) == 1, stream_->resumed());
    return stream_->resumed();
  }
  // The policy as it is after a change.
  void change_policy(const char* key, const char* epoch) {
    policy_ = std::make_shared<UpstreamPolicy>(*policy_);
    policy_->key = key;
    policy_->epoch = epoch;
  }
  void serve_with(const TestCertificate& leaf) {
    ASSERT_EQ(SSL_CTX_use_certificate(server_.get(), leaf.x509()), 1);
    ASSERT_EQ(SSL_CTX_use_PrivateKey(server_.get(), leaf.key()), 1);
  }
  void demand_client_certificate() {
    server_ = make_server_ctx(leaf_, &root_);
    // Without one, OpenSSL's servers break off when they see a ticket.
    SSL_CTX_set_session_id_context(server_.get(), reinterpret_cast<const unsigned char*>("x"), 1);
  }
  [[nodiscard]] pki::Verdict judge_again(const UpstreamPolicy& policy) const {
    const pki::X509Ptr leaf(SSL_get1_peer_certificate(stream_->ssl()));
    return policy.judge(leaf.get(), SSL_get_peer_cert_chain(stream_->ssl()),
                        stream_->stapled().get(), clock_.unix_now());
  }

  testing::FakeClock clock_;
  BufferPool pool_;
  SessionStore store_;
  ClientContext context_{clock_, &store_};
  TestAuthority root_{"shop-root"};
  TestCertificate leaf_ = root_.issue("orders.shop.svc");
  testing::SslCtx server_ = make_server_ctx(leaf_);
  std::shared_ptr<UpstreamPolicy> policy_ = make_policy(root_, {"orders.shop.svc"});
  net::Address address_ = net::Address::from_ip("192.0.2.7", 8443).value();
  Alpn alpn_ = Alpn::None;
  std::unique_ptr<TlsPeer> peer_;
  std::unique_ptr<TlsStream> stream_;
  std::array<char, 100> space_;
};

INSTANTIATE_TEST_SUITE_P(Versions, ResumptionTest,
                         ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const ::testing::TestParamInfo<int>& version) {
                           return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13";
                         });

TEST_P(ResumptionTest, ResumesEveryConnectionAfterTheFirst) {
  EXPECT_FALSE(resumes());
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(resumes()) << i;
  EXPECT_LE(store_.size(), SessionStore::kPerKey);
}

TEST_P(ResumptionTest, ResumesWhatAnotherWorkerBegan) {
  ClientContext other(clock_, &store_);
  resumes();
  EXPECT_TRUE(resumes(other));
}

TEST_P(ResumptionTest, MakesFullHandshakesWithoutAStore) {
  ClientContext without(clock_);
  resumes();
  EXPECT_FALSE(resumes(without));
  EXPECT_FALSE(resumes(without));
}

TEST_P(ResumptionTest, KnowsOfAResumedPeerWhatWasVerifiedThen) {
  resumes();
  const UnixSeconds valid_until = stream_->verdict().valid_until;
  ASSERT_GT(valid_until, clock_.unix_now());
  ASSERT_TRUE(resumes());

  EXPECT_EQ(stream_->verdict().valid_until, valid_until);
  ASSERT_NE(stream_->peer(), nullptr);
  EXPECT_EQ(X509_cmp(stream_->peer(), leaf_.x509()), 0);
}

// Of the whole chain: intermediates too.
TEST_P(ResumptionTest, AResumedPeersChainCanBeJudgedAgain) {
  const TestAuthority issuing = root_.intermediate("shop-issuing");
  const TestCertificate leaf = issuing.issue("orders.shop.svc");
  server_ = make_server_ctx(leaf);
  SSL_CTX_add1_chain_cert(server_.get(), issuing.certificate().x509());
  resumes();
  ASSERT_TRUE(resumes());

  EXPECT_TRUE(judge_again(*policy_).ok());
  testing::add_crl(*policy_, root_.crl_pem({&issuing.certificate()}));
  testing::add_crl(*policy_, issuing.crl_pem());
  EXPECT_EQ(judge_again(*policy_).reason, Reason::Revoked);
}

// A resumed handshake doesn't ask again.
TEST_P(ResumptionTest, KnowsThatTheBackendAskedForOurCertificate) {
  policy_->identity = testing::load_identity(root_.issue("handfast-client"));
  demand_client_certificate();
  resumes();
  ASSERT_TRUE(stream_->certificate_requested());

  ASSERT_TRUE(resumes());
  EXPECT_TRUE(stream_->certificate_requested());
  ASSERT_TRUE(resumes());
  EXPECT_TRUE(stream_->certificate_requested());
}

TEST_P(ResumptionTest, AResumedBackendThatAskedThenSatisfiesWhoDemandsIt) {
  demand_client_certificate();
  policy_->identity = testing::load_identity(root_.issue("client"));
  policy_->require_certificate_request = true;

  EXPECT_FALSE(resumes());
  EXPECT_TRUE(resumes());
  EXPECT_TRUE(resumes());
}

// The same key by mistake: even so a session that was made without one doesn't count.
TEST_P(ResumptionTest, AResumedBackendThatDidNotAskIsRefusedByWhoDemandsIt) {
  EXPECT_FALSE(resumes());
  change_policy("key-1", "epoch-1");
  policy_->require_certificate_request = true;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(connect(), TlsStream::State::Failed);
    EXPECT_EQ(stream_->failure().reason, Reason::ClientCertificateNotRequested);
  }
  stream_.reset();
  EXPECT_EQ(store_.size(), 0u);
}

TEST_P(ResumptionTest, APolicyThatWantsNoneNeitherTakesNorKeepsSessions) {
  EXPECT_FALSE(resumes());
  const std::size_t kept = store_.size();
  change_policy("key-1", "epoch-1");
  policy_->resumption = false;

  EXPECT_FALSE(resumes());
  EXPECT_FALSE(resumes());
  stream_.reset();
  EXPECT_EQ(store_.size(), kept);
}

TEST_P(ResumptionTest, ASessionHoldsNoLongerThanTheStapledResponse) {
  const std::string response = testing::ocsp_response(
      root_, leaf_, {.next_update = testing::kYear2026 + 60 - pki::kOcspSkew});
  testing::staple(server_, &response);
  policy_->ocsp = pki::OcspMode::Require;
  EXPECT_FALSE(resumes());
  EXPECT_TRUE(resumes());
  EXPECT_TRUE(resumes());  // of a session that a resumed connection brought
  ASSERT_NE(stream_->stapled(), nullptr);
  EXPECT_TRUE(judge_again(*policy_).ok());
  clock_.advance(std::chrono::seconds(61));

  EXPECT_EQ(connect(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::Ocsp);
}

TEST_P(ResumptionTest, UnderANewTrustTheResponseIsJudgedAgainWithTheChain) {
  std::string response = testing::ocsp_response(root_, leaf_);
  testing::staple(server_, &response);
  policy_->ocsp = pki::OcspMode::Require;
  EXPECT_FALSE(resumes());
  change_policy("key-1", "epoch-2");

  EXPECT_TRUE(resumes());
}

TEST_P(ResumptionTest, ASessionOfAnAuditEndsWithIt) {
  policy_->rules.names = {"other.shop.svc"};
  policy_->audit_until = testing::kYear2026 + 60;
  EXPECT_FALSE(resumes());
  EXPECT_TRUE(resumes());
  EXPECT_EQ(stream_->verdict().would_refuse, Reason::NameMismatch);
  EXPECT_TRUE(resumes());
  clock_.advance(std::chrono::seconds(60));

  EXPECT_EQ(connect(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::NameMismatch);
}

TEST_P(ResumptionTest, KnowsThatTheBackendDidNotAsk) {
  policy_->identity = testing::load_identity(root_.issue("handfast-client"));
  resumes();
  ASSERT_TRUE(resumes());
  EXPECT_FALSE(stream_->certificate_requested());
}

TEST_P(ResumptionTest, TakesNoSessionOfAnotherPolicyAddressOrProtocol) {
  resumes();
  const auto policy = policy_;
  change_policy("key-2", "epoch-1");
  EXPECT_FALSE(resumes());
  policy_ = policy;
  alpn_ = Alpn::Http2;
  EXPECT_FALSE(resumes());
  alpn_ = Alpn::None;
  address_ = net::Address::from_ip("192.0.2.7", 8444).value();
  EXPECT_FALSE(resumes());

  address_ = net::Address::from_ip("192.0.2.7", 8443).value();
  EXPECT_TRUE(resumes());
}

TEST_P(ResumptionTest, ARotatedIdentityIsPresentedInAFullHandshake) {
  demand_client_certificate();
  policy_->identity = testing::load_identity(root_.issue("old-client"));
  resumes();
  change_policy("key-2", "epoch-1");
  const TestCertificate renewed = root_.issue("new-client");
  policy_->identity = testing::load_identity(renewed);

  EXPECT_FALSE(resumes());
  EXPECT_EQ(X509_cmp(SSL_get0_peer_certificate(peer_->ssl()), renewed.x509()), 0);
  EXPECT_TRUE(resumes());
  EXPECT_EQ(X509_cmp(SSL_get0_peer_certificate(peer_->ssl()), renewed.x509()), 0);
}

TEST_P(ResumptionTest, RefusesAPeerThatWasRevokedSince) {
  resumes();
  change_policy("key-1", "epoch-2");
  testing::add_crl(*policy_, root_.crl_pem({&leaf_}));

  EXPECT_EQ(connect(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::Revoked);
  EXPECT_EQ(connect(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::Revoked);
}

// Sessions that a resumed connection brought hold the chain of the first.
TEST_P(ResumptionTest, RefusesARevokedPeerThatWasResumedOften) {
  for (int i = 0; i < 3; ++i) resumes();
  ASSERT_TRUE(stream_->resumed());
  change_policy("key-1", "epoch-2");
  testing::add_crl(*policy_, root_.crl_pem({&leaf_}));

  EXPECT_EQ(connect(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::Revoked);
}

TEST_P(ResumptionTest, RefusesAPeerWhoseAuthorityIsTrustedNoMore) {
  resumes();
  change_policy("key-1", "epoch-2");
  const TestAuthority other("other-root");
  policy_->trust = make_policy(other, {})->trust;

  EXPECT_EQ(connect(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::UntrustedIssuer);
}

TEST_P(ResumptionTest, TheReplacedCertificateOfARevokedOneIsMetInAFullHandshake) {
  resumes();
  change_policy("key-1", "epoch-2");
  testing::add_crl(*policy_, root_.crl_pem({&leaf_}));
  const TestCertificate renewed = root_.issue("orders.shop.svc");
  serve_with(renewed);

  EXPECT_FALSE(resumes());
  EXPECT_EQ(stream_->state(), TlsStream::State::Open);
  EXPECT_EQ(X509_cmp(stream_->peer(), renewed.x509()), 0);
  EXPECT_TRUE(resumes());
}

// A daily CRL refresh costs no full handshakes.
TEST_P(ResumptionTest, ResumesUnderANewTrustThatThePeersChainPasses) {
  testing::add_crl(*policy_, root_.crl_pem({}, {.next_update = clock_.unix_now() + 60}));
  resumes();
  change_policy("key-1", "epoch-2");
  policy_->crls.clear();
  testing::add_crl(*policy_, root_.crl_pem({}, {.next_update = clock_.unix_now() + 900}));
  clock_.advance(std::chrono::seconds(61));

  ASSERT_TRUE(resumes());
  EXPECT_EQ(stream_->verdict().valid_until, clock_.unix_now() + 900 - 61);
  EXPECT_TRUE(resumes());
}

TEST_P(ResumptionTest, DropsASessionWhoseVerificationHasExpired) {
  testing::add_crl(*policy_, root_.crl_pem({}, {.next_update = clock_.unix_now() + 60}));
  resumes();
  clock_.advance(std::chrono::seconds(61));

  EXPECT_EQ(connect(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::CrlExpired);
}

TEST_P(ResumptionTest, DropsASessionWhosePeersCertificateHasExpired) {
  serve_with(root_.issue("orders.shop.svc", {.not_after = clock_.unix_now() + 60}));
  resumes();
  clock_.advance(std::chrono::seconds(61));

  EXPECT_EQ(connect(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::Expired);
}

// A resumed connection's own sessions end no later.
TEST_P(ResumptionTest, AChainOfSessionsEndsWithTheCertificateThatItBeganWith) {
  serve_with(root_.issue("orders.shop.svc", {.not_after = clock_.unix_now() + 60}));
  resumes();
  clock_.advance(std::chrono::seconds(30));
  ASSERT_TRUE(resumes());
  clock_.advance(std::chrono::seconds(31));

  EXPECT_EQ(connect(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::Expired);
}

TEST_P(ResumptionTest, DropsASessionThatCarriesAnIdentityOfOursThatHasExpired) {
  const UnixSeconds end = clock_.unix_now() + 60;
  policy_->identity = testing::load_identity(root_.issue("client", {.not_after = end}));
  resumes();
  clock_.advance(std::chrono::seconds(61));
  EXPECT_FALSE(resumes());
}

TEST_P(ResumptionTest, DropsASessionAtTheEndOfItsLifetime) {
  SSL_CTX_set_timeout(server_.get(), 60);
  resumes();
  clock_.advance(std::chrono::seconds(61));
  EXPECT_FALSE(resumes());
}

TEST_P(ResumptionTest, KeepsNothingThatEndsAtOnce) {
  policy_->identity =
      testing::load_identity(root_.issue("client", {.not_after = clock_.unix_now()}));
  resumes();
  EXPECT_EQ(store_.size(), 0u);
}

TEST_P(ResumptionTest, ResumesWhereVerificationIsOff) {
  const TestAuthority stranger("stranger");
  serve_with(stranger.issue("orders.shop.svc"));
  policy_->verify = false;
  resumes();
  ASSERT_TRUE(resumes());
  EXPECT_EQ(stream_->verdict().valid_until, 0);

  // The same backend under a policy that verifies: that has another key.
  change_policy("key-2", "epoch-1");
  policy_->verify = true;
  EXPECT_EQ(connect(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::UntrustedIssuer);
}

TEST_P(ResumptionTest, KeepsNothingOfAConnectionThatFailed) {
  resumes();
  ASSERT_GT(store_.size(), 0u);
  peer_->close();
  stream_->socket().note_events(EPOLLRDHUP);
  ASSERT_EQ(stream_->read(space_).state, net::IoState::Failed);
  stream_.reset();

  EXPECT_EQ(store_.size(), 0u);
  EXPECT_FALSE(resumes());
}

TEST_P(ResumptionTest, KeepsNothingOfAPeerThatWasRefused) {
  serve_with(root_.issue("billing.shop.svc"));
  EXPECT_EQ(connect(), TlsStream::State::Failed);
  EXPECT_EQ(store_.size(), 0u);
}

// A backend that can't cope with what it is offered is met in full the next time.
TEST_P(ResumptionTest, DoesNotTryASessionAgainWhoseHandshakeFailed) {
  SSL_CTX_set_num_tickets(server_.get(), 1);
  resumes();
  auto [far, near] = testing::tcp_pair();
  begin(context_, std::move(near));
  peer_.reset();
  far.reset();
  for (int i = 0; i < 3; ++i) step();
  ASSERT_EQ(stream_->state(), TlsStream::State::Failed);
  stream_.reset();

  EXPECT_EQ(store_.size(), 0u);
}

TEST_P(ResumptionTest, DoesNotTryASessionAgainWhoseHandshakeTookTooLong) {
  SSL_CTX_set_num_tickets(server_.get(), 1);
  resumes();
  auto [far, near] = testing::tcp_pair();
  begin(context_, std::move(near));
  peer_.reset();
  step();
  ASSERT_EQ(stream_->state(), TlsStream::State::Handshaking);
  stream_.reset();

  EXPECT_EQ(store_.size(), 0u);
}

TEST_P(ResumptionTest, ForgetsWhatTheBackendKnowsNoMore) {
  SSL_CTX_set_num_tickets(server_.get(), 1);
  resumes();
  server_ = make_server_ctx(leaf_);  // it restarted: other ticket keys
  SSL_CTX_set_num_tickets(server_.get(), 1);
  EXPECT_FALSE(resumes());
  EXPECT_EQ(store_.size(), 1u);
  EXPECT_TRUE(resumes());
}

class ResumptionTls12Test : public ResumptionTest {};
INSTANTIATE_TEST_SUITE_P(Tls12, ResumptionTls12Test, ::testing::Values(TLS1_2_VERSION));

TEST_P(ResumptionTls12Test, ASessionServesSeveralConnectionsAtATime) {
  resumes();
  const auto first = std::move(stream_);
  const auto first_peer = std::move(peer_);
  EXPECT_TRUE(resumes());
  const auto second = std::move(stream_);
  const auto second_peer = std::move(peer_);
  EXPECT_TRUE(resumes());
  EXPECT_EQ(store_.size(), 1u);
}

TEST_P(ResumptionTls12Test, TakesTheTicketThatReplacesTheOneItUsed) {
  SSL_CTX_set_session_ticket_cb(
      server_.get(), [](SSL*, void*) { return 1; },
      [](SSL*, SSL_SESSION*, const unsigned char*, std::size_t, SSL_TICKET_STATUS status, void*) {
        return status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW
                   ? SSL_TICKET_RETURN_USE_RENEW
                   : SSL_TICKET_RETURN_IGNORE_RENEW;
      },
      nullptr);
  resumes();
  const SslSessionPtr first(SSL_get1_session(stream_->ssl()));
  ASSERT_TRUE(resumes());
  const SslSessionPtr second(SSL_get1_session(stream_->ssl()));
  EXPECT_NE(second, first);
  EXPECT_EQ(store_.size(), 1u);

  ASSERT_TRUE(resumes());
  EXPECT_NE(SSL_get0_session(stream_->ssl()), second.get());
  EXPECT_EQ(store_.size(), 1u);
}

// RFC 7627: whoever sits between could have made us share the secret with two servers.
TEST_P(ResumptionTls12Test, KeepsNoSessionWithoutTheExtendedMasterSecret) {
  SSL_CTX_set_options(server_.get(), SSL_OP_NO_EXTENDED_MASTER_SECRET);
  EXPECT_FALSE(resumes());
  EXPECT_EQ(store_.size(), 0u);
}

class ResumptionTls13Test : public ResumptionTest {};
INSTANTIATE_TEST_SUITE_P(Tls13, ResumptionTls13Test, ::testing::Values(TLS1_3_VERSION));

TEST_P(ResumptionTls13Test, UsesATicketOnce) {
  SSL_CTX_set_num_tickets(server_.get(), 1);
  resumes();
  ASSERT_EQ(connect(), TlsStream::State::Open);
  ASSERT_TRUE(stream_->resumed());
  const auto first = std::move(stream_);
  const auto first_peer = std::move(peer_);
  ASSERT_EQ(connect(), TlsStream::State::Open);
  EXPECT_FALSE(stream_->resumed());
}

TEST_P(ResumptionTls13Test, OffersNoEarlyData) {
  SSL_CTX_set_max_early_data(server_.get(), 16384);
  SSL_CTX_set_options(server_.get(), SSL_OP_NO_ANTI_REPLAY);  // it needs the server's cache
  resumes();
  ASSERT_TRUE(resumes());
  EXPECT_EQ(SSL_get_early_data_status(peer_->ssl()), SSL_EARLY_DATA_NOT_SENT);
}

}  // namespace
}  // namespace handfast::tls
