#include <gtest/gtest.h>
#include <openssl/err.h>

#include <ctime>
#include <thread>

#include "proxy/pki/trust.h"
#include "tests/support/test_authority.h"

namespace handfast::pki {
namespace {

using testing::CrlOptions;
using testing::kDay;
using testing::kYear2026;
using testing::TestAuthority;
using testing::TestCertificate;
using Answer = CrlSet::Answer;

std::string refusal(std::string_view bytes) {
  const auto set = CrlSet::load(bytes);
  EXPECT_EQ(ERR_peek_error(), 0U);
  if (set) return "accepted";
  EXPECT_EQ(set.error().reason, Reason::BadCrl);
  return set.error().detail;
}

class CrlSetTest : public ::testing::Test {
 protected:
  // What the lists in `bytes` say of `certificate`, which root_ issued.
  Answer ask(std::string_view bytes, const TestCertificate& certificate,
             UnixSeconds now = kYear2026) const {
    const auto set = CrlSet::load(bytes);
    EXPECT_TRUE(set.has_value()) << set.error();
    return (*set)->check(*certificate.x509(), *root_.certificate().x509(), now);
  }

  TestAuthority root_{"root"};
  TestCertificate orders_ = root_.issue("orders.svc");
  TestCertificate billing_ = root_.issue("billing.svc");
};

TEST_F(CrlSetTest, RevokesOnlyTheCertificatesThatAreListed) {
  const std::string crl = root_.crl_pem({&orders_});

  EXPECT_EQ(ask(crl, orders_), Answer::Revoked);
  EXPECT_EQ(ask(crl, billing_), Answer::Good);
}

TEST_F(CrlSetTest, TakesDerAndConcatenatedPemAndProse) {
  const TestAuthority other{"other"};

  EXPECT_EQ(ask(root_.crl_der({&orders_}), orders_), Answer::Revoked);
  EXPECT_EQ(ask("our lists\n" + other.crl_pem() + root_.crl_pem({&orders_}), orders_),
            Answer::Revoked);
  EXPECT_EQ(ask("\xef\xbb\xbf" + root_.crl_pem({&orders_}), orders_), Answer::Revoked);
}

TEST_F(CrlSetTest, TakesAnEmptyList) { EXPECT_EQ(ask(root_.crl_pem(), orders_), Answer::Good); }

TEST_F(CrlSetTest, TellsWhatItHolds) {
  const auto set =
      CrlSet::load(root_.crl_pem({&orders_}, {.this_update = kYear2026,
                                              .next_update = kYear2026 + 7 * kDay,
                                              .number = 300}) +
                   root_.crl_pem({}, {.next_update = std::nullopt, .number = std::nullopt}));

  ASSERT_TRUE(set.has_value()) << set.error();
  ASSERT_EQ((*set)->info().size(), 2U);
  EXPECT_EQ((*set)->info()[0].issuer, "CN=root");
  EXPECT_EQ((*set)->info()[0].number, "300");
  EXPECT_EQ((*set)->info()[0].this_update, kYear2026);
  EXPECT_EQ((*set)->info()[0].next_update, kYear2026 + 7 * kDay);
  EXPECT_EQ((*set)->info()[0].entries, 1U);
  EXPECT_EQ((*set)->info()[1].number, "");
  EXPECT_EQ((*set)->info()[1].next_update, 0);
  EXPECT_EQ((*set)->earliest_next_update(), kYear2026 + 7 * kDay);
}

TEST_F(CrlSetTest, RefusesBytesThatAreNoListWithASentence) {
  const std::string pem = root_.crl_pem();

  EXPECT_EQ(refusal(""), "ca.crl: is empty");
  EXPECT_NE(refusal(root_.cert_pem()).find("ca.crl: entry 1: is a CERTIFICATE"), std::string::npos);
  EXPECT_NE(refusal(pem + root_.key_pem()).find("entry 2: is a PRIVATE KEY"), std::string::npos);
  EXPECT_NE(refusal(root_.certificate().cert_der()).find("is a certificate"), std::string::npos);
  EXPECT_NE(refusal(testing::pem_block("X509 CRL", root_.certificate().cert_der()))
                .find("is a certificate"),
            std::string::npos);
  EXPECT_NE(refusal("\xff\xfe-").find("UTF-16"), std::string::npos);
  EXPECT_NE(refusal("-" + pem.substr(2)).find("damaged"), std::string::npos);
  EXPECT_NE(refusal(pem + pem.substr(0, pem.size() - 20)).find("entry 2"), std::string::npos);
  EXPECT_NE(refusal(root_.crl_der() + "x").find("after the revocation list"), std::string::npos);
  EXPECT_NE(refusal(root_.crl_der().substr(0, 100)).find("not a revocation list"),
            std::string::npos);
}

// The entries are read apart from the rest of the list.
TEST_F(CrlSetTest, RefusesEntriesThatAreDamagedOrStandElsewhere) {
  const std::string der = root_.crl_der({&orders_}, {.next_update = kYear2026});
  const std::string time = "\x17\x0d";
  const std::size_t size = time.size() + 13;
  const std::size_t next_update = der.find(time, der.find(time) + size);
  const std::size_t entries = next_update + size;
  const std::size_t entries_size = 2 + static_cast<unsigned char>(der[entries + 1]);
  ASSERT_LT(entries_size, 130u);
  ASSERT_EQ(der[entries], '\x30');
  const std::size_t date = der.find(time, entries);
  ASSERT_LT(date, entries + entries_size);

  std::string damaged = der;
  damaged[date] = '\x04';
  EXPECT_NE(refusal(damaged).find("not a revocation list"), std::string::npos);
  damaged = der;
  ++damaged[entries + 3];  // the entry's length
  EXPECT_NE(refusal(damaged).find("not a revocation list"), std::string::npos);
  damaged = der;
  damaged.replace(next_update, size + entries_size,
                  der.substr(entries, entries_size) + der.substr(next_update, size));
  EXPECT_NE(refusal(damaged).find("not a revocation list"), std::string::npos);
}

TEST_F(CrlSetTest, TakesAListWhoseLengthIsNotToldBeforeIt) {
  const std::string der = root_.crl_der({&orders_});
  const std::size_t header = 2u + (static_cast<unsigned char>(der[1]) & 0x7fu);
  const std::string untold = "\x30\x80" + der.substr(header) + std::string(2, '\0');

  EXPECT_EQ(ask(untold, orders_), Answer::Revoked);
  EXPECT_EQ(ask(untold, billing_), Answer::Good);
}

TEST_F(CrlSetTest, RefusesDeltaAndIndirectLists) {
  EXPECT_NE(refusal(root_.crl_pem({}, {.extensions = {{"deltaCRL", "critical,DER:020101"}}}))
                .find("delta CRL"),
            std::string::npos);
  EXPECT_NE(
      refusal(root_.crl_pem({}, {.extensions = {{"deltaCRL", "DER:020101"}}})).find("delta CRL"),
      std::string::npos);
  EXPECT_NE(
      refusal(root_.crl_pem(
                  {}, {.extensions = {{"issuingDistributionPoint", "critical,indirectCRL:TRUE"}}}))
          .find("indirect CRL"),
      std::string::npos);
}

TEST_F(CrlSetTest, RefusesCriticalExtensionsThatItDoesNotUnderstand) {
  EXPECT_NE(refusal(root_.crl_pem({}, {.extensions = {{"1.2.3.4", "critical,DER:0500"}}}))
                .find("critical extension"),
            std::string::npos);
  EXPECT_NE(
      refusal(root_.crl_pem({&orders_}, {.entry_extensions = {{"1.2.3.4", "critical,DER:0500"}}}))
          .find("critical extension"),
      std::string::npos);
  EXPECT_EQ(refusal(root_.crl_pem({}, {.extensions = {{"1.2.3.4", "DER:0500"}}})), "accepted");
}

TEST_F(CrlSetTest, RefusesExtensionsThatCanNotBeRead) {
  EXPECT_NE(refusal(root_.crl_pem({}, {.extensions = {{"issuingDistributionPoint", "DER:0500"}}})),
            "accepted");
  EXPECT_NE(refusal(root_.crl_pem({}, {.extensions = {{"crlNumber", "DER:0500"}}})), "accepted");
}

TEST_F(CrlSetTest, DoesNotTakeARemovedEntryForARevocation) {
  EXPECT_EQ(ask(root_.crl_pem({&orders_}, {.reason = 8}), orders_), Answer::Good);
  EXPECT_EQ(ask(root_.crl_pem({&orders_}, {.reason = 6}), orders_), Answer::Revoked);
  EXPECT_EQ(ask(root_.crl_pem({&orders_}, {.reason = 0}), orders_), Answer::Revoked);
}

TEST_F(CrlSetTest, CountsOnlyAListThatTheIssuersKeySigned) {
  const TestAuthority impostor{"root"};
  const CrlOptions bare{.authority_key_identifier = false};

  EXPECT_EQ(ask(impostor.crl_pem({&orders_}), orders_), Answer::NotCovered);
  EXPECT_EQ(ask(impostor.crl_pem({&orders_}, bare), orders_), Answer::NotCovered);
  EXPECT_EQ(ask(root_.crl_pem({&orders_}, {.break_signature = true}), orders_), Answer::NotCovered);
  EXPECT_EQ(ask(root_.crl_pem({&orders_}, bare), orders_), Answer::Revoked);
  EXPECT_EQ(ask(impostor.crl_pem() + root_.crl_pem({&orders_}), orders_), Answer::Revoked);
  EXPECT_EQ(ask(TestAuthority{"other"}.crl_pem({&orders_}), orders_), Answer::NotCovered);
}

TEST_F(CrlSetTest, VerifiesSignaturesOfEveryKeyType) {
  for (const auto type :
       {testing::KeyType::Rsa2048, testing::KeyType::Ed25519, testing::KeyType::P384}) {
    const TestAuthority authority{"any", {.key = type}};
    const auto leaf = authority.issue("a.svc");
    const auto set = CrlSet::load(authority.crl_pem({&leaf}));
    ASSERT_TRUE(set.has_value()) << set.error();

    EXPECT_EQ((*set)->check(*leaf.x509(), *authority.certificate().x509(), kYear2026),
              Answer::Revoked);
  }
}

TEST_F(CrlSetTest, CountsNoListOfAnIssuerThatMayNotSignLists) {
  const TestAuthority mute{"mute", {.key_usage = "critical,keyCertSign"}};
  const TestAuthority free{"free", {.key_usage = ""}};
  const auto of_mute = mute.issue("a.svc");
  const auto of_free = free.issue("a.svc");

  const auto set = CrlSet::load(mute.crl_pem() + free.crl_pem());

  ASSERT_TRUE(set.has_value()) << set.error();
  EXPECT_EQ((*set)->check(*of_mute.x509(), *mute.certificate().x509(), kYear2026),
            Answer::NotCovered);
  EXPECT_EQ((*set)->check(*of_free.x509(), *free.certificate().x509(), kYear2026), Answer::Good);
}

TEST_F(CrlSetTest, IsInDateFromThisUpdateUntilJustBeforeNextUpdate) {
  const std::string crl =
      root_.crl_pem({}, {.this_update = kYear2026, .next_update = kYear2026 + 100});

  EXPECT_EQ(ask(crl, orders_, kYear2026 - 1), Answer::NotYetValid);
  EXPECT_EQ(ask(crl, orders_, kYear2026), Answer::Good);
  EXPECT_EQ(ask(crl, orders_, kYear2026 + 99), Answer::Good);
  EXPECT_EQ(ask(crl, orders_, kYear2026 + 100), Answer::Expired);
  EXPECT_EQ(ask(root_.crl_pem({}, {.next_update = std::nullopt}), orders_), Answer::Good);
}

class CrlPrecedence : public CrlSetTest {
 protected:
  const CrlOptions monday_{
      .this_update = kYear2026, .next_update = kYear2026 + 9 * kDay, .number = 1};
  const CrlOptions tuesday_{
      .this_update = kYear2026 + kDay, .next_update = kYear2026 + 3 * kDay, .number = 2};
};

TEST_F(CrlPrecedence, TheNewestInDateDecides) {
  const std::string held = root_.crl_pem({&orders_}, monday_) + root_.crl_pem({}, tuesday_);
  const std::string newly = root_.crl_pem({}, monday_) + root_.crl_pem({&orders_}, tuesday_);

  EXPECT_EQ(ask(held, orders_, kYear2026), Answer::Revoked);
  EXPECT_EQ(ask(held, orders_, kYear2026 + 2 * kDay), Answer::Good);
  EXPECT_EQ(ask(newly, orders_, kYear2026), Answer::Good);
  EXPECT_EQ(ask(newly, orders_, kYear2026 + 2 * kDay), Answer::Revoked);
}

TEST_F(CrlPrecedence, AnExpiredListStillCondemnsUnlessANewerSaysOtherwise) {
  const std::string newly = root_.crl_pem({}, monday_) + root_.crl_pem({&orders_}, tuesday_);
  const std::string alone = root_.crl_pem({&orders_}, tuesday_);

  EXPECT_EQ(ask(newly, orders_, kYear2026 + 4 * kDay), Answer::Revoked);
  EXPECT_EQ(ask(newly, billing_, kYear2026 + 4 * kDay), Answer::Good);
  EXPECT_EQ(ask(alone, orders_, kYear2026 + 4 * kDay), Answer::Revoked);
  EXPECT_EQ(ask(alone, billing_, kYear2026 + 4 * kDay), Answer::Expired);
}

TEST_F(CrlPrecedence, OfTwoListsOfOneMomentTheHigherNumberDecidesAndATieRevokes) {
  CrlOptions again = monday_;
  again.number = 10;
  const std::string tie = root_.crl_pem({}, monday_) + root_.crl_pem({&orders_}, monday_);

  EXPECT_EQ(
      ask(root_.crl_pem({&orders_}, monday_) + root_.crl_pem({}, again), orders_, kYear2026 + 1),
      Answer::Good);
  EXPECT_EQ(ask(tie, orders_, kYear2026 + 1), Answer::Revoked);
}

TEST_F(CrlPrecedence, HoldsAcrossSets) {
  const auto older = CrlSet::load(root_.crl_pem({&orders_}, monday_));
  const auto newer = CrlSet::load(root_.crl_pem({}, tuesday_));
  ASSERT_TRUE(older.has_value() && newer.has_value());
  const std::vector<std::shared_ptr<const CrlSet>> sets{*older, nullptr, *newer};

  const auto coverage =
      CrlSet::check(sets, *orders_.x509(), *root_.certificate().x509(), kYear2026 + 2 * kDay);

  EXPECT_EQ(coverage.answer, Answer::Good);
  EXPECT_EQ(coverage.next_update, kYear2026 + 3 * kDay);
}

TEST_F(CrlSetTest, FindsSerialsOfEverySize) {
  const auto small = root_.issue("a.svc", {.serial = 1});
  const auto high_bit = root_.issue("b.svc", {.serial = 128});
  const auto absent = root_.issue("c.svc", {.serial = 256});

  const std::string crl = root_.crl_pem({}, {.serials = {1, 2, 127, 128, 255, 65536, 1ULL << 62}});

  EXPECT_EQ(ask(crl, small), Answer::Revoked);
  EXPECT_EQ(ask(crl, high_bit), Answer::Revoked);
  EXPECT_EQ(ask(crl, absent), Answer::Good);
}

TEST_F(CrlSetTest, AnswersFromAHundredThousandEntriesInMicroseconds) {
  CrlOptions huge;
  for (std::uint64_t i = 0; i < 100000; ++i) huge.serials.push_back(i * 7919 + (1ULL << 40));
  const auto listed = root_.issue("listed.svc", {.serial = huge.serials[54321]});
  const auto set = CrlSet::load(root_.crl_der({}, huge));
  ASSERT_TRUE(set.has_value()) << set.error();
  const X509& issuer = *root_.certificate().x509();
  EXPECT_EQ((*set)->check(*listed.x509(), issuer, kYear2026), Answer::Revoked);

  const std::clock_t start = std::clock();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ((*set)->check(*orders_.x509(), issuer, kYear2026), Answer::Good);
  }
  const std::clock_t spent = std::clock() - start;

