#pragma once
// How to connect to a backend, ready for use: the run-time form of config::UpstreamTls.
//
// Immutable; shared by all workers. `key` and `epoch` are what pools go by (design invariant 8):
// two policies with the same key present the same certificate and judge by the same rules from the
// same sources; the epoch is the content of those sources. A new epoch costs no reconnect: chains
// are judged again.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/base/rare.h"
#include "proxy/base/result.h"
#include "proxy/pki/identity.h"
#include "proxy/pki/trust.h"
#include "proxy/pki/verify.h"

namespace handfast::tls {

struct UpstreamPolicy {
  std::string name;   // config::UpstreamTls::name
  std::string key;    // sha256 in hex
  std::string epoch;  // sha256 in hex

  std::shared_ptr<const pki::Identity> identity;  // null: no client certificate
  std::vector<std::shared_ptr<const pki::CaBundle>> trust;
  std::vector<std::shared_ptr<const pki::CrlSet>> crls;
  // Where each came from ("Secret/shop/orders-tls"), for metrics; as many as there are above.
  std::string identity_source;
  std::vector<std::string> trust_sources;
  std::vector<std::string> crl_sources;
  bool verify = true;
  pki::VerifyRules rules;

  std::optional<std::string> sni;
  int min_version = 0;  // TLS1_2_VERSION …
  int max_version = 0;
  std::string ciphers;  // empty: ours
  std::string cipher_suites;
  std::string groups;
  bool resumption = true;
  bool require_certificate_request = false;
  pki::OcspMode ocsp = pki::OcspMode::Off;

  std::optional<std::chrono::milliseconds> drain;  // after a change of identity; none: no end
  // After a verdict against the peer of a connection in use; none: it is closed at once.
  std::optional<std::chrono::milliseconds> trust_drain;
  std::chrono::milliseconds max_age{0};  // of a connection that takes requests; 0: none
  UnixSeconds audit_until = 0;           // 0: no audit

  Rare<Error> refused;  // then nothing above is usable

  // Whether a connection may be made now: refused, or our certificate outside its time.
  [[nodiscard]] Status usable(UnixSeconds now) const {
    if (refused) return fail(*refused);
    if (identity != nullptr) {
      if (now > identity->info().not_after) {
        return fail(Reason::ClientCertificateExpired, "our client certificate has expired");
      }
      if (now < identity->info().not_before) {
        return fail(Reason::ClientCertificateNotYetValid, "our client certificate isn't valid yet");
      }
    }
    return {};
  }

  [[nodiscard]] bool asks_for_staple() const noexcept {
    return verify && ocsp != pki::OcspMode::Off;
  }
  // Whole, with what the peer stapled. `stapled` may be null.
  [[nodiscard]] pki::Verdict judge(X509* leaf, STACK_OF(X509) * untrusted,
                                   const std::string* stapled, UnixSeconds now) const;
  // All but the stapled response, which comes later in a handshake.
  [[nodiscard]] pki::Verdict judge_chain(X509* leaf, STACK_OF(X509) * untrusted,
                                         UnixSeconds now) const;

 private:
  [[nodiscard]] pki::Verdict audited(pki::Verdict verdict, UnixSeconds now) const;
};

}  // namespace handfast::tls
