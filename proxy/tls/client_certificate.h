#pragma once
// What the client of a connection has shown, and what it was found to be.
//
// Made in the ClientHello callback for a host that asks for certificates; filled by the handshake,
// or by the session that it takes up. A handshake never fails over it: what a bad certificate or
// none means is each route's to say (session/client_access.h). When the policy changes, what was
// shown is judged again.
//
//   asked (nothing shown: NoClientCertificate) -> shown, good or bad -> judged again ...
//
// Threading: one worker's. Ownership: the TlsStream's.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/base/clock.h"
#include "proxy/pki/openssl_ptr.h"
#include "proxy/pki/verify.h"
#include "proxy/tls/client_policy.h"

namespace handfast::tls {

class ClientCertificate {
 public:
  explicit ClientCertificate(std::shared_ptr<const ClientPolicy> policy);

  // Judges what a client shows in a full handshake. `chain` may hold the leaf and be null; both are
  // borrowed.
  void show(X509* leaf, STACK_OF(X509) * chain, UnixSeconds now);
  // What a session brings back. It counts only if the handshake ends with that session taken up,
  // which OpenSSL may still decide against: settle() must be told. `holds_until`: for a verdict of
  // today's epoch; without one the certificate is judged again.
  void bring_back(X509* leaf, STACK_OF(X509) * chain, std::optional<UnixSeconds> holds_until,
                  UnixSeconds now);
  void settle(bool resumed);
  [[nodiscard]] bool is_of_session() const { return of_session_; }
  // What was shown, under what the policy is now.
  void judge_again(std::shared_ptr<const ClientPolicy> policy, UnixSeconds now);
  // The same with the answer known: see Worker::judge_clients().
  void set_verdict(std::shared_ptr<const ClientPolicy> policy, pki::Verdict verdict);

  [[nodiscard]] const std::shared_ptr<const ClientPolicy>& policy() const { return policy_; }
  [[nodiscard]] const pki::Verdict& verdict() const { return verdict_; }
  // Null: the client has none. Borrowed.
  [[nodiscard]] X509* leaf() const { return leaf_.get(); }
  [[nodiscard]] STACK_OF(X509) * chain() const { return chain_.get(); }  // without the leaf
  // Whether time has taken the verdict away.
  [[nodiscard]] bool outlived(UnixSeconds now) const {
    return verdict_.ok() && verdict_.valid_until != 0 && now > verdict_.valid_until;
  }
  // It was good once and is no longer: the connection must not live on.
  [[nodiscard]] bool lost() const { return lost_; }
  // sha256 of what was shown: what has the same is judged the same. Empty without a certificate.
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }

  // As nginx writes them, each made when it is first asked for. Views of this.
  [[nodiscard]] std::string_view verify_text();  // "SUCCESS", "NONE", "FAILED:<why>"
  [[nodiscard]] std::string_view subject();      // RFC 2253, as issuer()
  [[nodiscard]] std::string_view issuer();
  [[nodiscard]] std::string_view serial();
  [[nodiscard]] std::string_view escaped_pem();  // percent-encoded
  // Envoy's form: Hash=…;Subject="…";URI=…;DNS=…, and Cert="…" if `with_certificate`. Empty unless
  // the certificate is good: whoever reads it takes it for proven.
  [[nodiscard]] std::string_view forwarded(bool with_certificate);

 private:
  void keep(X509* leaf, STACK_OF(X509) * chain);
  void forget();

  std::shared_ptr<const ClientPolicy> policy_;
  pki::Verdict verdict_;
  bool of_session_ = false;
  bool lost_ = false;
  pki::X509Ptr leaf_;
  pki::X509StackPtr chain_;  // null: none
  std::string fingerprint_;
  std::string verify_text_;
  std::string subject_, issuer_, serial_, escaped_pem_;
  std::string forwarded_, forwarded_with_certificate_;
};

}  // namespace handfast::tls
