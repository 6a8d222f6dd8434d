#pragma once
// What a TLS policy says, told for people: whose it is, what it presents, whom it believes, until
// when; and, for each word that a backend may be refused with, which line of which object changes
// that.

#include <string>
#include <string_view>
#include <vector>

#include "cmd/handfast/facts.h"
#include "proxy/base/clock.h"
#include "proxy/base/reason.h"
#include "proxy/config/model.h"
#include "proxy/pki/identity.h"
#include "proxy/tls/upstream_policy.h"

namespace handfast {

// The object that a policy was made of.
struct PolicyOwner {
  std::string
      kind;  // "Ingress", "UpstreamTLSPolicy", "BackendTLSPolicy"; empty: flags of a command
  std::string name;  // "shop/orders"

  [[nodiscard]] std::string text() const { return kind + " " + name; }
};

// Read from config::UpstreamTls::name.
[[nodiscard]] PolicyOwner owner_of(std::string_view policy_name);

// Of a certificate: subject, issuer, serial, validity, SANs.
[[nodiscard]] Facts certificate_facts(const pki::CertificateInfo& info);

// `policy` is what the proxy made of `tls`.
[[nodiscard]] Facts policy_facts(const config::UpstreamTls& tls, const tls::UpstreamPolicy& policy,
                                 UnixSeconds now);

// What speaks against the certificate that we present, though it is good: a clause, or nothing.
[[nodiscard]] std::string_view identity_doubt(const tls::UpstreamPolicy& policy);

// What is known where a remedy is asked for.
struct Trouble {
  PolicyOwner owner;
  const config::UpstreamTls* tls = nullptr;    // null: plain, or unknown
  const pki::CertificateInfo* peer = nullptr;  // the backend's certificate, if it was seen
  std::string issuer_needed;                   // the last shown certificate's issuer
  bool issuer_is_trusted = false;              // by its name
  bool ours_is_for_clients = true;             // by its extendedKeyUsage
  std::vector<std::string> accepted_issuers;   // CAs that the backend takes client certificates of
};

// What to do about it, a sentence that names object and line; empty for what needs nothing.
[[nodiscard]] std::string remedy(Reason reason, const Trouble& trouble);

}  // namespace handfast
