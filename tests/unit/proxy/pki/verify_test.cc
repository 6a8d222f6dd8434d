#include "proxy/pki/verify.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <limits>
#include <thread>

#include "proxy/pki/identity.h"
#include "proxy/pki/pins.h"
#include "tests/support/test_authority.h"

namespace handfast::pki {
namespace {

using testing::CertificateOptions;
using testing::KeyType;
using testing::kYear2026;
using testing::TestAuthority;
using testing::TestCertificate;

std::shared_ptr<const CaBundle> bundle(const std::string& pem) {
  auto loaded = CaBundle::load(pem, testing::kYear2020);
  EXPECT_TRUE(loaded.has_value()) << loaded.error();
  return *loaded;
}

VerifyRules expecting(std::vector<std::string> names) {
  VerifyRules rules;
  rules.names = std::move(names);
  return rules;
}

Verdict judge(const std::string& chain_pem, const std::string& ca_pem, const VerifyRules& rules,
              UnixSeconds now = kYear2026) {
  const auto chain = load_chain(chain_pem);
  EXPECT_TRUE(chain.has_value()) << chain.error();
  Verdict verdict =
      verify_chain(chain->leaf.get(), chain->intermediates.get(), {bundle(ca_pem)}, {}, rules, now);
  EXPECT_EQ(ERR_peek_error(), 0U);
  EXPECT_EQ(verdict.ok(), verdict.openssl_error == X509_V_OK) << verdict.detail;
  EXPECT_EQ(verdict.ok(), verdict.detail.empty()) << verdict.detail;
  return verdict;
}

class VerifyTest : public ::testing::Test {
 protected:
  Reason reason(const TestCertificate& leaf, const VerifyRules& rules) const {
    return judge(leaf.chain_pem(), root_.cert_pem(), rules).reason;
  }
  // A leaf with odd options, judged for its own name.
  Reason reason(const CertificateOptions& options) const {
    return reason(issuing_.issue("a.svc.test", options), expecting({"a.svc.test"}));
  }
  // A leaf below an intermediate with odd options.
  Reason below(const CertificateOptions& options) const {
    return reason(root_.intermediate("odd", options).issue("a.svc.test"),
                  expecting({"a.svc.test"}));
  }

