// spec.validation of both policies: what the Service's certificate must prove.

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "controller/objects/names.h"
#include "controller/objects/policy_fields.h"

namespace handfast::objects {
namespace {

constexpr std::size_t kMaxCas = 8;
constexpr std::size_t kMaxNames = 16;
constexpr std::size_t kMaxPins = 8;
constexpr std::size_t kMaxCrls = 16;

bool ends_in_number(std::string_view host) {
  const std::string_view last = host.substr(host.rfind('.') + 1);
  return last.find_first_not_of("0123456789") == std::string_view::npos;
}

// A DNS name that a certificate can prove.
bool is_precise_hostname(std::string_view text) {
  return is_dns_subdomain(text) && !ends_in_number(text);
}

// An absolute URI as it may stand in a certificate; '*' only in "spiffe://<trust domain>/*".
bool is_san_uri(std::string_view text) {
  if (text.size() > 253) return false;
  for (const char c : text) {
    if (c <= ' ' || c > '~' || c == '"' || c == '<' || c == '>' || c == '\\') return false;
  }
  const std::size_t colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view scheme = text.substr(0, colon);
  if (scheme.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+-.") != scheme.npos ||
      scheme[0] < 'a') {
    return false;
  }
  const std::string_view rest = text.substr(colon + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.empty()) return false;
  const std::size_t star = text.find('*');
  if (star == text.npos) return true;
  return scheme == "spiffe" && is_dns_subdomain(authority) && rest.substr(authority.size()) == "/*";
}

SubjectAltName read_name(const Place& place, bool has_addresses, Fields& fields) {
  SubjectAltName name;
  if (has_addresses) {
    (void)fields.only(place, {"type", "hostname", "uri", "ipAddress"});
  } else {
    (void)fields.only(place, {"type", "hostname", "uri"});
  }
  const Place type = place.member("type");
  if (type.absent()) fields.refuse(type, "is missing");
  name.type =
      static_cast<SanType>(has_addresses ? fields.word(type, {"Hostname", "URI", "IPAddress"}, 0)
                                         : fields.word(type, {"Hostname", "URI"}, 0));
  constexpr std::array<std::string_view, 3> kFields{"hostname", "uri", "ipAddress"};
  for (std::size_t n = 0; n < kFields.size(); ++n) {
    const Place value = place.member(kFields[n]);
    if (n == static_cast<std::size_t>(name.type)) {
      name.value = fields.required_text(value);
    } else if (!value.absent()) {
      fields.refuse(value, "doesn't go with the type");
    }
  }
  const bool good = name.type == SanType::Hostname ? is_precise_hostname(name.value)
                    : name.type == SanType::Uri    ? is_san_uri(name.value)
                                                   : is_ipv4(name.value) || is_ipv6(name.value);
  if (!good) {
    fields.refuse(place, name.type == SanType::Hostname ? "must hold a DNS name without a wildcard"
                         : name.type == SanType::Uri
                             ? "must hold a URI; '*' only as in spiffe://trust.domain/*"
                             : "must hold an IP address");
  }
  return name;
}

PolicyPin read_pin(const Place& place, Fields& fields) {
  PolicyPin pin;
  (void)fields.only(place, {"type", "value"});
  const Place type = place.member("type");
  if (type.absent()) fields.refuse(type, "is missing");
  pin.type = static_cast<PolicyPinType>(fields.word(type, {"SPKISHA256", "CertificateSHA256"}, 0));
  const Place value = place.member("value");
  if (auto hex = parse_sha256(fields.required_text(value))) {
    pin.sha256 = std::move(*hex);
  } else {
    fields.refuse(value, "must be a SHA-256 in hex (64 digits) or base64 (44 characters)");
  }
  return pin;
}

// Every item of a list of at most `most`.
template <class Read>
auto read_list(const Place& list, std::size_t most, Fields& fields, Read read) {
  std::vector<decltype(read(list))> out;
  const std::size_t count = fields.items(list);
  if (count > most) fields.refuse(list, "must hold at most " + std::to_string(most));
  for (std::size_t n = 0; n < count && fields.good(); ++n) {
    const Place item = list.item(n);
    if (item.absent()) fields.refuse(item, "is null");
    out.push_back(read(item));
  }
  return out;
}

PolicyRevocation read_revocation(const Place& place, Fields& fields) {
  PolicyRevocation revocation;
  (void)fields.only(place, {"crlRefs", "scope", "onUnavailable", "ocsp"});
  const Place crls = place.member("crlRefs");
  revocation.crls = read_list(crls, kMaxCrls, fields, [&](const Place& item) {
    return read_ref(item, {.has_namespace = true, .has_key = true}, fields);
  });
  const Place scope = place.member("scope");
  const Place on_unavailable = place.member("onUnavailable");
  const Place ocsp = place.member("ocsp");
  revocation.scope = static_cast<PolicyScope>(fields.word(scope, {"Chain", "Leaf"}, 0));
  revocation.on_unavailable =
      static_cast<OnUnavailable>(fields.word(on_unavailable, {"Fail", "AllowWithWarning"}, 0));
  revocation.ocsp = static_cast<PolicyOcsp>(fields.word(ocsp, {"Off", "IfPresent", "Require"}, 0));
  if (revocation.crls.empty() && (!scope.absent() || !on_unavailable.absent())) {
    fields.refuse(crls, "is missing: scope and onUnavailable are about CRLs");
  }
  return revocation;
}

void read_cas(const Place& place, bool is_own, PolicyValidation& validation, Fields& fields) {
  const Place cas = place.member("caCertificateRefs");
  validation.cas = read_list(cas, kMaxCas, fields, [&](const Place& item) {
    if (is_own) {
      return read_ref(item, {.has_namespace = true, .has_key = true, .may_be_bundle = true},
                      fields);
    }
    return read_ref(item, {.may_be_bundle = true}, fields);
  });
  const Place roots = place.member("wellKnownCACertificates");
  (void)fields.word(roots, {"System"}, 0);
  validation.system_roots = !roots.absent();
  if (validation.system_roots && !validation.cas.empty()) {
    fields.refuse(roots, "and caCertificateRefs exclude each other");
  }
}

void read_names(const Place& place, bool is_own, PolicyValidation& validation, Fields& fields) {
  const Place hostname = place.member("hostname");
  validation.hostname = fields.required_text(hostname);
  if (!is_precise_hostname(validation.hostname)) {
    fields.refuse(hostname, "must be a DNS name in lower case without a wildcard");
  }
  const Place names = place.member("subjectAltNames");
  validation.sans = read_list(names, kMaxNames, fields,
                              [&](const Place& item) { return read_name(item, is_own, fields); });
}

// Fields that exclude each other.
void check_rules(const Place& place, const PolicyValidation& read, Fields& fields) {
  const bool has_ca = !read.cas.empty() || read.system_roots;
  const bool has_revocation = !place.member("revocation").absent();
  if (read.insecure_skip_verify) {
    if (has_ca || !read.sans.empty() || !read.pins.empty() || read.pin_only || has_revocation) {
      fields.refuse(place.member("insecureSkipVerify"),
                    "excludes CAs, names, pins and revocation: nothing would be verified");
    }
  } else if (read.pin_only) {
    if (read.pins.empty()) fields.refuse(place.member("pins"), "is missing: pinOnly is set");
    if (has_ca || !read.sans.empty() || has_revocation) {
      fields.refuse(place.member("pinOnly"),
                    "excludes CAs, names and revocation: the pin stands in for them");
    }
  } else if (!has_ca) {
    fields.refuse(place.member("caCertificateRefs"),
                  "is missing: name a CA, or set wellKnownCACertificates to System",
                  Reason::CaMissing);
  }
}

}  // namespace

PolicyValidation read_validation(const Place& place, Fields& fields) {
  PolicyValidation validation;
  (void)fields.only(place,
                    {"caCertificateRefs", "wellKnownCACertificates", "hostname", "subjectAltNames",
                     "verifyDepth", "pins", "pinOnly", "revocation", "insecureSkipVerify"});
  read_cas(place, /*is_own=*/true, validation, fields);
  read_names(place, /*is_own=*/true, validation, fields);
  validation.verify_depth =
      static_cast<std::uint8_t>(fields.number(place.member("verifyDepth"), 1, 16, 4));
  const Place pins = place.member("pins");
  validation.pins =
      read_list(pins, kMaxPins, fields, [&](const Place& item) { return read_pin(item, fields); });
  validation.pin_only = fields.boolean(place.member("pinOnly"), false);
  const Place revocation = place.member("revocation");
  if (!revocation.absent()) validation.revocation = read_revocation(revocation, fields);
  validation.insecure_skip_verify = fields.boolean(place.member("insecureSkipVerify"), false);
  check_rules(place, validation, fields);
  return validation;
}

PolicyValidation read_gateway_validation(const Place& place, Fields& fields) {
  PolicyValidation validation;
  (void)fields.only(
      place, {"caCertificateRefs", "wellKnownCACertificates", "hostname", "subjectAltNames"});
  read_cas(place, /*is_own=*/false, validation, fields);
  read_names(place, /*is_own=*/false, validation, fields);
  check_rules(place, validation, fields);
  return validation;
}

}  // namespace handfast::objects
