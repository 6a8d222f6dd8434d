// Our side as the client: what each way of failing is called, and what is kept.

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

class UpstreamTlsTest : public ::testing::Test {
 protected:
  UpstreamTlsTest() { policy_->sni = "orders.shop.svc"; }

  void connect(const testing::SslCtx& server) {
    auto [far, near] = testing::tcp_pair();
    peer_ = std::make_unique<TlsPeer>(std::move(far), server, /*server=*/true);
    adopt(std::move(near));
  }
  void adopt(UniqueFd near) {
    auto stream = context_.connect(net::Socket(std::move(near)), pool_, net::Address(), policy_);
    ASSERT_TRUE(stream) << stream.error();
    stream_ = std::move(*stream);
  }
  // Lets both sides go on until ours is open or has failed.
  TlsStream::State handshake() {
    for (int i = 0; i < 20; ++i) step();
    return stream_->state();
  }
  void step() {
    stream_->socket().note_events(kBoth);
    stream_->advance_handshake();
    stream_->flush();
    if (peer_ != nullptr) peer_->pump();
  }
  net::IoResult read() {
    stream_->socket().note_events(kBoth);
    return stream_->read(space_);
  }
  Reason fails_with(const testing::SslCtx& server) {
    connect(server);
    if (handshake() != TlsStream::State::Failed) return Reason::Ok;
    return stream_->failure().reason;
  }

  testing::FakeClock clock_;
  BufferPool pool_;
  ClientContext context_{clock_};
  TestAuthority root_{"shop-root"};
  TestCertificate leaf_ = root_.issue("orders.shop.svc");
  std::shared_ptr<UpstreamPolicy> policy_ = make_policy(root_, {"orders.shop.svc"});
  std::unique_ptr<TlsPeer> peer_;
  std::unique_ptr<TlsStream> stream_;
  std::array<char, 40'000> space_;
};

TEST_F(UpstreamTlsTest, VerifiesTheBackendAndExchangesBytes) {
  connect(make_server_ctx(leaf_));
  ASSERT_EQ(handshake(), TlsStream::State::Open);
  stream_->write("ping");
  stream_->flush();
  peer_->pump();
  peer_->send("pong");
  peer_->pump();

  EXPECT_EQ(peer_->received, "ping");
  const net::IoResult result = read();
  EXPECT_EQ(std::string_view(space_.data(), result.bytes), "pong");
  EXPECT_GT(stream_->verdict().valid_until, clock_.unix_now());
  EXPECT_FALSE(stream_->certificate_requested());
}