  TestAuthority root_{"root", {.not_after = testing::kYear2120}};
  TestAuthority issuing_ = root_.intermediate("issuing", {.not_after = kYear2026 + 500});
};

TEST_F(VerifyTest, AcceptsAChainAndTellsHowLongTheVerdictHolds) {
  const auto leaf = issuing_.issue("a.svc.test", {.not_after = kYear2026 + 900});

  const Verdict verdict = judge(leaf.chain_pem(), root_.cert_pem(), expecting({"a.svc.test"}));

  EXPECT_TRUE(verdict.ok()) << verdict.detail;
  EXPECT_EQ(verdict.valid_until, kYear2026 + 500);
}

TEST_F(VerifyTest, AcceptsKeysThatTlsUses) {
  for (const KeyType type : {KeyType::P256, KeyType::P384, KeyType::Rsa2048, KeyType::Ed25519}) {
    EXPECT_EQ(reason({.key = type}), Reason::Ok) << static_cast<int>(type);
    EXPECT_EQ(below({.key = type}), Reason::Ok) << static_cast<int>(type);
  }
}

TEST_F(VerifyTest, RefusesAChainToAnotherAuthorityEvenOfTheSameName) {
  const TestAuthority other{"other"};
  const TestAuthority impostor{"root"};
  const auto leaf = issuing_.issue("a.svc.test");
  const auto rules = expecting({"a.svc.test"});

  EXPECT_EQ(judge(leaf.chain_pem(), other.cert_pem(), rules).reason, Reason::UntrustedIssuer);
  EXPECT_EQ(judge(leaf.chain_pem(), impostor.cert_pem(), rules).reason, Reason::UntrustedIssuer);
  const TestAuthority nameless{"root", {.key_identifiers = false}};
  const TestAuthority fake{"root", {.key_identifiers = false}};
  EXPECT_EQ(judge(nameless.issue("a.svc.test", {.key_identifiers = false}).chain_pem(),
                  fake.cert_pem(), rules)
                .reason,
            Reason::UntrustedIssuer);
}

TEST_F(VerifyTest, RefusesAMissingIntermediateAndTakesAnyOrderAndExtras) {
  const auto leaf = issuing_.intermediate("lower").issue("a.svc.test");
  const TestAuthority stray{"stray"};
  const auto chain = load_chain(leaf.chain_pem());
  ASSERT_TRUE(chain.has_value());
  const auto rules = expecting({"a.svc.test"});
  // Leaf, then everything else backwards with strangers and duplicates.
  std::string shuffled = leaf.cert_pem() + stray.cert_pem() + issuing_.cert_pem() +
                         issuing_.cert_pem() + leaf.chain_pem() + root_.cert_pem();

  EXPECT_EQ(judge(leaf.cert_pem(), root_.cert_pem(), rules).reason, Reason::UntrustedIssuer);
  EXPECT_EQ(judge(shuffled, root_.cert_pem(), rules).reason, Reason::Ok);
}

TEST_F(VerifyTest, BelievesNothingThatThePeerBrings) {
  const auto own = testing::self_signed("a.svc.test");
  const TestAuthority foreign{"foreign"};
  const auto leaf = foreign.issue("a.svc.test");

  EXPECT_EQ(reason(own, expecting({"a.svc.test"})), Reason::UntrustedIssuer);
  EXPECT_EQ(
      judge(leaf.chain_pem() + foreign.cert_pem(), root_.cert_pem(), expecting({"a.svc.test"}))
          .reason,
      Reason::UntrustedIssuer);
}

TEST_F(VerifyTest, TakesAnIntermediateAsTheAnchor) {
  const auto leaf = issuing_.issue("a.svc.test");
  const auto rules = expecting({"a.svc.test"});

  EXPECT_EQ(judge(leaf.cert_pem(), issuing_.cert_pem(), rules).reason, Reason::Ok);
  EXPECT_EQ(judge(leaf.chain_pem(), issuing_.cert_pem(), rules).reason, Reason::Ok);
  const auto sibling = root_.intermediate("sibling").issue("a.svc.test");
  EXPECT_EQ(judge(sibling.chain_pem(), issuing_.cert_pem(), rules).reason, Reason::UntrustedIssuer);
}

TEST_F(VerifyTest, UnitesSeveralBundles) {
  const TestAuthority other{"other"};
  const auto leaf = issuing_.issue("a.svc.test");
  const auto chain = load_chain(leaf.chain_pem());
  ASSERT_TRUE(chain.has_value());
  const auto with = [&](std::vector<std::shared_ptr<const CaBundle>> trust) {
    return verify_chain(chain->leaf.get(), chain->intermediates.get(), trust, {},
                        expecting({"a.svc.test"}), kYear2026)
        .reason;
  };

  EXPECT_EQ(with({bundle(other.cert_pem()), bundle(root_.cert_pem())}), Reason::Ok);
  EXPECT_EQ(with({bundle(other.cert_pem()), bundle(issuing_.cert_pem())}), Reason::Ok);
  EXPECT_EQ(with({nullptr, bundle(root_.cert_pem())}), Reason::Ok);
  EXPECT_EQ(with({bundle(other.cert_pem()), bundle(other.cert_pem())}), Reason::UntrustedIssuer);
  EXPECT_EQ(with({}), Reason::UntrustedIssuer);
  EXPECT_EQ(with({nullptr}), Reason::UntrustedIssuer);
}

TEST_F(VerifyTest, FindsTheRightOneOfSeveralAuthoritiesOfOneName) {
  // A rollover, and certificates that don't say which key signed them.
  const CertificateOptions nameless{.key_identifiers = false};
  const TestAuthority old{"root", nameless};
  const TestAuthority renewed{"root", nameless};
  const TestAuthority weak{"root", {.key = KeyType::Rsa1024, .key_identifiers = false}};
  const std::string three = weak.cert_pem() + old.cert_pem() + renewed.cert_pem();
  const auto with = [&](const TestAuthority& issuer, const std::string& ca_pem) {
    return judge(issuer.issue("a.svc.test", nameless).chain_pem(), ca_pem,
                 expecting({"a.svc.test"}))
        .reason;
  };

  for (const TestAuthority& issuer : {old, renewed, old.intermediate("issuing", nameless),
                                      renewed.intermediate("issuing", nameless)}) {
    EXPECT_EQ(with(issuer, three), Reason::Ok);
  }
  EXPECT_EQ(with(weak, three), Reason::Weak);
  EXPECT_EQ(with(TestAuthority{"root", nameless}, three), Reason::UntrustedIssuer);
  // Two levels of them, in bundles that are united.
  const TestAuthority issuing = renewed.intermediate("issuing", nameless);
  const TestAuthority other = old.intermediate("issuing", nameless);
  const auto chain = load_chain(issuing.issue("a.svc.test", nameless).cert_pem());
  ASSERT_TRUE(chain.has_value());
  EXPECT_EQ(verify_chain(chain->leaf.get(), nullptr,
                         {bundle(other.cert_pem() + old.cert_pem()),
                          bundle(issuing.cert_pem() + renewed.cert_pem())},
                         {}, expecting({"a.svc.test"}), kYear2026)
                .reason,
            Reason::Ok);
}

TEST_F(VerifyTest, FindsTheWayAmongCrossCertificates) {
  const TestAuthority stranger{"stranger"};
  const TestAuthority crossed =
      stranger.intermediate("issuing", {.reuse_key = issuing_.certificate().shared_key()});
  const TestAuthority narrow = root_.intermediate(
      "issuing", {.reuse_key = issuing_.certificate().shared_key(),
                  .extensions = {{"nameConstraints", "critical,permitted;DNS:other.test"}}});
  const auto leaf = issuing_.issue("a.svc.test");
  const auto with = [&](std::initializer_list<TestAuthority> shown) {
    std::string chain = leaf.cert_pem();
    for (const TestAuthority& one : shown) chain += one.cert_pem();
    return judge(chain, root_.cert_pem(), expecting({"a.svc.test"})).reason;
  };

  EXPECT_EQ(with({issuing_, crossed}), Reason::Ok);
  EXPECT_EQ(with({crossed, issuing_}), Reason::Ok);
  EXPECT_EQ(with({narrow, crossed, issuing_}), Reason::Ok);
  EXPECT_EQ(with({crossed}), Reason::UntrustedIssuer);
  EXPECT_EQ(with({crossed, crossed, narrow}), Reason::UntrustedIssuer);
  // Not for ever.
  EXPECT_EQ(with({crossed, crossed, crossed, crossed, crossed, crossed, issuing_}),
            Reason::UntrustedIssuer);
}

TEST_F(VerifyTest, RefusesAPeerWithoutACertificate) {
  VerifyRules client;
  client.purpose = Purpose::Client;
  const auto trust = bundle(root_.cert_pem());

  EXPECT_EQ(verify_chain(nullptr, nullptr, {trust}, {}, client, kYear2026).reason,
            Reason::NoClientCertificate);
  EXPECT_EQ(verify_chain(nullptr, nullptr, {trust}, {}, expecting({"a"}), kYear2026).reason,
            Reason::UntrustedIssuer);
}

TEST_F(VerifyTest, CountsTheIntermediatesBetweenLeafAndAnchor) {
  VerifyRules rules = expecting({"a.svc.test"});
  TestAuthority lowest = root_;
  for (int intermediates = 0; intermediates <= 5; ++intermediates) {
    const auto leaf = lowest.issue("a.svc.test");
    for (rules.depth = 0; rules.depth <= 5; ++rules.depth) {
      const Reason expected = intermediates <= rules.depth ? Reason::Ok : Reason::ChainTooLong;
      EXPECT_EQ(reason(leaf, rules), expected) << intermediates << " of " << rules.depth;
    }
    lowest = lowest.intermediate("level " + std::to_string(intermediates));
  }
}

TEST_F(VerifyTest, TakesAnImpossibleDepthForTheNearestPossibleOne) {
  VerifyRules rules = expecting({"a.svc.test"});

  rules.depth = -1;
  EXPECT_EQ(reason(issuing_.issue("a.svc.test"), rules), Reason::ChainTooLong);
  EXPECT_EQ(reason(root_.issue("a.svc.test"), rules), Reason::Ok);
  rules.depth = std::numeric_limits<int>::max();
  EXPECT_EQ(reason(issuing_.issue("a.svc.test"), rules), Reason::Ok);
}

TEST_F(VerifyTest, JudgesDatesToTheSecondForEveryCertificate) {
  const TestAuthority root{"root", {.not_before = 1000, .not_after = 9000}};
  const TestAuthority issuing = root.intermediate("i", {.not_before = 2000, .not_after = 8000});
  const auto leaf = issuing.issue("a.svc.test", {.not_before = 3000, .not_after = 7000});
  const auto loaded = CaBundle::load(root.cert_pem(), 0);
  const auto chain = load_chain(leaf.chain_pem());
  ASSERT_TRUE(loaded.has_value() && chain.has_value());
  const auto at = [&](UnixSeconds now) {
    return verify_chain(chain->leaf.get(), chain->intermediates.get(), {*loaded}, {},
                        expecting({"a.svc.test"}), now)
        .reason;
  };

  EXPECT_EQ(at(2999), Reason::NotYetValid);
  EXPECT_EQ(at(3000), Reason::Ok);
  EXPECT_EQ(at(6999), Reason::Ok);
  EXPECT_EQ(at(7000), Reason::Expired);
  EXPECT_EQ(at(999), Reason::NotYetValid);
  EXPECT_EQ(at(9000), Reason::Expired);
  EXPECT_EQ(at(0), Reason::NotYetValid);
}

TEST_F(VerifyTest, RefusesAnExpiredIntermediate) {
  EXPECT_EQ(below({.not_after = kYear2026}), Reason::Expired);
  EXPECT_EQ(below({.not_before = kYear2026 + 1}), Reason::NotYetValid);
}

TEST_F(VerifyTest, JudgesThePurposeOfTheLeaf) {
  EXPECT_EQ(reason({.extended_key_usage = "clientAuth"}), Reason::WrongPurpose);
  EXPECT_EQ(reason({.extended_key_usage = "emailProtection"}), Reason::WrongPurpose);
  EXPECT_EQ(reason({.extended_key_usage = ""}), Reason::Ok);
  EXPECT_EQ(reason({.key_usage = "critical,keyCertSign"}), Reason::WrongPurpose);

  VerifyRules client;
  client.purpose = Purpose::Client;
  EXPECT_EQ(reason(issuing_.issue("c", {.extended_key_usage = "clientAuth"}), client), Reason::Ok);
  EXPECT_EQ(reason(issuing_.issue("c", {.extended_key_usage = "serverAuth"}), client),
            Reason::WrongPurpose);
}

TEST_F(VerifyTest, RefusesIssuersThatMayNotIssue) {
  EXPECT_EQ(below({.basic_constraints = "critical,CA:FALSE"}), Reason::WrongPurpose);
  EXPECT_EQ(below({.basic_constraints = ""}), Reason::WrongPurpose);
  EXPECT_NE(below({.key_usage = "critical,cRLSign"}), Reason::Ok);
  EXPECT_EQ(below({.extended_key_usage = "clientAuth"}), Reason::WrongPurpose);
  EXPECT_NE(below({.version = 1}), Reason::Ok);
  const auto leaf = root_.intermediate("none below", {.basic_constraints = "CA:TRUE,pathlen:0"})
                        .intermediate("one too many")
                        .issue("a.svc.test");
  EXPECT_EQ(reason(leaf, expecting({"a.svc.test"})), Reason::WrongPurpose);
}

TEST_F(VerifyTest, RefusesUnknownCriticalExtensions) {
  EXPECT_EQ(reason({.extensions = {{"1.2.3.4", "critical,DER:0500"}}}), Reason::WrongPurpose);
  EXPECT_EQ(below({.extensions = {{"1.2.3.4", "critical,DER:0500"}}}), Reason::WrongPurpose);
  EXPECT_EQ(reason({.extensions = {{"1.2.3.4", "DER:0500"}}}), Reason::Ok);
}

TEST_F(VerifyTest, RefusesWeakKeysAndSignatures) {
  EXPECT_EQ(reason({.key = KeyType::Rsa1024}), Reason::Weak);
  EXPECT_EQ(reason({.key = KeyType::P192}), Reason::Weak);
  EXPECT_EQ(reason({.key = KeyType::P256Explicit}), Reason::Weak);
  EXPECT_EQ(reason({.key = KeyType::Dsa2048}), Reason::Weak);
  EXPECT_EQ(reason({.digest = "SHA1"}), Reason::Weak);
  const TestAuthority rsa{"rsa", {.key = KeyType::Rsa2048}};  // ECDSA knows no MD5
  EXPECT_EQ(judge(rsa.issue("a.svc.test", {.digest = "MD5"}).cert_pem(), rsa.cert_pem(),
                  expecting({"a.svc.test"}))
                .reason,
            Reason::Weak);
  EXPECT_EQ(below({.key = KeyType::Rsa1024}), Reason::Weak);
  EXPECT_EQ(below({.key = KeyType::Dsa2048}), Reason::Weak);
  EXPECT_EQ(below({.key = KeyType::P256Explicit}), Reason::Weak);
  EXPECT_EQ(below({.digest = "SHA1"}), Reason::Weak);
}

TEST_F(VerifyTest, TakesAnyOneOfSeveralNamesOfAnyKind) {
  const auto leaf = issuing_.issue(
      "x", {.sans = {"DNS:a.svc.test", "IP:10.0.0.1", "URI:spiffe://shop/ns/a/sa/b"}});

  EXPECT_EQ(reason(leaf, expecting({"z.svc.test", "a.svc.test"})), Reason::Ok);
  EXPECT_EQ(reason(leaf, expecting({"z.svc.test", "10.0.0.1"})), Reason::Ok);
  EXPECT_EQ(reason(leaf, expecting({"10.0.0.2", "a.svc.test"})), Reason::Ok);
  EXPECT_EQ(reason(leaf, expecting({"10.0.0.2", "spiffe://shop/ns/a/sa/b"})), Reason::Ok);
  EXPECT_EQ(reason(leaf, expecting({"10.0.0.2", "z.svc.test", "spiffe://shop/ns/a/sa/c"})),
            Reason::NameMismatch);
}

TEST_F(VerifyTest, RefusesAServerWhenNoNameIsExpected) {
  const auto leaf = issuing_.issue("a.svc.test");
  VerifyRules client;
  client.purpose = Purpose::Client;
  VerifyRules not_judged;
  not_judged.names_not_judged = true;

  EXPECT_EQ(reason(leaf, expecting({})), Reason::NameMismatch);
  EXPECT_EQ(reason(leaf, expecting({""})), Reason::NameMismatch);
  EXPECT_EQ(reason(leaf, client), Reason::Ok);
  EXPECT_EQ(reason(leaf, not_judged), Reason::Ok);
}

TEST_F(VerifyTest, JudgesNamesOfAClientWhereSomeAreExpected) {
  VerifyRules client = expecting({"spiffe://shop/a"});
  client.purpose = Purpose::Client;

  EXPECT_EQ(reason(issuing_.issue("c", {.sans = {"URI:spiffe://shop/a"}}), client), Reason::Ok);
  EXPECT_EQ(reason(issuing_.issue("c", {.sans = {"URI:spiffe://shop/b"}}), client),
            Reason::NameMismatch);
}

VerifyRules pinned(std::vector<Pin> pins) {
  VerifyRules rules;
  rules.pins = std::move(pins);
  rules.pin_only = true;
  return rules;
}

Pin key_pin(const TestCertificate& leaf) { return {PinType::Spki, *spki_sha256(*leaf.x509())}; }
Pin certificate_pin(const TestCertificate& leaf) {
  return {PinType::Certificate, certificate_sha256(*leaf.x509())};
}

Verdict judge_alone(const TestCertificate& leaf, const VerifyRules& rules) {
  return verify_chain(leaf.x509(), nullptr, {}, {}, rules, kYear2026);
}

TEST_F(VerifyTest, APinNarrowsWhatTheAuthorityVouchesFor) {
  const auto leaf = issuing_.issue("a.svc.test");
  const auto other = issuing_.issue("a.svc.test");
  VerifyRules rules = expecting({"a.svc.test"});
  rules.pins = {key_pin(other), certificate_pin(leaf)};
  EXPECT_EQ(reason(leaf, rules), Reason::Ok);
  rules.pins = {key_pin(leaf)};
  EXPECT_EQ(reason(leaf, rules), Reason::Ok);
  EXPECT_EQ(reason(other, rules), Reason::PinMismatch);
  // The same digest of the other thing.
  rules.pins = {{PinType::Certificate, key_pin(leaf).sha256}};
  EXPECT_EQ(reason(leaf, rules), Reason::PinMismatch);
  rules.pins = {key_pin(issuing_.certificate()), certificate_pin(root_.certificate())};
  EXPECT_EQ(reason(leaf, rules), Reason::PinMismatch);
  // A pin adds to what is asked, it replaces nothing.
  rules = expecting({"b.svc.test"});
  rules.pins = {key_pin(leaf)};
  EXPECT_EQ(reason(leaf, rules), Reason::NameMismatch);
  EXPECT_EQ(judge(leaf.chain_pem(), TestAuthority("other").cert_pem(), rules).reason,
            Reason::UntrustedIssuer);
}

TEST_F(VerifyTest, APinOfTheKeySurvivesARenewalAndOneOfTheCertificateDoesNot) {
  const auto leaf = issuing_.issue("a.svc.test");
  const auto renewed = issuing_.issue("a.svc.test", {.reuse_key = leaf.shared_key()});

  EXPECT_EQ(judge_alone(renewed, pinned({key_pin(leaf)})).reason, Reason::Ok);
  EXPECT_EQ(judge_alone(renewed, pinned({certificate_pin(leaf)})).reason, Reason::PinMismatch);
}

TEST_F(VerifyTest, APinAloneNeedsNoAuthority) {
  const auto leaf = issuing_.issue("a.svc.test", {.not_after = kYear2026 + 7});
  const auto own = testing::self_signed("a.svc.test", {.digest = "SHA1"});

  const Verdict verdict = judge_alone(leaf, pinned({key_pin(leaf)}));
  EXPECT_TRUE(verdict.ok()) << verdict.detail;
  EXPECT_EQ(verdict.valid_until, kYear2026 + 7);
  EXPECT_EQ(judge_alone(own, pinned({certificate_pin(own)})).reason, Reason::Ok);
  EXPECT_EQ(judge_alone(leaf, pinned({key_pin(own)})).reason, Reason::PinMismatch);
  EXPECT_EQ(judge_alone(leaf, pinned({})).reason, Reason::PinMismatch);
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST_F(VerifyTest, WithAPinAloneTheLeafIsStillJudged) {
  const auto reason_for = [this](const CertificateOptions& options) {
    const auto leaf = issuing_.issue("a.svc.test", options);
    return judge_alone(leaf, pinned({key_pin(leaf), certificate_pin(leaf)})).reason;
  };
  EXPECT_EQ(reason_for({.not_after = kYear2026 - 1}), Reason::Expired);
  EXPECT_EQ(reason_for({.not_before = kYear2026 + 1}), Reason::NotYetValid);
  EXPECT_EQ(reason_for({.extended_key_usage = "clientAuth"}), Reason::WrongPurpose);
  EXPECT_EQ(reason_for({.key_usage = "critical,keyCertSign"}), Reason::WrongPurpose);
  EXPECT_EQ(reason_for({.extensions = {{"1.2.3.4", "critical,DER:0500"}}}), Reason::WrongPurpose);
  EXPECT_EQ(reason_for({.key = KeyType::Rsa1024}), Reason::Weak);
  EXPECT_EQ(reason_for({.key = KeyType::P256Explicit}), Reason::Weak);
  const auto leaf = issuing_.issue("a.svc.test");
  VerifyRules named = pinned({key_pin(leaf)});
  named.names = {"b.svc.test"};
  EXPECT_EQ(judge_alone(leaf, named).reason, Reason::NameMismatch);
}

TEST_F(VerifyTest, APinAloneIsRefusedBesideACaOrACrl) {
  const auto leaf = issuing_.issue("a.svc.test");
  VerifyRules rules = pinned({key_pin(leaf)});
  EXPECT_EQ(judge(leaf.chain_pem(), root_.cert_pem(), rules).reason, Reason::UntrustedIssuer);
  rules.crl_scope = CrlScope::Leaf;
  EXPECT_EQ(judge_alone(leaf, rules).reason, Reason::UntrustedIssuer);
}

TEST(Pins, ReadHex) {
  const std::string hex = std::string(62, '0') + "af";
  EXPECT_EQ(sha256_text(*parse_sha256(hex)), hex);
  EXPECT_FALSE(parse_sha256(std::string(62, '0') + "AF"));
  EXPECT_FALSE(parse_sha256(hex.substr(1)));
  EXPECT_FALSE(parse_sha256(hex + "0"));
  EXPECT_FALSE(parse_sha256(""));
}

TEST_F(VerifyTest, TellsWhichNamesTheCertificateHas) {
  const auto leaf = issuing_.issue("a.svc.test");

  const Verdict verdict = judge(leaf.chain_pem(), root_.cert_pem(), expecting({"b.svc.test"}));

  EXPECT_EQ(verdict.openssl_error, X509_V_ERR_HOSTNAME_MISMATCH);
  EXPECT_EQ(verdict.detail, "expected b.svc.test; the peer's certificate is for DNS:a.svc.test");
}

TEST_F(VerifyTest, HoldsAuthoritiesToTheirNameConstraints) {
  const auto within = [&](const std::string& constraint, const std::string& san,
                          const std::string& name) {
    const TestAuthority bound = root_.intermediate(
        "bound", {.extensions = {{"nameConstraints", "critical," + constraint}}});
    return reason(bound.issue("x", {.sans = {san}}), expecting({name}));
  };

  EXPECT_EQ(within("permitted;DNS:shop.test", "DNS:a.shop.test", "a.shop.test"), Reason::Ok);
  EXPECT_EQ(within("permitted;DNS:shop.test", "DNS:a.bank.test", "a.bank.test"),
            Reason::UntrustedIssuer);
  EXPECT_EQ(within("excluded;DNS:bank.test", "DNS:a.bank.test", "a.bank.test"),
            Reason::UntrustedIssuer);
  EXPECT_EQ(within("permitted;IP:10.0.0.0/255.0.0.0", "IP:10.0.0.1", "10.0.0.1"), Reason::Ok);
  EXPECT_EQ(within("permitted;IP:10.0.0.0/255.0.0.0", "IP:11.0.0.1", "11.0.0.1"),
            Reason::UntrustedIssuer);
  EXPECT_EQ(
      within("excluded;URI:.shop.test", "URI:spiffe://a.shop.test/b", "spiffe://a.shop.test/b"),
      Reason::UntrustedIssuer);
}

TEST_F(VerifyTest, HoldsAnAnchorToItsNameConstraintsToo) {
  const TestAuthority bound{
      "bound", {.extensions = {{"nameConstraints", "critical,permitted;DNS:shop.test"}}}};
  const auto leaf = bound.issue("x", {.sans = {"DNS:a.bank.test"}});

  EXPECT_EQ(judge(leaf.chain_pem(), bound.cert_pem(), expecting({"a.bank.test"})).reason,
            Reason::UntrustedIssuer);
}

TEST_F(VerifyTest, TellsTheReasonThatWinsWhenSeveralApply) {
  const TestAuthority foreign{"foreign"};
  const auto wrong_name = expecting({"b.svc.test"});
  const CertificateOptions expired{.not_after = kYear2026};

  EXPECT_EQ(reason(foreign.issue("a.svc.test", expired), wrong_name), Reason::UntrustedIssuer);
  EXPECT_EQ(reason(issuing_.issue("a.svc.test",
                                  {.not_after = kYear2026, .extended_key_usage = "clientAuth"}),
                   wrong_name),
            Reason::WrongPurpose);
  EXPECT_EQ(
      reason(issuing_.issue("a.svc.test", {.digest = "SHA1", .not_after = kYear2026}), wrong_name),
      Reason::Weak);
  EXPECT_EQ(reason(issuing_.issue("a.svc.test", expired), wrong_name), Reason::NameMismatch);
  EXPECT_EQ(reason(issuing_.issue("a.svc.test", expired), expecting({"a.svc.test"})),
            Reason::Expired);
}

TEST_F(VerifyTest, NamesTheCertificateAndTheRemedyWithoutControlCharacters) {
  const TestAuthority odd{"evil\x1b[2J\nname"};
  const auto leaf = odd.intermediate("evil\x1b[2J\nbelow").issue("a\x1b\n.test");

  const Verdict verdict = judge(leaf.chain_pem(), root_.cert_pem(), expecting({"a"}));

  EXPECT_EQ(verdict.reason, Reason::UntrustedIssuer);
  EXPECT_NE(verdict.detail.find("check the CA"), std::string::npos) << verdict.detail;
  EXPECT_EQ(verdict.detail.find_first_of("\x1b\n"), std::string::npos) << verdict.detail;
}

TEST_F(VerifyTest, AcceptsASelfSignedServerOnlyAsAnAuthorityOfItsOwn) {
  const TestAuthority own{
      "own", {.sans = {"DNS:a.svc.test"}, .key_usage = "critical,keyCertSign,digitalSignature"}};

  EXPECT_EQ(judge(own.cert_pem(), own.cert_pem(), expecting({"a.svc.test"})).reason, Reason::Ok);
}

TEST_F(VerifyTest, AnswersManyThreadsAtOnce) {
  const auto leaf = issuing_.issue("a.svc.test");
  const auto chain = load_chain(leaf.chain_pem());
  ASSERT_TRUE(chain.has_value());
  const std::vector<std::shared_ptr<const CaBundle>> trust{bundle(root_.cert_pem())};
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;

  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const auto good = verify_chain(chain->leaf.get(), chain->intermediates.get(), trust, {},
                                       expecting({"a.svc.test"}), kYear2026);
        const auto bad = verify_chain(chain->leaf.get(), chain->intermediates.get(), trust, {},
                                      expecting({"b.svc.test"}), kYear2026);
        count += good.ok() && bad.reason == Reason::NameMismatch ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace handfast::pki
