#pragma once
// One certificate revocation list, reduced to what a look-up needs.
//
// OpenSSL's own form of a list with 100,000 entries holds 27 MB, and its verifier checks the list's
// signature at every handshake (5 ms). Here the serials lie sorted in one block of bytes (a look-up
// is a microsecond), and of the list itself only the signed bytes are kept; the signature is
// checked once per issuer key.
//
// Threading: immutable after load() but for the remembered signature results, which a mutex guards.
// Ownership: owns copies of everything.

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/pki/openssl_ptr.h"
#include "proxy/pki/pins.h"
#include "proxy/pki/trust.h"

namespace handfast::pki {

struct Revocation {
  UnixSeconds date = 0;
  std::uint32_t offset = 0;  // of the serial's key in the pool
  std::uint16_t size = 0;
  std::int16_t reason = -1;  // CRLReason; -1: none given
};

// Serial numbers to revocations. Add all, then sort() once, then find().
class SerialIndex {
 public:
  // False if the serial is longer than any sane one, or the pool is full.
  [[nodiscard]] bool add(const ASN1_INTEGER* serial, UnixSeconds date, std::int16_t reason);
  void reserve(std::size_t count) { entries_.reserve(count); }
  void sort();
  [[nodiscard]] const Revocation* find(const ASN1_INTEGER* serial) const;
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  [[nodiscard]] std::string_view key(const Revocation& entry) const;

  std::string pool_;
  std::vector<Revocation> entries_;
};

class CrlIndex {
 public:
  // How much a list says of a certificate: nothing; revocations for some reasons only (so that
  // absence vouches for nothing); or all.
  enum class Scope : std::uint8_t { None, Partial, Full };
  enum class Date : std::uint8_t { Current, Expired, NotYetValid };

  // Exactly one CRL in `der`, else BadCrl.
  static Result<std::unique_ptr<const CrlIndex>> load(std::span<const unsigned char> der);

  // RFC 5280 6.3.3 (b), (d) without the signature. `why` says what doesn't fit, where the operator
  // could have meant this list.
  [[nodiscard]] Scope scope_for(const X509& certificate, const X509& issuer,
                                std::string& why) const;
  // By its name alone.
  [[nodiscard]] bool is_of(const X509& issuer) const;
  [[nodiscard]] bool signed_by(const X509& issuer) const;
  [[nodiscard]] Date date_at(UnixSeconds now) const;
  [[nodiscard]] const Revocation* find(const X509& certificate) const;
  // By thisUpdate, then by CRL number.
  [[nodiscard]] bool newer_than(const CrlIndex& other) const;
  [[nodiscard]] const CrlSet::Info& info() const noexcept { return info_; }

 private:
  CrlIndex() = default;
  Status read_times_and_name(const X509_CRL& crl);
  Status read_extensions(const X509_CRL& crl);
  Status read_entries(std::span<const unsigned char> der);
  Status read_entries(const STACK_OF(X509_REVOKED) * entries);
  Status read_entry(const X509_REVOKED& entry);
  Status keep_signed_bytes(std::span<const unsigned char> der, std::span<const unsigned char> rest);
  [[nodiscard]] Scope scope_of_point(const X509& certificate, std::string& why) const;
  [[nodiscard]] bool signature_verifies(const X509& issuer) const;

  CrlSet::Info info_;
  X509NamePtr issuer_;
  BignumPtr number_;  // null: none
  AuthorityKeyIdPtr authority_key_;
  IssuingDistPointPtr point_;
  SerialIndex serials_;
  Asn1TypesPtr signed_parts_;  // tbsCertList, signatureAlgorithm, signatureValue
  X509AlgorPtr algorithm_;

  mutable std::mutex mutex_;
  mutable std::vector<std::pair<Sha256, bool>> verified_keys_;
};

}  // namespace handfast::pki
