// Our side as the server: which certificate a client sees, resumption, byte by byte.

#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <array>
#include <map>

#include "tests/support/times.h"
#include "tests/unit/proxy/tls/tls_peer.h"

namespace handfast::tls {
namespace {

using handfast::testing::TlsPeer;

class Certificates final : public CertificateSelector {
 public:
  Identities select_certificates(std::string_view server_name) override {
    asked.emplace_back(server_name);
    const auto found = by_name.find(server_name);
    if (found == by_name.end()) return {&fallback, 1};
    return found->second;
  }
  std::shared_ptr<const pki::Identity> fallback;
  std::map<std::string, std::vector<std::shared_ptr<const pki::Identity>>, std::less<>> by_name;
  std::vector<std::string> asked;
};

class DownstreamTlsTest : public ::testing::Test {
 protected:
  DownstreamTlsTest() {
    certificates_.fallback = testing::load_identity(root_.issue("default.example"));
    certificates_.by_name["shop.example"] = {testing::load_identity(root_.issue("shop.example"))};
  }

  void connect(ServerContext& context, const testing::SslCtx& client, const char* sni,
               SSL_SESSION* session = nullptr) {
    auto [far, near] = testing::tcp_pair();
    peer_ = std::make_unique<TlsPeer>(std::move(far), client, /*server=*/false, sni);
    if (session != nullptr) SSL_set_session(peer_->ssl(), session);
    stream_ = context.accept(net::Socket(std::move(near)), pool_);
  }
  void handshake() {
    for (int i = 0; i < 20; ++i) {
      peer_->pump();
      stream_->socket().note_events(EPOLLIN | EPOLLOUT);
      stream_->advance_handshake();
      stream_->flush();
    }
  }
  std::string seen_subject() {
    const X509* seen = SSL_get0_peer_certificate(peer_->ssl());
    return seen == nullptr ? "" : pki::describe(*seen).subject;
  }

