// UpstreamTLSPolicy and BackendTLSPolicy. They are strict about unknown fields wherever they come
// from: a restriction that is spelt wrong must not pass for one that isn't there.

#include <algorithm>
#include <string>
#include <utility>

#include "controller/objects/decode_kinds.h"
#include "controller/objects/policy_fields.h"

namespace handfast::objects {
namespace {

constexpr std::size_t kMaxListed = 32;
constexpr std::uint64_t kHourMs = 3'600'000;
constexpr std::uint64_t kMostAgeMs = 24 * kHourMs;
constexpr std::uint64_t kMostWarningMs = 8784 * kHourMs;  // a year

std::uint64_t read_duration(const Place& place, std::uint64_t most, std::uint64_t if_absent,
                            Fields& fields) {
  if (place.absent()) return if_absent;
  const auto parsed = parse_gateway_duration(fields.required_text(place));
  if (parsed && *parsed <= most) return *parsed;
  fields.refuse(place, "must be a duration like 30s or 1h30m, at most " +
                           std::to_string(most / kHourMs) + "h");
  return if_absent;
}

// Names of ciphers or groups, joined with ':' later.
std::vector<std::string> read_words(const Place& list, Fields& fields) {
  std::vector<std::string> words;
  const std::size_t count = fields.items(list);
  if (count > kMaxListed) fields.refuse(list, "must hold at most 32");
  for (std::size_t n = 0; n < count && fields.good(); ++n) {
    const Place item = list.item(n);
    std::string word = fields.required_text(item);
    const bool good = word.size() <= 64 && std::ranges::all_of(word, [](char c) {
                        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                               (c >= '0' && c <= '9') || c == '-' || c == '_';
                      });
    if (!good) fields.refuse(item, "must be letters, digits, '-' and '_', at most 64");
    if (std::ranges::find(words, word) != words.end()) fields.refuse(item, "stands there twice");
    words.push_back(std::move(word));
  }
  return words;
}

void read_alpn(const Place& list, PolicyProtocol& protocol, Fields& fields) {
  if (list.absent()) return;
  const std::size_t count = fields.items(list);
  if (count < 1 || count > 2) fields.refuse(list, "must hold h2, http/1.1 or both");
  for (std::size_t n = 0; n < count && fields.good(); ++n) {
    const Place item = list.item(n);
    if (item.absent()) fields.refuse(item, "is null");
    bool& said = fields.word(item, {"h2", "http/1.1"}, 0) == 0 ? protocol.http2 : protocol.http1;
    if (said) fields.refuse(item, "stands there twice");
    said = true;
  }
  protocol.alpn_given = true;
}

PolicyProtocol read_protocol(const Place& place, Fields& fields) {
  PolicyProtocol protocol;
  (void)fields.only(place,
                    {"minVersion", "maxVersion", "ciphers", "cipherSuites", "groups", "alpn"});
  const auto version = [&](const Place& at) -> std::optional<PolicyTlsVersion> {
    if (at.absent()) return std::nullopt;
    return static_cast<PolicyTlsVersion>(fields.word(at, {"1.2", "1.3"}, 0));
  };
  protocol.least = version(place.member("minVersion"));
  const Place most = place.member("maxVersion");
  protocol.most = version(most);
  if (protocol.least == PolicyTlsVersion::Tls13 && protocol.most == PolicyTlsVersion::Tls12) {
    fields.refuse(most, "is less than minVersion");
  }
  const Place ciphers = place.member("ciphers");
  protocol.ciphers = read_words(ciphers, fields);
  if (!protocol.ciphers.empty() && protocol.least == PolicyTlsVersion::Tls13) {
    fields.refuse(ciphers, "are for TLS 1.2, and minVersion is 1.3");
  }
  const Place suites = place.member("cipherSuites");
  protocol.cipher_suites = read_words(suites, fields);
  if (!protocol.cipher_suites.empty() && protocol.most == PolicyTlsVersion::Tls12) {
    fields.refuse(suites, "are for TLS 1.3, and maxVersion is 1.2");
  }
  const Place groups = place.member("groups");
  protocol.groups = read_words(groups, fields);
  const Place alpn = place.member("alpn");
  read_alpn(alpn, protocol, fields);
  return protocol;
}

PolicyRotation read_rotation(const Place& place, Fields& fields) {
  PolicyRotation rotation;
  (void)fields.only(place, {"onIdentityChange", "onTrustReduced", "drainPeriod", "maxConnectionAge",
                            "preflight"});
  rotation.on_identity_change = static_cast<OnIdentityChange>(
      fields.word(place.member("onIdentityChange"), {"Keep", "Drain", "Close"}, 0));
  rotation.on_trust_reduced = static_cast<OnTrustReduced>(
      fields.word(place.member("onTrustReduced"), {"Close", "Drain"}, 0));
  const Place drain = place.member("drainPeriod");
  const bool is_drain = rotation.on_identity_change == OnIdentityChange::Drain ||
                        rotation.on_trust_reduced == OnTrustReduced::Drain;
  if (is_drain && drain.absent()) {
    fields.refuse(drain, "is missing: onIdentityChange or onTrustReduced is Drain");
  }
  if (!is_drain && !drain.absent()) {
    fields.refuse(drain, "is only for onIdentityChange or onTrustReduced: Drain");
  }
  rotation.drain_ms = static_cast<std::uint32_t>(read_duration(drain, kHourMs, 0, fields));
  const Place age = place.member("maxConnectionAge");
  rotation.max_age_ms = static_cast<std::uint32_t>(read_duration(age, kMostAgeMs, 0, fields));
  if (!age.absent() && rotation.max_age_ms == 0) fields.refuse(age, "must be more than 0");
  rotation.preflight =
      static_cast<Preflight>(fields.word(place.member("preflight"), {"Warn", "Off", "Enforce"}, 0));
  return rotation;
}

void read_identity(const Place& spec, UpstreamTlsPolicy& policy, Fields& fields) {
  const Place certificate = spec.member("clientCertificateRef");
  const Place passphrase = spec.member("privateKeyPassphraseRef");
  const Place request = spec.member("requireClientCertificateRequest");
  const bool is_mutual = policy.mode == PolicyMode::ClientAndServer;
  if (!certificate.absent()) {
    policy.client_certificate =
        read_ref(certificate, {.has_namespace = true, .is_secret = true}, fields);
  }
  if (!passphrase.absent()) {
    policy.passphrase = read_ref(passphrase, {.has_key = true, .is_secret = true}, fields);
  }
  if (is_mutual && certificate.absent()) {
    fields.refuse(certificate, "is missing: mode is ClientAndServer");
  } else if (!is_mutual && !certificate.absent()) {
    fields.refuse(certificate, "is only for mode ClientAndServer");
  } else if (!is_mutual && !passphrase.absent()) {
    fields.refuse(passphrase, "is only for mode ClientAndServer");
  }
  if (request.absent()) return;
  policy.require_certificate_request = fields.boolean(request, false);
  if (!is_mutual) fields.refuse(request, "is only for mode ClientAndServer");
}

void read_tls(const Place& spec, UpstreamTlsPolicy& policy, Fields& fields) {
  const Place validation = spec.member("validation");
  if (validation.absent()) {
    fields.refuse(validation, "is missing");
  } else {
    policy.validation = read_validation(validation, fields);
  }
  const Place protocol = spec.member("protocol");
  if (!protocol.absent()) policy.protocol = read_protocol(protocol, fields);
  const Place session = spec.member("session");
  (void)fields.only(session, {"resumption"});
  policy.resumption = fields.word(session.member("resumption"), {"Enabled", "Disabled"}, 0) == 0;
  const Place rotation = spec.member("rotation");
  if (!rotation.absent()) policy.rotation = read_rotation(rotation, fields);
  const Place warning = spec.member("expiryWarning");
  policy.expiry_warning_s = static_cast<std::int64_t>(
      read_duration(warning, kMostWarningMs,
                    static_cast<std::uint64_t>(policy.expiry_warning_s) * 1000, fields) /
      1000);
}

void check_root(const Place& root, Fields& fields) {
  (void)fields.only(root, {"apiVersion", "kind", "metadata", "spec", "status"});
}

}  // namespace

Object decode_upstream_tls_policy(const Place& root, Meta meta, Fields& fields) {
  UpstreamTlsPolicy policy;
  policy.meta = std::move(meta);
  check_root(root, fields);
  const Place spec = root.member("spec");
  const Place targets = spec.member("targetRefs");
  policy.targets = read_targets(targets, fields);
  (void)fields.only(spec, {"targetRefs", "mode", "clientCertificateRef", "privateKeyPassphraseRef",
                           "requireClientCertificateRequest", "validation", "protocol", "session",
                           "rotation", "expiryWarning"});
  policy.status = read_policy_status(root.member("status").value());
  policy.mode = static_cast<PolicyMode>(
      fields.word(spec.member("mode"), {"None", "ServerOnly", "ClientAndServer"}, 1));
  read_identity(spec, policy, fields);
  if (policy.mode != PolicyMode::None) {
    read_tls(spec, policy, fields);
    return policy;
  }
  for (const char* field : {"validation", "protocol", "session", "rotation", "expiryWarning"}) {
    const Place place = spec.member(field);
    if (!place.absent()) fields.refuse(place, "is not for mode None");
  }
  return policy;
}

Object decode_backend_tls_policy(const Place& root, Meta meta, Fields& fields) {
  BackendTlsPolicy policy;
  policy.meta = std::move(meta);
  check_root(root, fields);
  const std::string version = fields.text(root.member("apiVersion"));
  policy.version = version.substr(version.rfind('/') + 1);
  policy.status = read_ancestors(root.member("metadata").value(), root.member("status").value());
  const Place spec = root.member("spec");
  const Place targets = spec.member("targetRefs");
  policy.targets = read_targets(targets, fields);
  (void)fields.only(spec, {"targetRefs", "validation", "options"});
  const Place validation = spec.member("validation");
  if (validation.absent()) {
    fields.refuse(validation, "is missing");
  } else {
    policy.validation = read_gateway_validation(validation, fields);
  }
  for (const auto& [name, value] : fields.texts(spec.member("options"))) {
    policy.options.push_back(name);
  }
  return policy;
}

}  // namespace handfast::objects