TEST_F(UpstreamTlsTest, EndsABackendThatUpdatesItsKeysWithoutEnd) {
  connect(make_server_ctx(leaf_));
  ASSERT_EQ(handshake(), TlsStream::State::Open);
  const auto update_keys = [this](int times) {
    for (int i = 0; i < times; ++i) {
      SSL_key_update(peer_->ssl(), SSL_KEY_UPDATE_NOT_REQUESTED);
      SSL_do_handshake(peer_->ssl());
    }
    return read().state;
  };

  for (int i = 0; i < 5; ++i) {  // now and then that is fine
    EXPECT_EQ(update_keys(1000), net::IoState::WouldBlock);
    peer_->send("data");
    peer_->pump();
    EXPECT_EQ(read().state, net::IoState::Data);
  }
  for (int i = 0; i < 5 && stream_->state() == TlsStream::State::Open; ++i) update_keys(1000);

  EXPECT_EQ(stream_->state(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::BadResponse);
}

TEST_F(UpstreamTlsTest, ShakesHandsOnceHoweverTheBackendAsksForMore) {
  const auto server = make_server_ctx(leaf_);
  SSL_CTX_set_max_proto_version(server.get(), TLS1_2_VERSION);
  connect(server);
  ASSERT_EQ(handshake(), TlsStream::State::Open);
  const SSL_SESSION* const session = SSL_get0_session(stream_->ssl());

  SSL_renegotiate(peer_->ssl());
  SSL_do_handshake(peer_->ssl());  // a HelloRequest
  EXPECT_EQ(read().state, net::IoState::WouldBlock);
  for (int i = 0; i < 20; ++i) {
    stream_->flush();
    SSL_do_handshake(peer_->ssl());
    static_cast<void>(read());
  }

  EXPECT_EQ(SSL_get0_session(stream_->ssl()), session);
  EXPECT_EQ(SSL_num_renegotiations(stream_->ssl()), 0);
}

TEST_F(UpstreamTlsTest, PresentsItsIdentityToABackendThatAsks) {
  const TestCertificate client = root_.issue("handfast-client");
  policy_->identity = testing::load_identity(client);
  connect(make_server_ctx(leaf_, &root_));

  ASSERT_EQ(handshake(), TlsStream::State::Open);
  ASSERT_TRUE(peer_->done);
  X509* seen = SSL_get0_peer_certificate(peer_->ssl());
  ASSERT_NE(seen, nullptr);
  EXPECT_EQ(X509_cmp(seen, client.x509()), 0);
  EXPECT_TRUE(stream_->certificate_requested());
}

TEST_F(UpstreamTlsTest, SendsTheNameOfThePolicyAndNoneWithoutOne) {
  connect(make_server_ctx(leaf_));
  handshake();
  EXPECT_STREQ(SSL_get_servername(peer_->ssl(), TLSEXT_NAMETYPE_host_name), "orders.shop.svc");

  policy_->sni.reset();
  connect(make_server_ctx(leaf_));
  ASSERT_EQ(handshake(), TlsStream::State::Open);
  EXPECT_EQ(SSL_get_servername(peer_->ssl(), TLSEXT_NAMETYPE_host_name), nullptr);
}

TEST_F(UpstreamTlsTest, NamesAnIssuerThatItDoesNotTrust) {
  const TestAuthority stranger("stranger");
  EXPECT_EQ(fails_with(make_server_ctx(stranger.issue("orders.shop.svc"))),
            Reason::UntrustedIssuer);
}

TEST_F(UpstreamTlsTest, NamesACertificateThatHasExpired) {
  EXPECT_EQ(fails_with(make_server_ctx(
                root_.issue("orders.shop.svc", {.not_after = testing::kYear2020 + 1000}))),
            Reason::Expired);
}

TEST_F(UpstreamTlsTest, NamesACertificateForAnotherHost) {
  EXPECT_EQ(fails_with(make_server_ctx(root_.issue("billing.shop.svc"))), Reason::NameMismatch);
}

TEST_F(UpstreamTlsTest, NamesARevokedCertificate) {
  testing::add_crl(*policy_, root_.crl_pem({&leaf_}));
  EXPECT_EQ(fails_with(make_server_ctx(leaf_)), Reason::Revoked);
}

TEST_F(UpstreamTlsTest, AnEmptyPolicyTrustsNobody) {
  policy_->trust.clear();
  EXPECT_EQ(fails_with(make_server_ctx(leaf_)), Reason::UntrustedIssuer);
}

TEST_F(UpstreamTlsTest, ARefusalOfOurCertificateHasItsWordUnderTls12) {
  const TestAuthority other("other");
  policy_->identity = testing::load_identity(other.issue("handfast-client"));
  policy_->max_version = TLS1_2_VERSION;
  EXPECT_EQ(fails_with(make_server_ctx(leaf_, &root_)), Reason::ClientCertificateRejected);
}

TEST_F(UpstreamTlsTest, AMissingCertificateOfOursHasTheSameWordUnderTls12) {
  policy_->max_version = TLS1_2_VERSION;
  EXPECT_EQ(fails_with(make_server_ctx(leaf_, &root_)), Reason::ClientCertificateRejected);
}

// Our side of the handshake is done before the backend has looked: the reader finds the alert.
TEST_F(UpstreamTlsTest, ARefusalOfOurCertificateHasItsWordUnderTls13) {
  const TestAuthority other("other");
  policy_->identity = testing::load_identity(other.issue("handfast-client"));
  connect(make_server_ctx(leaf_, &root_));
  ASSERT_EQ(handshake(), TlsStream::State::Open);

  EXPECT_EQ(read().state, net::IoState::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::ClientCertificateRejected);
}

TEST_F(UpstreamTlsTest, AMissingCertificateOfOursHasTheSameWordUnderTls13) {
  connect(make_server_ctx(leaf_, &root_));
  ASSERT_EQ(handshake(), TlsStream::State::Open);

  EXPECT_EQ(read().state, net::IoState::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::ClientCertificateRejected);
}

class CertificateRequestTest : public UpstreamTlsTest, public ::testing::WithParamInterface<int> {
 protected:
  CertificateRequestTest() {
    policy_->identity = testing::load_identity(root_.issue("handfast-client"));
    policy_->require_certificate_request = true;
    policy_->min_version = policy_->max_version = GetParam();
  }
};

INSTANTIATE_TEST_SUITE_P(Versions, CertificateRequestTest,
                         ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const ::testing::TestParamInfo<int>& version) {
                           return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13";
                         });