  BufferPool pool_;
  testing::TestAuthority root_{"root"};
  Certificates certificates_;
  TicketKeys tickets_ = TicketKeyRing::make();
  testing::FakeClock clock_;
  ServerContext context_{certificates_, tickets_, clock_};
  testing::SslCtx client_ = testing::make_client_ctx();
  std::unique_ptr<TlsPeer> peer_;
  std::unique_ptr<TlsStream> stream_;
};

TEST_F(DownstreamTlsTest, ShowsTheCertificateOfTheNameThatWasAskedFor) {
  connect(context_, client_, "Shop.Example");
  handshake();

  EXPECT_EQ(seen_subject(), "CN=shop.example");
  EXPECT_EQ(stream_->server_name(), "shop.example");
  EXPECT_EQ(stream_->state(), TlsStream::State::Open);
}

TEST_F(DownstreamTlsTest, ShakesHandsOnceHoweverTheClientAsksForMore) {
  SSL_CTX_set_max_proto_version(client_.get(), TLS1_2_VERSION);
  connect(context_, client_, "shop.example");
  handshake();
  ASSERT_EQ(stream_->state(), TlsStream::State::Open);
  const std::size_t asked = certificates_.asked.size();

  SSL_renegotiate(peer_->ssl());
  std::array<char, 100> space{};
  for (int i = 0; i < 20; ++i) {
    SSL_do_handshake(peer_->ssl());
    stream_->socket().note_events(EPOLLIN | EPOLLOUT);
    static_cast<void>(stream_->read(space));
    stream_->flush();
  }

  EXPECT_EQ(certificates_.asked.size(), asked);
  EXPECT_EQ(SSL_is_init_finished(peer_->ssl()), 0);
}

TEST_F(DownstreamTlsTest, ShowsTheDefaultWithoutAName) {
  connect(context_, client_, nullptr);
  handshake();

  EXPECT_EQ(seen_subject(), "CN=default.example");
  EXPECT_EQ(certificates_.asked, std::vector<std::string>{""});
}

TEST_F(DownstreamTlsTest, PrefersHttp2AndRefusesAClientThatOnlySpeaksOther) {
  static constexpr std::string_view kOffered = "\x08http/1.1\x02h2\x02h3";
  const auto chosen_of = [this](std::string_view offered) {
    connect(context_, client_, "shop.example");
    SSL_set_alpn_protos(peer_->ssl(), reinterpret_cast<const unsigned char*>(offered.data()),
                        static_cast<unsigned>(offered.size()));
    handshake();
    const unsigned char* chosen = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(peer_->ssl(), &chosen, &length);
    return std::string(reinterpret_cast<const char*>(chosen), length);
  };

  EXPECT_EQ(chosen_of(kOffered), "h2");
  EXPECT_EQ(chosen_of(kOffered.substr(0, 9)), "http/1.1");
  EXPECT_EQ(chosen_of(kOffered.substr(12)), "");
  EXPECT_EQ(stream_->state(), TlsStream::State::Failed);
}

TEST_F(DownstreamTlsTest, StaplesTheResponseAboutTheCertificateThatIsShownAsLongAsItHolds) {
  const auto shown = certificates_.by_name["shop.example"].front();
  certificates_.by_name["shop.example"] = {
      shown->with_staple("a response", clock_.unix_now() + 3600)};
  const auto stapled = [this](const char* name, bool asks) {
    connect(context_, client_, name);
    if (asks) SSL_set_tlsext_status_type(peer_->ssl(), TLSEXT_STATUSTYPE_ocsp);
    handshake();
    EXPECT_EQ(stream_->state(), TlsStream::State::Open);
    const unsigned char* response = nullptr;
    const long size = SSL_get_tlsext_status_ocsp_resp(peer_->ssl(), &response);
    return size <= 0 ? std::string()
                     : std::string(reinterpret_cast<const char*>(response),
                                   static_cast<std::size_t>(size));
  };

  EXPECT_EQ(stapled("shop.example", true), "a response");
  EXPECT_EQ(stapled("shop.example", false), "");
  EXPECT_EQ(stapled("other.example", true), "");
  SSL_CTX_set_max_proto_version(client_.get(), TLS1_2_VERSION);
  EXPECT_EQ(stapled("shop.example", true), "a response");
  clock_.advance(std::chrono::seconds(3601));
  EXPECT_EQ(stapled("shop.example", true), "");
}

TEST_F(DownstreamTlsTest, RefusesTls11) {
  SSL_CTX_set_security_level(client_.get(), 0);
  SSL_CTX_set_min_proto_version(client_.get(), TLS1_1_VERSION);
  SSL_CTX_set_max_proto_version(client_.get(), TLS1_1_VERSION);
  connect(context_, client_, "shop.example");
  handshake();

  EXPECT_EQ(stream_->state(), TlsStream::State::Failed);
  EXPECT_FALSE(peer_->done);
}

TEST_F(DownstreamTlsTest, OffersWhatItIsToldToThoseThatComeAfter) {
  connect(context_, client_, "shop.example");
  context_.set_offer({.min_version = TLS1_3_VERSION, .groups = "P-384", .http2 = false});
  handshake();
  EXPECT_EQ(stream_->state(), TlsStream::State::Open);  // it had come before

  SSL_CTX_set_max_proto_version(client_.get(), TLS1_2_VERSION);
  connect(context_, client_, "shop.example");
  handshake();
  EXPECT_EQ(stream_->state(), TlsStream::State::Failed);

  SSL_CTX_set_max_proto_version(client_.get(), TLS1_3_VERSION);
  static constexpr std::string_view kOffered = "\x02h2\x08http/1.1";
  SSL_CTX_set_alpn_protos(client_.get(), reinterpret_cast<const unsigned char*>(kOffered.data()),
                          static_cast<unsigned>(kOffered.size()));
  connect(context_, client_, "shop.example");
  handshake();
  EXPECT_EQ(stream_->alpn(), "http/1.1");
  EXPECT_EQ(SSL_get_negotiated_group(peer_->ssl()), NID_secp384r1);
}

TEST_F(DownstreamTlsTest, ChoosesByTheListOfCiphersThatItIsTold) {
  SSL_CTX_set_max_proto_version(client_.get(), TLS1_2_VERSION);
  context_.set_offer({.ciphers = "ECDHE+AES256:!SHA1"});
  connect(context_, client_, "shop.example");
  handshake();

  EXPECT_EQ(std::string(SSL_get_cipher_name(peer_->ssl())).find("AES256-GCM-SHA384"), 12U)
      << SSL_get_cipher_name(peer_->ssl());
}

class DownstreamResumptionTest : public DownstreamTlsTest,
                                 public ::testing::WithParamInterface<int> {
 protected:
  DownstreamResumptionTest() {
    SSL_CTX_set_max_proto_version(client_.get(), GetParam());
    SSL_CTX_set_session_cache_mode(client_.get(), SSL_SESS_CACHE_CLIENT);
  }
  // A session made with context_, for use with another.
  std::shared_ptr<SSL_SESSION> first_session() {
    connect(context_, client_, "shop.example");
    handshake();
    stream_->write("x");
    stream_->flush();
    peer_->pump();
    peer_->shutdown();
    return {SSL_get1_session(peer_->ssl()), SSL_SESSION_free};
  }
};

// Of P-256 first, of RSA second.
class DownstreamKeyTypesTest : public DownstreamResumptionTest {
 protected:
  DownstreamKeyTypesTest() {
    certificates_.by_name["shop.example"].push_back(testing::load_identity(
        root_.issue("shop.example", {.subject = "CN=rsa", .key = testing::KeyType::Rsa2048})));
  }
  std::string seen_with(const char* algorithms) {
    SSL_CTX_set1_sigalgs_list(client_.get(), algorithms);
    connect(context_, client_, "shop.example");
    handshake();
    return seen_subject();
  }
};

TEST_P(DownstreamKeyTypesTest, ShowsTheCertificateThatTheClientCanVerify) {
  EXPECT_EQ(seen_with("ECDSA+SHA256"), "CN=shop.example");
  EXPECT_EQ(seen_with("RSA-PSS+SHA256:RSA+SHA256"), "CN=rsa");
  EXPECT_EQ(seen_with("RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA256"), "CN=shop.example");
  EXPECT_EQ(seen_with("ed25519"), "");
}

TEST_P(DownstreamKeyTypesTest, AllOfThemTakeUpEachOthersSessions) {
  SSL_CTX_set1_sigalgs_list(client_.get(), "RSA-PSS+SHA256:RSA+SHA256");
  const auto session = first_session();
  SSL_CTX_set1_sigalgs_list(client_.get(), "ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256");
  connect(context_, client_, "shop.example", session.get());
  handshake();

  EXPECT_EQ(stream_->state(), TlsStream::State::Open);
  EXPECT_EQ(SSL_session_reused(peer_->ssl()), 1);
}

TEST_P(DownstreamKeyTypesTest, ASecondClientHelloFindsTheSameCertificates) {
  SSL_CTX_set1_groups_list(client_.get(), "X25519:P-384");
  context_.set_offer({.groups = "P-384"});

  EXPECT_EQ(seen_with("RSA-PSS+SHA256:RSA+SHA256"), "CN=rsa");
}

INSTANTIATE_TEST_SUITE_P(Versions, DownstreamKeyTypesTest,
                         ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION));

TEST_P(DownstreamResumptionTest, NobodyResumesWhereThereAreNoTickets) {
  const auto session = first_session();
  context_.set_offer({.session_tickets = false});
  connect(context_, client_, "shop.example", session.get());
  handshake();
  EXPECT_EQ(stream_->state(), TlsStream::State::Open);
  EXPECT_EQ(SSL_session_reused(peer_->ssl()), 0);

  const auto second = first_session();
  EXPECT_EQ(SSL_SESSION_is_resumable(second.get()), 0);
}

TEST_P(DownstreamResumptionTest, AnotherWorkerWithTheSameKeysResumes) {
  const auto session = first_session();
  ServerContext other(certificates_, tickets_, clock_);
  connect(other, client_, "shop.example", session.get());
  handshake();

  EXPECT_EQ(stream_->state(), TlsStream::State::Open);
  EXPECT_EQ(SSL_session_reused(peer_->ssl()), 1);
}

TEST_P(DownstreamResumptionTest, OtherKeysMeanAFullHandshake) {
  const auto session = first_session();
  ServerContext other(certificates_, TicketKeyRing::make(), clock_);
  connect(other, client_, "shop.example", session.get());
  handshake();

  EXPECT_EQ(stream_->state(), TlsStream::State::Open);
  EXPECT_EQ(SSL_session_reused(peer_->ssl()), 0);
}

INSTANTIATE_TEST_SUITE_P(Versions, DownstreamResumptionTest,
                         ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION));

