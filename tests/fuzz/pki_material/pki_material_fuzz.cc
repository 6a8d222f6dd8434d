// Every loader of certificates, keys, authorities and revocation lists, and the verifier behind
// them.
//
// The first byte chooses: an even one gives the rest to every loader as it is. An odd one damages
// good material made at start: each following four bytes are a target, an offset (two bytes) and a
// value to XOR there, so that no certificate need lie in the corpus and still every decoder is
// reached. What is damaged may load; but what no key of the authority signed must never be
// believed.

#include <openssl/err.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/check.h"
#include "proxy/pki/identity.h"
#include "proxy/pki/intermediates.h"
#include "proxy/pki/key_decoder.h"
#include "proxy/pki/packed_identity.h"
#include "proxy/pki/pem.h"
#include "proxy/pki/strength.h"
#include "proxy/pki/trust.h"
#include "proxy/pki/verify.h"
#include "tests/fuzz/fuzz_one.h"
#include "tests/support/test_authority.h"

namespace handfast {
namespace {

using testing::kYear2026;

struct Material {
  std::string chain;
  std::string key;
  std::string ca;
  std::string crl;      // PEM, of root and issuing; revokes the leaf
  std::string crl_der;  // of issuing
  std::string encrypted_key;
  std::string pkcs12;
  std::string leaf;  // of the chain, alone
};

// Of the encrypted key and the PKCS#12 file.
const std::vector<std::string>& passphrases() {
  static const std::vector<std::string> list{"secret"};
  return list;
}

Material make_material() {
  const testing::TestAuthority root{"root"};
  const testing::TestAuthority issuing = root.intermediate("issuing");
  const auto leaf = issuing.issue(
      "a.svc.test", {.sans = {"DNS:a.svc.test", "IP:10.0.0.1", "URI:spiffe://a/b"},
                     .extensions = {{"crlDistributionPoints", "URI:http://crl.test/a"}}});
  const testing::CrlOptions with_point{
      .extensions = {{"issuingDistributionPoint", "critical,fullname:URI:http://crl.test/a"}},
      .reason = 1};
  return {leaf.chain_pem(),
          leaf.key_pem(),
          root.cert_pem(),
          root.crl_pem() + issuing.crl_pem({&leaf}, with_point),
          issuing.crl_der({&leaf}, with_point),
          leaf.encrypted_key_pem("secret"),
          leaf.pkcs12("secret"),
          leaf.cert_pem()};
}

void judge(const pki::CertificateChain& chain, const std::shared_ptr<const pki::CaBundle>& trust,
           const std::shared_ptr<const pki::CrlSet>& crls) {
  pki::VerifyRules rules;
  rules.names = {"a.svc.test", "10.0.0.1", "spiffe://a/b"};
  rules.crl_scope = pki::CrlScope::Chain;
  const pki::Verdict verdict = pki::verify_chain(chain.leaf.get(), chain.intermediates.get(),
                                                 {trust}, {crls}, rules, kYear2026);
  // A list is needed, and the only lists that the issuer signed revoke the leaf.
  check(!verdict.ok(), "a certificate that nobody vouched for was accepted");
  check(verdict.openssl_error != 0 && !verdict.detail.empty() && verdict.valid_until == 0);
}

// What was packed comes out as it went in.
void check_packed(const pki::OpenIdentity& open, std::string_view key_pem) {
  const auto blocks = pki::split_pem(key_pem, Reason::BadKey);
  check(blocks.has_value());
  auto key = pki::PackedKey::pack(blocks->back());
  // Identities keep only keys that open.
  if (!key || key->open() == nullptr) return;
  std::vector<std::shared_ptr<X509>> intermediates;
  for (int i = 0; i < sk_X509_num(open.intermediates.get()); ++i) {
    intermediates.push_back(pki::share_intermediate(*sk_X509_value(open.intermediates.get(), i)));
  }
  const auto again = pki::PackedIdentity(pki::encode_certificate(*open.leaf),
                                         std::move(intermediates), *std::move(key))
                         .unpack();
  check(again != nullptr && X509_cmp(again->leaf.get(), open.leaf.get()) == 0 &&
        EVP_PKEY_eq(again->key.get(), open.key.get()) == 1 &&
        sk_X509_num(again->intermediates.get()) == sk_X509_num(open.intermediates.get()));
}

// However it was read, it is what OpenSSL makes of it when it is opened.
void check_presentable(const pki::OpenIdentity& open, const pki::CertificateInfo& told) {
  const EVP_PKEY* const key = X509_get0_pubkey(open.leaf.get());
  check(key != nullptr && EVP_PKEY_eq(key, open.key.get()) == 1);
  check(!pki::key_weakness(key) && !pki::signature_weakness(open.leaf.get()));
  check(pki::describe(*open.leaf) == told);
}

// One certificate is read in another way than several. Twice the same counts as once.
void check_both_ways(const std::string& certificate, const std::string& key) {
  const auto one_way = pki::Identity::load(certificate, key);
  const auto blocks = pki::split_pem(certificate, Reason::BadCertificate);
  if (!blocks || blocks->size() != 1) return;
  const std::string twice = certificate + "\n" + std::string(blocks->front().text) + "\n";
  const auto other_way = pki::Identity::load(twice, key);
  check(one_way.has_value() == other_way.has_value());
  if (!one_way) {
    check(one_way.error().reason == other_way.error().reason);
    return;
  }
  const auto open = (*one_way)->open();
  check(open != nullptr && (*other_way)->is_leaf(*open->leaf));
  check_presentable(*open, (*one_way)->info());
  check_presentable(*open, (*other_way)->info());
}

void load_all(const Material& material) {
  check_both_ways(material.leaf, material.key);
  const auto identity = pki::Identity::load(material.chain, material.key);
  if (identity) {
    const auto open = (*identity)->open();
    check(open != nullptr && open->leaf != nullptr && open->intermediates != nullptr);
    check_presentable(*open, (*identity)->info());
    check_packed(*open, material.key);
    // What is good as two files is good as one.
    check(pki::Identity::load_pem(pki::join_pem(material.chain, material.key)).has_value());
  }
  static_cast<void>(pki::Identity::load_pem(material.chain, passphrases()));
  const auto opened = pki::Identity::load(material.chain, material.encrypted_key, passphrases());
  if (opened) check((*opened)->open()->key != nullptr);
  const auto packed = pki::Identity::load_pkcs12(material.pkcs12, passphrases());
  if (packed) check((*packed)->open()->leaf != nullptr);
  const auto chain = pki::load_chain(material.chain);
  const auto trust = pki::CaBundle::load(material.ca, kYear2026);
  if (trust) check(!(*trust)->anchors().empty());
  for (const std::string& list : {material.crl, material.crl_der}) {
    const auto crls = pki::CrlSet::load(list);
    if (crls) check(!(*crls)->info().empty(), "bytes passed for an empty list");
    if (chain && trust) judge(*chain, *trust, crls ? *crls : nullptr);
  }
  check(ERR_peek_error() == 0, "errors were left in the queue");
}

void damage(Material& material, std::span<const std::byte> steps) {
  const std::array<std::string*, 8> targets{
      &material.chain,   &material.key,           &material.ca,     &material.crl,
      &material.crl_der, &material.encrypted_key, &material.pkcs12, &material.leaf};
  for (; steps.size() >= 4; steps = steps.subspan(4)) {
    std::string& target = *targets[std::to_integer<std::size_t>(steps[0]) % targets.size()];
    const auto offset =
        (std::to_integer<std::size_t>(steps[1]) << 8) | std::to_integer<std::size_t>(steps[2]);
    char& byte = target[offset % target.size()];
    byte = static_cast<char>(byte ^ std::to_integer<char>(steps[3]));
  }
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  static const Material good = make_material();
  if (input.empty()) return;
  const auto rest = input.subspan(1);
  Material material = good;
  if ((std::to_integer<unsigned>(input[0]) & 1) != 0) {
    damage(material, rest);
  } else {
    const std::string raw(reinterpret_cast<const char*>(rest.data()), rest.size());
    material = {raw, raw, raw, raw, raw, raw, raw, raw};
  }
  load_all(material);
}

}  // namespace handfast