TEST_P(CertificateRequestTest, ABackendThatDoesNotAskIsRefusedWhereItMust) {
  EXPECT_EQ(fails_with(make_server_ctx(leaf_)), Reason::ClientCertificateNotRequested);
  // Nothing that is written now goes out.
  stream_->write("secret");
  stream_->flush();
  peer_->pump();
  EXPECT_EQ(peer_->received, "");
}

TEST_P(CertificateRequestTest, ABackendThatAsksIsTaken) {
  EXPECT_EQ(fails_with(make_server_ctx(leaf_, &root_)), Reason::Ok);
  EXPECT_TRUE(stream_->certificate_requested());
}

TEST_P(CertificateRequestTest, WhoIsNotBelievedIsNamedFirst) {
  EXPECT_EQ(fails_with(make_server_ctx(TestAuthority("other").issue("orders.shop.svc"))),
            Reason::UntrustedIssuer);
}

class StapledTest : public CertificateRequestTest {
 protected:
  StapledTest() {
    policy_->require_certificate_request = false;
    policy_->ocsp = pki::OcspMode::Require;
    testing::staple(server_, &response_);
  }
  Reason with(const testing::OcspOptions& options) {
    response_ = testing::ocsp_response(root_, leaf_, options);
    return fails_with(server_);
  }

  testing::SslCtx server_ = make_server_ctx(leaf_, &root_);
  std::string response_;
};

INSTANTIATE_TEST_SUITE_P(Versions, StapledTest, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const ::testing::TestParamInfo<int>& version) {
                           return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13";
                         });

TEST_P(StapledTest, IsJudgedInTheHandshake) {
  using Status = testing::OcspOptions::Status;
  EXPECT_EQ(with({}), Reason::Ok);
  EXPECT_EQ(stream_->verdict().valid_until, testing::kYear2026 + testing::kDay + pki::kOcspSkew);
  EXPECT_EQ(with({.status = Status::Revoked}), Reason::Revoked);
  EXPECT_EQ(with({.status = Status::Unknown}), Reason::Ocsp);
  EXPECT_EQ(with({.break_signature = true}), Reason::Ocsp);
  EXPECT_EQ(with({.next_update = testing::kYear2026 - testing::kDay}), Reason::Ocsp);
}

TEST_P(StapledTest, ARevokedBackendDoesNotEvenSeeOurCertificate) {
  ASSERT_EQ(with({.status = testing::OcspOptions::Status::Revoked}), Reason::Revoked);
  EXPECT_FALSE(peer_->done);
  EXPECT_EQ(SSL_get0_peer_certificate(peer_->ssl()), nullptr);
}

TEST_P(StapledTest, ItsAbsenceCountsOnlyWhereItIsDemanded) {
  EXPECT_EQ(fails_with(server_), Reason::Ocsp);
  policy_->ocsp = pki::OcspMode::IfPresent;
  EXPECT_EQ(fails_with(server_), Reason::Ok);
  policy_->ocsp = pki::OcspMode::Off;
  EXPECT_EQ(with({.status = testing::OcspOptions::Status::Revoked}), Reason::Ok);
}