// The client's bytes arrive one by one, as they may.
TEST_F(DownstreamTlsTest, CompletesAHandshakeThatArrivesByteByByte) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    auto [far, near] = testing::tcp_pair();
    testing::Peer wire(std::move(far));
    stream_ = context_.accept(net::Socket(std::move(near)), pool_);
    SSL_CTX_set_max_proto_version(client_.get(), version);
    const std::shared_ptr<SSL> client(SSL_new(client_.get()), SSL_free);
    BIO* const in = BIO_new(BIO_s_mem());
    BIO* const out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(client.get(), in, out);
    SSL_set_connect_state(client.get());
    for (int turn = 0; turn < 10 && stream_->state() == TlsStream::State::Handshaking; ++turn) {
      SSL_do_handshake(client.get());
      char space[8192];
      const int size = BIO_read(out, space, sizeof space);
      for (int i = 0; i < size; ++i) {
        wire.send({space + i, 1});
        wire.pump();
        stream_->socket().note_events(EPOLLIN | EPOLLOUT);
        stream_->advance_handshake();
        stream_->flush();
      }
      wire.pump();
      const std::string answer = wire.take();
      BIO_write(in, answer.data(), static_cast<int>(answer.size()));
    }

    EXPECT_EQ(stream_->state(), TlsStream::State::Open);
    EXPECT_EQ(SSL_do_handshake(client.get()), 1);
  }
}

TEST_F(DownstreamTlsTest, GarbageFailsWithoutACrash) {
  auto [far, near] = testing::tcp_pair();
  testing::Peer wire(std::move(far));
  stream_ = context_.accept(net::Socket(std::move(near)), pool_);
  wire.send("GET / HTTP/1.1\r\n\r\n");
  wire.pump();
  stream_->socket().note_events(EPOLLIN | EPOLLOUT);

  EXPECT_EQ(stream_->advance_handshake(), TlsStream::State::Failed);
  EXPECT_NE(stream_->read({}).state, net::IoState::Data);
}

}  // namespace
}  // namespace handfast::tls
