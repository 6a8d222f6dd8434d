#pragma once
// Whom the clients of a host must be, ready for use: the run-time form of config::ClientTls.
//
// Immutable; shared by all workers, hosts and connections. As with backends, `key` says by which
// rules and from which sources certificates are judged, `epoch` what those sources hold. A
// connection that was judged under another key is worth nothing for this host (421); one of another
// epoch is judged again. Sessions are bound to `session_context`, which changes with the rules and
// the CAs but not with a new CRL: they are judged again when they are taken up.

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/pki/common_name.h"
#include "proxy/pki/openssl_ptr.h"
#include "proxy/pki/trust.h"
#include "proxy/pki/verify.h"

namespace handfast::tls {

struct ClientPolicy {
  std::string key;                                  // sha256 in hex
  std::string epoch;                                // sha256 in hex
  std::array<unsigned char, 32> session_context{};  // of key and CAs

  std::vector<std::shared_ptr<const pki::CaBundle>> trust;
  std::vector<std::shared_ptr<const pki::CrlSet>> crls;
  std::vector<std::string> trust_sources;  // as many as there are above
  std::vector<std::string> crl_sources;
  pki::VerifyRules rules;  // of Purpose::Client
  std::optional<pki::CommonNamePattern> subject;
  pki::NameStackPtr announced;  // null: the CAs aren't named

  std::optional<Error> refused;  // then nothing above is usable, and nobody gets in

  // The chain first: a name proves nothing in a certificate that anybody could have made.
  [[nodiscard]] pki::Verdict judge(X509* leaf, STACK_OF(X509) * untrusted, UnixSeconds now) const;

  // Sets session_context to the hash of `text`.
  void bind_sessions(std::string_view text);
  // Names the subjects of the CAs to clients, unless they are too many for one message.
  void announce_authorities();
};

}  // namespace handfast::tls