TEST_P(StapledTest, WhoIsNotBelievedIsNamedFirst) {
  policy_->rules.names = {"other.shop.svc"};
  EXPECT_EQ(with({.status = testing::OcspOptions::Status::Revoked}), Reason::NameMismatch);
}

class AuditTest : public UpstreamTlsTest {
 protected:
  AuditTest() { policy_->audit_until = testing::kYear2026 + 10; }
};

TEST_F(AuditTest, WhatWouldBeRefusedPassesAndIsNamedUntilTheAuditEnds) {
  policy_->rules.names = {"other.shop.svc"};
  EXPECT_EQ(fails_with(make_server_ctx(leaf_)), Reason::Ok);
  EXPECT_EQ(stream_->verdict().would_refuse, Reason::NameMismatch);
  EXPECT_EQ(stream_->verdict().valid_until, testing::kYear2026 + 9);
  clock_.advance(std::chrono::seconds(10));
  EXPECT_EQ(fails_with(make_server_ctx(leaf_)), Reason::NameMismatch);
}

TEST_F(AuditTest, WhatPassesIsNotNamed) {
  EXPECT_EQ(fails_with(make_server_ctx(leaf_)), Reason::Ok);
  EXPECT_EQ(stream_->verdict().would_refuse, Reason::Ok);
  EXPECT_EQ(stream_->verdict().valid_until, testing::kYear2120);
}

TEST_F(AuditTest, AMissingStapleIsPartOfIt) {
  policy_->ocsp = pki::OcspMode::Require;
  EXPECT_EQ(fails_with(make_server_ctx(leaf_)), Reason::Ok);
  EXPECT_EQ(stream_->verdict().would_refuse, Reason::Ocsp);
}

