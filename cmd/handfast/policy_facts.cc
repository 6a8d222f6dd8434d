#include "cmd/handfast/policy_facts.h"

#include <cstdint>
#include <utility>

#include "proxy/pki/asn1_text.h"
#include "proxy/pki/trust.h"

namespace handfast {
namespace {

// The machine's roots are some 140.
constexpr std::size_t kMostAnchors = 10;

std::string joined(const std::vector<std::string>& texts, std::string_view separator) {
  std::string out;
  for (const std::string& text : texts) {
    if (!out.empty()) out += separator;
    out += text;
  }
  return out;
}

std::string_view version_text(config::TlsVersion version) {
  return version == config::TlsVersion::Tls12 ? "TLSv1.2" : "TLSv1.3";
}

std::string_view scope_text(config::RevocationScope scope) {
  switch (scope) {
    case config::RevocationScope::Off:
      return "no CRL is looked at";
    case config::RevocationScope::Listed:
      return "whatever a CRL of --crl-dir names is refused";
    case config::RevocationScope::Leaf:
      return "the backend's certificate must be covered by a CRL";
    case config::RevocationScope::Chain:
      return "every certificate of the chain must be covered by a CRL";
  }
  return "";
}

std::string crl_state(const pki::CrlSet::Info& info, UnixSeconds now) {
  if (info.this_update > now) return "not valid yet";
  return info.next_update != 0 && info.next_update < now ? "expired" : "in date";
}

Facts trust_facts(const tls::UpstreamPolicy& policy) {
  Facts::List list;
  for (std::size_t i = 0; i < policy.trust.size(); ++i) {
    Facts one;
    one.add("from", policy.trust_sources[i]);
    Facts::List authorities;
    for (const auto& anchor : policy.trust[i]->anchors()) {
      if (authorities.size() == kMostAnchors) {
        const std::size_t more = policy.trust[i]->anchors().size() - kMostAnchors;
        authorities.emplace_back("and " + std::to_string(more) + " more");
        break;
      }
      const pki::CertificateInfo info = pki::describe(*anchor);
      authorities.emplace_back(info.subject + ", until " + pki::rfc3339(info.not_after));
    }
    one.add("authorities", std::move(authorities));
    if (!policy.trust[i]->warnings().empty()) one.add("left_out", policy.trust[i]->warnings());
    if (!policy.trust[i]->early().empty()) one.add("not_yet", policy.trust[i]->early());
    list.push_back(std::move(one));
  }
  return list;
}

Facts crl_facts(const tls::UpstreamPolicy& policy, UnixSeconds now) {
  Facts::List list;
  for (std::size_t i = 0; i < policy.crls.size(); ++i) {
    for (const pki::CrlSet::Info& info : policy.crls[i]->info()) {
      Facts one;
      one.add("from", policy.crl_sources[i]).add("issuer", info.issuer);
      one.add_if_any("number", info.number);
      one.add("this_update", pki::rfc3339(info.this_update));
      one.add("next_update", info.next_update == 0 ? "none" : pki::rfc3339(info.next_update));
      one.add("entries", static_cast<std::int64_t>(info.entries))
          .add("state", crl_state(info, now));
      list.push_back(std::move(one));
    }
  }
  return list;
}

std::string sources(const std::vector<config::FileRef>& files, std::string_view key) {
  std::vector<std::string> texts;
  for (const config::FileRef& file : files) {
    texts.push_back(std::string(key) + " of " + file.source);
  }
  return joined(texts, " or ");
}

// Where a thing is said: an annotation of the Ingress, or a field of the policy object.
struct Line {
  std::string_view annotation;
  std::string_view field;
  std::string_view flag;  // of `handfast verify` without manifests
};

std::string at(const PolicyOwner& owner, const Line& line) {
  if (owner.kind.empty()) return "--" + std::string(line.flag);
  if (owner.kind == "Ingress") {
    return std::string(line.annotation) + " of " + owner.text();
  }
  return std::string(line.field) + " of " + owner.text();
}

constexpr Line kName{"nginx.ingress.kubernetes.io/proxy-ssl-name", "spec.validation.hostname",
                     "name"};
constexpr Line kSecret{"nginx.ingress.kubernetes.io/proxy-ssl-secret", "spec.clientCertificateRef",
                       "cert"};
constexpr Line kCa{"nginx.ingress.kubernetes.io/proxy-ssl-secret",
                   "spec.validation.caCertificateRefs", "ca"};
constexpr Line kCrl{"nginx.ingress.kubernetes.io/proxy-ssl-secret",
                    "spec.validation.revocation.crlRefs", "crl"};
constexpr Line kDepth{"nginx.ingress.kubernetes.io/proxy-ssl-verify-depth",
                      "spec.validation.verifyDepth", "depth"};
constexpr Line kProtocols{"nginx.ingress.kubernetes.io/proxy-ssl-protocols", "spec.protocol", ""};

std::string ca_place(const Trouble& trouble) {
  if (trouble.tls != nullptr && !trouble.tls->ca.empty() && !trouble.owner.kind.empty()) {
    return sources(trouble.tls->ca, "ca.crt");
  }
  return at(trouble.owner, kCa);
}

std::string crl_place(const Trouble& trouble) {
  if (trouble.tls != nullptr && !trouble.tls->crl.empty() && !trouble.owner.kind.empty()) {
    return sources(trouble.tls->crl, "ca.crl");
  }
  return at(trouble.owner, kCrl);
}

std::string identity_place(const Trouble& trouble) {
  if (trouble.tls != nullptr && trouble.tls->identity && !trouble.owner.kind.empty()) {
    return "tls.crt and tls.key of " + trouble.tls->identity->source;
  }
  return at(trouble.owner, kSecret);
}

std::string name_remedy(const Trouble& trouble) {
  const std::string wanted =
      trouble.tls == nullptr ? "the expected name" : joined(trouble.tls->names, " or ");
  std::string out = "Give the backend a certificate for " + wanted;
  if (trouble.peer != nullptr && !trouble.peer->sans.empty()) {
    std::string san = trouble.peer->sans.front();
    out += ", or expect the name that it has: set " + at(trouble.owner, kName) + " to \"" +
           san.substr(san.find(':') + 1) + '"';
  }
  return out + ".";
}

std::string rejected_remedy(const Trouble& trouble) {
  const bool presented = trouble.tls != nullptr && trouble.tls->identity.has_value();
  std::string out;
  if (!presented) {
    out = "The backend wants a client certificate: name a Secret with tls.crt and tls.key in " +
          at(trouble.owner, kSecret);
  } else if (!trouble.ours_is_for_clients) {
    out = "Put a certificate with extendedKeyUsage clientAuth, which ours lacks, into " +
          identity_place(trouble);
  } else {
    out = "Put a certificate that the backend accepts into " + identity_place(trouble) +
          ", or have the backend trust its issuer";
  }
  if (!trouble.accepted_issuers.empty()) {
    out += "; it says that it trusts " + joined(trouble.accepted_issuers, " and ");
  }
  return out + ".";
}

std::string untrusted_remedy(const Trouble& trouble) {
  if (trouble.issuer_is_trusted) {
    return "A CA of that name (" + trouble.issuer_needed + ") is in " + ca_place(trouble) +
           ", but its key didn't sign this, or its constraints forbid it: compare the two.";
  }
  std::string authority = "the CA of the backend";
  if (!trouble.issuer_needed.empty()) authority += " (" + trouble.issuer_needed + ")";
  return "Put " + authority + " into " + ca_place(trouble) +
         ", give the backend a certificate of a CA that is there, or have it send its "
         "intermediates.";
}

// What is wrong at the backend or between us.
std::string peer_remedy(Reason reason, const Trouble& trouble) {
  switch (reason) {
    case Reason::Expired:
      return "Renew the certificate that has expired (the chain's dates tell which); it is the "
             "backend's, or its CA's in " +
             ca_place(trouble) + ".";
    case Reason::NotYetValid:
      return "Compare the clocks of this machine and of whoever issued the certificate.";
    case Reason::UntrustedIssuer:
      return untrusted_remedy(trouble);
    case Reason::ChainTooLong:
      return "Raise " + at(trouble.owner, kDepth) + ", or have a CA nearer to the backend in " +
             ca_place(trouble) + ".";
    case Reason::WrongPurpose:
      return "Issue the backend's certificate anew with extendedKeyUsage serverAuth, and its CAs "
             "with keyCertSign and CA:TRUE.";
    case Reason::Weak:
      return "Issue the certificate anew with a key of at least RSA 2048 or ECDSA P-256 and a "
             "signature of SHA-256 or better.";
    case Reason::NameMismatch:
      return name_remedy(trouble);
    case Reason::PinMismatch:
      return "Put the digest of the backend's present key into spec.validation.pins of " +
             trouble.owner.text() + ".";
    case Reason::Revoked:
      return "Give the backend a new certificate: its CA has revoked the one that it shows.";
    case Reason::CrlMissing:
      return "Put a CRL of every CA of the chain into " + crl_place(trouble) + ".";
    case Reason::CrlExpired:
      return "Fetch the CA's present CRL and put it into " + crl_place(trouble) + ".";
    case Reason::CrlNotYetValid:
      return "Compare the clocks of this machine and of the CA whose CRL is in " +
             crl_place(trouble) + ".";
    case Reason::Ocsp:
      return "Turn on OCSP stapling at the backend, or see what its response says.";
    default:
      return "";
  }
}

std::string handshake_remedy(Reason reason, const Trouble& trouble) {
  switch (reason) {
    case Reason::ClientCertificateRejected:
      return rejected_remedy(trouble);
    case Reason::ClientCertificateNotRequested:
      return "Have the backend ask for a client certificate (nginx: ssl_verify_client on), or "
             "don't require it in " +
             trouble.owner.text() + ".";
    case Reason::Protocol:
      return "Have the backend speak TLS 1.2 or 1.3 with a forward secret suite" +
             (trouble.owner.kind.empty() ? "." : ", or see " + at(trouble.owner, kProtocols) + ".");
    case Reason::Alpn:
      return "Turn on HTTP/2 at the backend, or off at the route (handfast.dev/upstream-http2, "
             "appProtocol of the Service, backend-protocol).";
    case Reason::NotTls:
      return "Turn on TLS at that port of the backend, or name the port that has it (backend of "
             "the Ingress, targetPort of the Service).";
    case Reason::HandshakeClosed:
      return "See the backend's log: it ended the handshake without saying why.";
    case Reason::HandshakeTimeout:
      return "See why the backend accepts connections and doesn't answer.";
    case Reason::NoEndpoints:
      return "See why no pod of the Service is ready.";
    case Reason::ConnectRefused:
      return "Start what should listen there, or correct targetPort of the Service.";
    case Reason::ConnectTimeout:
      return "See whether a NetworkPolicy or a firewall stands between; raise --timeout if the "
             "way is long.";
    case Reason::BadResponse:
      return "See the backend's log: it ended the connection right after the handshake.";
    default:
      return "";
  }
}

}  // namespace

PolicyOwner owner_of(std::string_view policy_name) {
  const std::size_t first = policy_name.find('/');
  if (first == std::string_view::npos) return {};
  const std::size_t second = policy_name.find('/', first + 1);
  std::string_view name = policy_name.substr(0, second);
  PolicyOwner owner{.kind = "Ingress", .name = {}};
  if (const std::size_t kind = name.rfind('@'); kind != std::string_view::npos) {
    const std::string_view word = name.substr(kind + 1);
    if (word == "utls") owner.kind = "UpstreamTLSPolicy";
    if (word == "btls") owner.kind = "BackendTLSPolicy";
    name = name.substr(0, kind);
  }
  owner.name = name;
  return owner;
}

Facts certificate_facts(const pki::CertificateInfo& info) {
  Facts facts;
  facts.add("subject", info.subject).add("issuer", info.issuer).add("serial", info.serial);
  facts.add("not_before", pki::rfc3339(info.not_before));
  facts.add("not_after", pki::rfc3339(info.not_after));
  if (!info.sans.empty()) facts.add("names", info.sans);
  return facts;
}

Facts policy_facts(const config::UpstreamTls& tls, const tls::UpstreamPolicy& policy,
                   UnixSeconds now) {
  Facts facts;
  if (const PolicyOwner owner = owner_of(tls.name); !owner.kind.empty()) {
    facts.add("from", (owner.kind == "Ingress" ? "annotations of " : "") + owner.text());
  }
  if (policy.refused) return facts;
  if (policy.identity != nullptr) {
    Facts identity = certificate_facts(policy.identity->info());
    identity.add("from", policy.identity_source);
    identity.add_if_any("warning", identity_doubt(policy));
    facts.add("we_present", std::move(identity));
  } else {
    facts.add("we_present", "no certificate");
  }
  if (!policy.verify) {
    facts.add("verification", "off: any certificate is taken, as the operator has permitted");
  } else {
    facts.add("we_trust", trust_facts(policy));
    facts.add("names_expected", tls.names);
    facts.add("intermediates_allowed", std::int64_t{tls.verify_depth});
    facts.add("revocation", scope_text(tls.revocation));
    if (tls.allow_without_crl) facts.add("without_a_crl", "let through, counted and logged");
    if (tls.ocsp != config::Ocsp::Off) {
      facts.add("ocsp", tls.ocsp == config::Ocsp::Require ? "a stapled response is demanded"
                                                          : "a stapled response is judged");
    }
    if (tls.audit_until > now) {
      facts.add("audit", "what verification refuses is forwarded and counted, until " +
                             pki::rfc3339(tls.audit_until));
    }
    if (!policy.crls.empty()) facts.add("crls", crl_facts(policy, now));
  }
  Facts::List pins;
  for (const config::Pin& pin : tls.pins) {
    pins.emplace_back((pin.type == config::PinType::Spki ? "key " : "certificate ") + pin.sha256);
  }
  if (!pins.empty()) facts.add("pins", std::move(pins));
  if (tls.require_certificate_request) facts.add("backend_must_ask_for_our_certificate", true);
  facts.add("sni", tls.sni ? *tls.sni : "none");
  Facts::List versions;
  for (const config::TlsVersion version : tls.versions)
    versions.emplace_back(version_text(version));
  facts.add("versions", std::move(versions));
  facts.add_if_any("ciphers", tls.ciphers);
  facts.add_if_any("cipher_suites", tls.cipher_suites).add_if_any("groups", tls.groups);
  if (!tls.resumption) facts.add("sessions_resumed", false);
  return facts;
}

std::string_view identity_doubt(const tls::UpstreamPolicy& policy) {
  if (policy.identity == nullptr || policy.identity->info().is_for_clients) return "";
  return "its extendedKeyUsage has no clientAuth: backends may refuse it";
}

std::string remedy(Reason reason, const Trouble& trouble) {
  std::string text = peer_remedy(reason, trouble);
  if (text.empty()) text = handshake_remedy(reason, trouble);
  if (!text.empty()) return text;
  switch (reason) {
    case Reason::SecretMissing:
      return "Create the Secret that " + at(trouble.owner, kSecret) +
             " names, or correct the name.";
    case Reason::CaMissing:
      return "Put the CA of the backend into " + at(trouble.owner, kCa) + ".";
    case Reason::KeyMismatch:
    case Reason::BadCertificate:
    case Reason::BadKey:
    case Reason::Passphrase:
    case Reason::ClientCertificateExpired:
    case Reason::ClientCertificateNotYetValid:
      return "Put a good pair into " + identity_place(trouble) + ".";
    case Reason::BadCa:
      return "Correct " + ca_place(trouble) + ".";
    case Reason::BadCrl:
      return "Correct " + crl_place(trouble) + ".";
    case Reason::ServiceMissing:
      return "Create the Service, or correct the backend of " + trouble.owner.text() + ".";
    case Reason::PortMissing:
      return "Add the port to the Service, or correct the backend of " + trouble.owner.text() + ".";
    default:
      return "";
  }
}

}  // namespace handfast