  // CPU time: some 4 µs each. Checking the signature anew would take 5 s; the bound leaves room for
  // sanitizers.
  EXPECT_LT(spent, CLOCKS_PER_SEC);
}

TEST_F(CrlSetTest, ChecksTheSignaturesOfAuthoritiesThatItMeetsBeforeAnyHandshake) {
  CrlOptions huge;
  for (std::uint64_t i = 0; i < 100000; ++i) huge.serials.push_back(i * 7919 + (1ULL << 40));
  const auto set = CrlSet::load(root_.crl_der({&orders_}, huge));
  ASSERT_TRUE(set.has_value()) << set.error();
  const TestAuthority impostor{"root"};
  const auto anchors = CaBundle::load(impostor.cert_pem() + root_.cert_pem(), kYear2026);
  ASSERT_TRUE(anchors.has_value()) << anchors.error();
  (*set)->meet((*anchors)->anchors());

  const X509& issuer = *root_.certificate().x509();
  EXPECT_EQ((*set)->check(*orders_.x509(), issuer, kYear2026), Answer::Revoked);
  // Of another key: what it met is no reason to believe it.
  EXPECT_EQ((*set)->check(*impostor.issue("orders.svc").x509(), *impostor.certificate().x509(),
                          kYear2026),
            Answer::NotCovered);
}

TEST_F(CrlSetTest, TakesABaseListThatMentionsADelta) {
  EXPECT_EQ(
      ask(root_.crl_pem({&orders_}, {.extensions = {{"freshestCRL", "URI:http://crl.test/delta"}}}),
          orders_),
      Answer::Revoked);
}

TEST_F(CrlSetTest, AnswersManyThreadsAtOnce) {
  const auto set = CrlSet::load(root_.crl_pem({&orders_}));
  ASSERT_TRUE(set.has_value()) << set.error();
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;

  for (int& count : wrong) {
    threads.emplace_back([&set, &count, this] {
      const X509& issuer = *root_.certificate().x509();
      for (int i = 0; i < 200; ++i) {
        count += (*set)->check(*orders_.x509(), issuer, kYear2026) != Answer::Revoked ? 1 : 0;
        count += (*set)->check(*billing_.x509(), issuer, kYear2026) != Answer::Good ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace handfast::pki
