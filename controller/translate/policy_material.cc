#include "controller/translate/policy_material.h"

#include <algorithm>
#include <array>
#include <utility>

#include "controller/translate/grants.h"
#include "controller/translate/item_findings.h"

namespace handfast::translate {
namespace {

constexpr std::size_t kMostTrustBytes = std::size_t{10} << 20;
constexpr std::array<std::string_view, 3> kCrlKeys{"ca.crl", "crl.pem", "crl"};

constexpr Condition kNotPermitted{"ResolvedRefs", "RefNotPermitted"};
constexpr Condition kBadCa{"ResolvedRefs", "InvalidCACertificateRef"};
constexpr Condition kPartlyBadCa{"ResolvedRefs", "PartiallyInvalidCertificateRef"};
constexpr Condition kBadClient{"ResolvedRefs", "InvalidClientCertificateRef"};
constexpr Condition kBadCrl{"ResolvedRefs", "InvalidCRLRef"};

Condition condition_of(const Error& error) {
  if (error.reason == Reason::KeyMismatch) return {"ResolvedRefs", "KeyMismatch"};
  if (error.reason == Reason::Passphrase) return {"ResolvedRefs", "PassphraseInvalid"};
  return kBadClient;
}

std::string indexed(std::string_view field, std::size_t index) {
  return std::string{field} + '[' + std::to_string(index) + ']';
}

}  // namespace

bool PolicyMaterial::may_refer(const objects::MaterialRef& ref) const {
  return is_granted(context_.state,
                    {.group = context_.group, .kind = context_.kind, .ns = context_.policy.ns},
                    {.kind = ref.kind, .ns = ref.ns, .name = ref.name});
}

std::optional<ItemKey> PolicyMaterial::locate(const objects::MaterialRef& ref, ItemKind item,
                                              const std::string& field) {
  ItemKey key{.kind = ref.kind, .ns = ref.ns, .name = ref.name, .item = item};
  if (ref.kind == "ClusterTrustBundle") return key;
  if (key.ns.empty()) key.ns = context_.policy.ns;
  if (ref.key != file_name(item)) key.data_key = ref.key;
  if (key.ns == context_.policy.ns || may_refer(ref)) return key;
  keep_first(rules_.refused,
             report_.as(kNotPermitted)
                 .refuse(Reason::NotPermitted, field + ".namespace",
                         "The namespace " + ref.ns + " doesn't allow it.",
                         "Add a ReferenceGrant there, from " + std::string{context_.kind} +
                             " of the namespace " + context_.policy.ns + " to " + ref.kind +
                             ", or copy the " + ref.kind + '.'));
  return std::nullopt;
}

void PolicyMaterial::add_identity(const objects::UpstreamTlsPolicy& policy) {
  const std::string field = "spec.clientCertificateRef";
  auto key = locate(*policy.client_certificate, ItemKind::KeyPair, field);
  if (!key) return;
  Materials& materials = context_.materials;
  if (policy.passphrase && !add_passphrases(*policy.passphrase, *key)) return;
  const Item& item = materials.find(*key);
  if (item.usable()) {
    rules_.identity = materials.use_pair(*key, Materials::Side::Upstream);
    tell_kept(*key, item, field);
    tell_doubts(item, policy.expiry_warning_s, field);
    return;
  }
  if (item.state == Item::State::Bad) {
    ObjectReport report = report_.as(condition_of(item.error));
    keep_first(rules_.refused, refuse_bad(*key, item, field, report));
    return;
  }
  ObjectReport report = report_.as(kBadClient);
  const bool exists = materials.exists(*key);
  if (exists && !policy.passphrase && materials.holds_pkcs12(*key)) {
    keep_first(rules_.refused,
               report.refuse(Reason::Passphrase, field,
                             object_text(*key) +
                                 " holds PKCS#12, and there is no passphrase to open it with.",
                             "Name the Secret with the passphrase in privateKeyPassphraseRef."));
    return;
  }
  keep_first(
      rules_.refused,
      report.refuse(Reason::SecretMissing, field,
                    exists ? object_text(*key) + " holds no tls.crt and tls.key."
                           : "There is no " + object_text(*key) + '.',
                    exists ? "Put them into the Secret." : "Create it, or correct the name."));
}

bool PolicyMaterial::add_passphrases(const objects::MaterialRef& ref, ItemKey& key) {
  const std::string data_key = ref.key.empty() ? "passphrase" : ref.key;
  key.passphrases = context_.policy.ns + '/' + ref.name + '/' + data_key;
  if (context_.materials.has_passphrases(key)) return true;
  keep_first(rules_.refused, report_.as(kBadClient)
                                 .refuse(Reason::SecretMissing, "spec.privateKeyPassphraseRef",
                                         "There is no Secret " + context_.policy.ns + '/' +
                                             ref.name + " with the key " + data_key + '.',
                                         "Create it, or correct the name."));
  return false;
}

void PolicyMaterial::add_trust(const objects::PolicyValidation& validation) {
  rules_.system_ca = validation.system_roots;
  for (std::size_t i = 0; i < validation.cas.size(); ++i) {
    add_ca(validation.cas[i], indexed("spec.validation.caCertificateRefs", i));
  }
  if (trust_bytes_ <= kMostTrustBytes) return;
  keep_first(rules_.refused,
             report_.as(kBadCa).refuse(Reason::BadCa, "spec.validation.caCertificateRefs",
                                       "They are more than 10 MiB together.",
                                       "Name the CAs that the Service needs."));
}

void PolicyMaterial::add_ca(const objects::MaterialRef& ref, const std::string& field) {
  const auto key = locate(ref, ItemKind::Ca, field);
  if (!key) return;
  const Item& item = context_.materials.find(*key);
  ObjectReport report = report_.as(kBadCa);
  if (item.usable()) {
    rules_.ca.push_back(context_.materials.use_file(*key));
    trust_bytes_ += item.bytes;
    tell_kept(*key, item, field);
    if (item.facts == nullptr) return;
    tell_partly(*key, item.facts->warnings, Reason::BadCa, field,
                "Take it out; the others are trusted.");
    tell_partly(*key, item.facts->early, Reason::NotYetValid, field,
                "Wait until then, or correct the clock; the others are trusted.");
  } else if (item.state == Item::State::Bad) {
    keep_first(rules_.refused, refuse_bad(*key, item, field, report));
  } else {
    const bool exists = context_.materials.exists(*key);
    const std::string data_key{data_key_of(*key)};
    keep_first(rules_.refused,
               report.refuse(Reason::CaMissing, field,
                             exists ? object_text(*key) + " holds no " + data_key + '.'
                                    : "There is no " + object_text(*key) + '.',
                             exists ? "Correct the key, or put it there."
                                    : "Create it, or correct the name."));
  }
}

void PolicyMaterial::tell_partly(const ItemKey& key, const std::vector<std::string>& entries,
                                 Reason reason, const std::string& field, std::string remedy) {
  if (entries.empty()) return;
  report_.as(kPartlyBadCa)
      .warn(reason, field,
            object_text(key) + ": " + clip(entries.front(), kMaxDetailBytes) +
                (entries.size() == 1 ? "."
                                     : ", and " + std::to_string(entries.size() - 1) + " more."),
            std::move(remedy));
}

void PolicyMaterial::add_revocation(const objects::PolicyRevocation& revocation) {
  const bool may_be_unavailable =
      revocation.on_unavailable == objects::OnUnavailable::AllowWithWarning;
  rules_.allow_without_crl = may_be_unavailable && !revocation.crls.empty();
  constexpr std::string_view kField = "spec.validation.revocation.crlRefs";
  std::vector<ItemKey> keys;
  for (std::size_t i = 0; i < revocation.crls.size(); ++i) {
    const objects::MaterialRef& ref = revocation.crls[i];
    auto key = locate(ref, ItemKind::Crl, indexed(kField, i));
    if (!key) return;
    keys.push_back(find_crl_key(ref, *std::move(key)));
  }
  std::size_t at = 0;
  while (at < keys.size()) {
    const std::string field = indexed(kField, at);
    const ItemKey key = join_parts({keys.begin() + static_cast<std::ptrdiff_t>(at), keys.end()});
    at += 1 + key.parts.size();
    add_crl(key, may_be_unavailable, field);
  }
  if (!rules_.crl.empty()) {
    rules_.revocation = revocation.scope == objects::PolicyScope::Leaf
                            ? config::RevocationScope::Leaf
                            : config::RevocationScope::Chain;
  } else if (rules_.allow_without_crl) {
    rules_.allow_without_crl = false;
    report_.as({"Degraded", "RevocationSkipped"})
        .warn(Reason::CrlMissing, "spec.validation.revocation.crlRefs",
              "There is no CRL to use; revoked certificates aren't refused.",
              "Provide one, or set onUnavailable to Fail.");
  }
}

ItemKey PolicyMaterial::find_crl_key(const objects::MaterialRef& ref, ItemKey key) const {
  if (!ref.key.empty()) return key;
  for (const std::string_view name : kCrlKeys) {
    ItemKey candidate = key;
    if (name != file_name(ItemKind::Crl)) candidate.data_key = name;
    if (context_.materials.has_content(candidate)) return candidate;
  }
  return key;
}

// A list that is larger than an object may be stands in several: what is no list by itself is tried
// together with what follows it.
ItemKey PolicyMaterial::join_parts(std::vector<ItemKey> keys) const {
  Materials& materials = context_.materials;
  if (keys.size() == 1 || materials.is_good(keys[0])) return keys[0];
  ItemKey joined = keys[0];
  ItemKey rest = keys[1];
  for (std::size_t n = 1; n < keys.size(); ++n) {
    joined.parts.push_back(source_text(keys[n]));
    if (n > 1) rest.parts.push_back(source_text(keys[n]));
    if (!materials.is_good(joined)) continue;
    // What is whole without the first doesn't continue it: the first is bad by itself.
    if (materials.is_good(rest)) break;
    return joined;
  }
  // Bad now; it was good together before.
  const ItemKey* before = materials.find_joined(keys[0]);
  const bool is_prefix =
      before != nullptr && before->parts.size() <= joined.parts.size() &&
      std::equal(before->parts.begin(), before->parts.end(), joined.parts.begin());
  return is_prefix ? *before : keys[0];
}

void PolicyMaterial::add_crl(const ItemKey& key, bool may_be_unavailable,
                             const std::string& field) {
  Materials& materials = context_.materials;
  const Item& item = materials.find(key);
  if (item.usable()) {
    rules_.crl.push_back(materials.use_file(key));
    tell_kept(key, item, field);
    if (item.facts != nullptr && item.facts->not_after != 0 &&
        context_.tracer.has_come(item.facts->not_after + 1)) {
      report_.as({"RevocationFresh", "Expired"})
          .warn(Reason::CrlExpired, field,
                "Its nextUpdate was " + utc_time(item.facts->not_after) + '.',
                "Publish a newer list.");
    }
    return;
  }
  const bool is_bad = item.state == Item::State::Bad;
  if (may_be_unavailable) {
    report_.as({"RevocationFresh", "Unavailable"})
        .warn(is_bad ? item.error.reason : Reason::CrlMissing, field,
              object_text(key) +
                  (is_bad ? ": " + clip(item.error.detail, kMaxDetailBytes)
                          : " isn't there, or holds no CRL") +
                  "; it is left out.",
              "Correct it.");
    return;
  }
  ObjectReport report = report_.as(kBadCrl);
  if (is_bad) {
    keep_first(rules_.refused, refuse_bad(key, item, field, report));
    return;
  }
  const bool exists = materials.exists(key);
  keep_first(
      rules_.refused,
      report.refuse(
          Reason::CrlMissing, field,
          exists ? object_text(key) + " holds no " +
                       (key.data_key.empty() ? "ca.crl, crl.pem or crl" : key.data_key.text()) + '.'
                 : "There is no " + object_text(key) + '.',
          exists ? "Correct the key, or put it there." : "Create it, or correct the name."));
}

void PolicyMaterial::tell_kept(const ItemKey& key, const Item& item, const std::string& field) {
  if (item.state != Item::State::Kept) return;
  report_.as({"Programmed", "LastKnownGood"})
      .warn(item.error.reason, field,
            object_text(key) + ": " + clip(item.error.detail, kMaxDetailBytes) +
                "; the last good one serves since " + utc_time(item.bad_since) + '.',
            "Correct the " + key.kind + '.');
}

void PolicyMaterial::tell_doubts(const Item& item, std::int64_t warning_s,
                                 const std::string& field) {
  if (item.facts == nullptr) return;
  const MaterialCache::Facts& facts = *item.facts;
  if (!context_.tracer.has_come(facts.not_before)) {
    report_.as({"CredentialsHealthy", "NotYetValid"})
        .warn(Reason::ClientCertificateNotYetValid, field,
              "The certificate is valid from " + utc_time(facts.not_before) + " on.",
              "Wait until then, or correct the clock.");
  }
  if (context_.tracer.has_come(facts.not_after + 1)) {
    report_.as({"CredentialsHealthy", "Expired"})
        .warn(Reason::ClientCertificateExpired, field,
              "The certificate expired " + utc_time(facts.not_after) + '.',
              "Renew the certificate.");
  } else if (context_.tracer.has_come(facts.not_after - warning_s + 1)) {
    report_.as({"CredentialsHealthy", "ExpiringSoon"})
        .warn(Reason::ClientCertificateExpired, field,
              "The certificate expires " + utc_time(facts.not_after) + '.',
              "Renew the certificate, or shorten expiryWarning.");
  }
  if (!facts.for_clients) {
    report_.as({"CredentialsHealthy", "WrongPurpose"})
        .warn(Reason::WrongPurpose, field, std::string{kNotForClients},
              std::string{kIssueForClients});
  }
}

}  // namespace handfast::translate