TEST_F(UpstreamTlsTest, UsesTheSuitesAndGroupsOfItsPolicy) {
  policy_->cipher_suites = "TLS_AES_128_GCM_SHA256";
  policy_->groups = "P-384";
  ASSERT_EQ(fails_with(make_server_ctx(leaf_)), Reason::Ok);
  EXPECT_STREQ(SSL_get_cipher_name(stream_->ssl()), "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(SSL_get_negotiated_group(stream_->ssl()), NID_secp384r1);
  const testing::SslCtx other = make_server_ctx(leaf_);
  SSL_CTX_set1_groups_list(other.get(), "X25519");
  EXPECT_EQ(fails_with(other), Reason::Protocol);
}

TEST_F(UpstreamTlsTest, APeerThatSpeaksHttpIsNotTls) {
  auto [far, near] = testing::tcp_pair();
  testing::Peer plain(std::move(far));
  adopt(std::move(near));
  plain.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
  plain.finish();
  plain.pump();

  EXPECT_EQ(handshake(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::NotTls);
}

TEST_F(UpstreamTlsTest, APeerThatClosesInTheHandshakeHasItsWord) {
  auto [far, near] = testing::tcp_pair();
  testing::Peer plain(std::move(far));
  adopt(std::move(near));
  plain.finish();
  plain.pump();

  EXPECT_EQ(handshake(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::HandshakeClosed);
}

TEST_F(UpstreamTlsTest, NoCommonVersionIsAProtocolFailure) {
  policy_->max_version = TLS1_2_VERSION;
  testing::SslCtx server = make_server_ctx(leaf_);
  SSL_CTX_set_min_proto_version(server.get(), TLS1_3_VERSION);
  EXPECT_EQ(fails_with(server), Reason::Protocol);
}

// What went wrong after the peer has spoken TLS isn't "not TLS".
TEST_F(UpstreamTlsTest, GarbageBehindTheServerHelloIsAProtocolFailure) {
  auto [far, near] = testing::tcp_pair();
  testing::Peer wire(std::move(far));
  adopt(std::move(near));
  step();
  wire.pump();
  const testing::SslCtx ctx = make_server_ctx(leaf_);
  const std::shared_ptr<SSL> server(SSL_new(ctx.get()), SSL_free);
  BIO* const in = BIO_new(BIO_s_mem());
  BIO* const out = BIO_new(BIO_s_mem());
  SSL_set_bio(server.get(), in, out);
  SSL_set_accept_state(server.get());
  BIO_write(in, wire.received.data(), static_cast<int>(wire.received.size()));
  SSL_do_handshake(server.get());
  char* flight = nullptr;
  const long size = BIO_get_mem_data(out, &flight);
  const std::string bytes(flight, static_cast<std::size_t>(size));
  const auto high = static_cast<unsigned char>(bytes[3]);
  const auto low = static_cast<unsigned char>(bytes[4]);
  const std::size_t hello = 5 + (static_cast<std::size_t>(high) << 8 | low);
  wire.send(bytes.substr(0, hello));
  wire.send("this is no record of TLS at all");
  wire.pump();

  EXPECT_EQ(handshake(), TlsStream::State::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::Protocol);
}

TEST_F(UpstreamTlsTest, AnEndWithoutCloseNotifyIsAFailureAndNotAnEnd) {
  connect(make_server_ctx(leaf_));
  ASSERT_EQ(handshake(), TlsStream::State::Open);
  peer_->close();
  stream_->socket().note_events(EPOLLRDHUP);

  EXPECT_EQ(read().state, net::IoState::Failed);
  EXPECT_EQ(stream_->failure().reason, Reason::BadResponse);
}

TEST_F(UpstreamTlsTest, AnEndWithCloseNotifyIsAnEnd) {
  connect(make_server_ctx(leaf_));
  ASSERT_EQ(handshake(), TlsStream::State::Open);
  peer_->shutdown();

  EXPECT_EQ(read().state, net::IoState::End);
  EXPECT_EQ(stream_->state(), TlsStream::State::Closed);
}

TEST_F(UpstreamTlsTest, TakesAWriteOfMegabytesWhole) {
  connect(make_server_ctx(leaf_));
  ASSERT_EQ(handshake(), TlsStream::State::Open);
  std::string big(5 << 20, '\0');
  for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 31 % 251);

  stream_->write(big);
  for (int i = 0; i < 2000 && peer_->received.size() < big.size(); ++i) {
    stream_->socket().note_events(EPOLLOUT);
    ASSERT_NE(stream_->flush(), net::FlushState::Failed);
    peer_->pump();
  }

  EXPECT_EQ(stream_->queued(), 0u);
  EXPECT_TRUE(peer_->received == big);
}

// An anonymous suite has no certificate to verify: whatever the list says, it must not be had.
TEST_F(UpstreamTlsTest, ACipherListCannotTurnAuthenticationOff) {
  policy_->max_version = TLS1_2_VERSION;
  policy_->ciphers = "ADH-AES256-GCM-SHA384:AECDH-AES256-SHA:@SECLEVEL=0";
  testing::SslCtx anonymous = testing::make_ctx(TLS_server_method());
  SSL_CTX_set_max_proto_version(anonymous.get(), TLS1_2_VERSION);
  ASSERT_EQ(SSL_CTX_set_cipher_list(anonymous.get(),
                                    "ADH-AES256-GCM-SHA384:AECDH-AES256-SHA:@SECLEVEL=0"),
            1);
  SSL_CTX_set_dh_auto(anonymous.get(), 1);
  auto [far, near] = testing::tcp_pair();
  peer_ = std::make_unique<TlsPeer>(std::move(far), anonymous, /*server=*/true);
  auto stream = context_.connect(net::Socket(std::move(near)), pool_, net::Address(), policy_);
  if (!stream) return;  // refused before a byte was sent: as good
  stream_ = std::move(*stream);

  EXPECT_EQ(handshake(), TlsStream::State::Failed);
}

}  // namespace
}  // namespace handfast::tls
