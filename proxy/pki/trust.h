#pragma once
// What we believe: certificate authorities, and lists of revoked certificates.
//
// Both are parsed once per content, off the event loops, are immutable afterwards and shared by
// every policy that names the same bytes. "Something present must mean something": bytes that yield
// no entry are bad, never an empty set, because an empty list of revocations trusts everyone.

#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::pki {

class CaBundle {
 public:
  // PEM certificates, concatenated, text between the blocks ignored. One torn or undecodable block
  // refuses the whole (BadCa, "ca.crt: entry 2: …"): count of BEGIN lines must equal the count of
  // certificates. Empty, DER, UTF-16 or other blocks only: BadCa. Entries that are no CA (basic
  // constraints, or a keyUsage without keyCertSign), whose key this OpenSSL can't read, or that are
  // expired stay out of the anchors and are named in warnings(); no usable entry left: BadCa. One
  // that isn't valid yet is an anchor, which begins to count by itself, and is named in early().
  // Blocks of other types beside certificates (a private key!) are BadCa.
  static Result<std::shared_ptr<const CaBundle>> load(std::string_view pem, UnixSeconds now);

  // The machine's roots, only where someone said so: OpenSSL's default file (SSL_CERT_FILE), or,
  // where there is none, the hashed files of its default directories (SSL_CERT_DIR). BadCa if
  // neither yields a root. detail begins with the path.
  static Result<std::shared_ptr<const CaBundle>> load_system(UnixSeconds now);

  [[nodiscard]] std::span<const X509Ptr> anchors() const noexcept { return anchors_; }
  // Store with the anchors, no CRL, no flags; shared by all verifications. Borrowed.
  [[nodiscard]] X509_STORE* store() const noexcept { return store_.get(); }
  [[nodiscard]] UnixSeconds earliest_not_after() const noexcept { return earliest_not_after_; }
  // "entry 3 (CN=Old Root): expired 2024-01-01T00:00:00Z"
  [[nodiscard]] const std::vector<std::string>& warnings() const noexcept { return warnings_; }
  // "entry 2 (CN=Next Root): is valid only from 2027-01-01T00:00:00Z"
  [[nodiscard]] const std::vector<std::string>& early() const noexcept { return early_; }
  // When the first of those begins; 0: there are none.
  [[nodiscard]] UnixSeconds next_not_before() const noexcept { return next_not_before_; }

 private:
  CaBundle() = default;
  void add(X509Ptr certificate, const std::string& who, UnixSeconds now);

  std::vector<X509Ptr> anchors_;
  X509StorePtr store_;
  UnixSeconds earliest_not_after_ = 0;
  UnixSeconds next_not_before_ = 0;
  std::vector<std::string> warnings_;
  std::vector<std::string> early_;
};

// An index of revoked serials by issuer, from one or more CRLs. A CRL counts only once its
// signature was verified with the issuer's key; that happens once per (CRL, issuer key), remembered
// inside.
class CrlSet {
 public:
  // PEM (one or more X509 CRL blocks) or DER (one CRL). Torn block, wrong kind of block, UTF-16, a
  // damaged BEGIN line, a certificate: BadCrl, "ca.crl: entry 1: …". A delta CRL or an indirect
  // CRL: BadCrl with that word. An empty list (0 entries) is fine. Unknown critical extensions, of
  // the list or of an entry: BadCrl. detail begins with "ca.crl: ".
  static Result<std::shared_ptr<const CrlSet>> load(std::string_view pem_or_der);

  CrlSet(const CrlSet&) = delete;
  CrlSet& operator=(const CrlSet&) = delete;
  ~CrlSet();

  struct Info {
    std::string issuer;  // RFC 2253
    std::string number;  // CRL number in decimal; empty if it has none
    UnixSeconds this_update = 0;
    UnixSeconds next_update = 0;  // 0: none given
    std::size_t entries = 0;
  };
  [[nodiscard]] const std::vector<Info>& info() const noexcept { return info_; }
  [[nodiscard]] UnixSeconds earliest_next_update() const noexcept;
  // When three quarters of a list's time are over, of the first of them; 0: none has an end.
  [[nodiscard]] UnixSeconds due_at() const noexcept;

  // Checks the signatures of the lists that these authorities issued, so that no handshake waits
  // for it (100,000 entries: 5 ms). What it doesn't meet here is checked when a chain brings it.
  void meet(std::span<const X509Ptr> authorities) const;

  // Whether each list names one of these authorities as its issuer and is signed by it.
  [[nodiscard]] bool is_signed_by(std::span<const X509Ptr> authorities) const;

  enum class Answer : std::uint8_t { Good, Revoked, NotCovered, Expired, NotYetValid };

  // What the lists say of one certificate.
  struct Coverage {
    Answer answer = Answer::NotCovered;
    // Until when the answer holds: the end of the list that vouches, or just before one begins
    // that isn't valid yet. 0: no such time is known. Not for Revoked.
    UnixSeconds next_update = 0;
    std::string
        detail;  // for the operator: which list, since when, or why none covers. Not for Good.
  };

  // Is `certificate`, issued by `issuer`, revoked? The newest valid CRL of that issuer (name, AKI,
  // signature by issuer's key, cRLSign, distribution-point scope: RFC 5280 6.3.3) decides,
  // whichever set it lies in. Two CRLs of one issuer: the newest that is in date. Expired and
  // NotYetValid only if no other covers it. A list that can't vouch (expired, or for some reasons
  // only) can still condemn: an entry in it is Revoked unless a newer list in date says otherwise.
  // The issuer must come from a chain that was verified. Null sets are skipped. Thread-safe; ~1 µs
  // a list, a signature check more the first time that a list meets an issuer's key.
  [[nodiscard]] static Coverage check(std::span<const std::shared_ptr<const CrlSet>> sets,
                                      const X509& certificate, const X509& issuer, UnixSeconds now);
  [[nodiscard]] Answer check(const X509& certificate, const X509& issuer, UnixSeconds now) const;

 private:
  struct Impl;
  explicit CrlSet(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  std::vector<Info> info_;
};

}  // namespace handfast::pki
