#include "proxy/pki/crl_index.h"

#include <openssl/asn1t.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/pki/asn1_text.h"

namespace handfast::pki {
namespace {

// Of DER; borrows its bytes. The tag is -1 where it isn't a universal one.
struct Element {
  int tag = -1;
  std::span<const unsigned char> all;
  std::span<const unsigned char> content;
};

// RFC 5280 allows 20 bytes; some authorities exceed it.
constexpr std::size_t kMaxSerialBytes = 256;
// Verified issuers' keys remembered for each list; more than this is no honest hierarchy, and is
// then checked anew each time.
constexpr std::size_t kMaxRememberedKeys = 64;
constexpr std::int16_t kRemoveFromCrl = 8;

// Sign and magnitude: shorter and equal keys are equal numbers.
std::optional<std::string> key_of(const ASN1_INTEGER* serial) {
  std::string_view bytes = string_bytes(serial);
  while (!bytes.empty() && bytes.front() == '\0') bytes.remove_prefix(1);
  if (bytes.size() > kMaxSerialBytes) return std::nullopt;
  const bool negative = !bytes.empty() && (ASN1_STRING_type(serial) & V_ASN1_NEG) != 0;
  return std::string(1, negative ? '-' : '+').append(bytes);
}

// The extension `type` of a list or of an entry: null if absent; an error if it is there twice or
// can't be decoded. `read` is X509_CRL_get_ext_d2i or X509_REVOKED_get_ext_d2i.
template <class Ptr>
Result<Ptr> extension_of(const auto* owner, auto read, int type) {
  int critical = -1;
  Ptr value{static_cast<typename Ptr::pointer>(read(owner, type, &critical, nullptr))};
  // -1 is "absent"; -2 "several"; 0 and 1 with a null are "can't be decoded".
  if (value == nullptr && critical != -1) {
    return fail(Reason::BadCrl,
                std::string("has an unreadable or repeated extension: ") + OBJ_nid2ln(type));
  }
  return value;
}

bool names_intersect(const GENERAL_NAMES* left, const GENERAL_NAMES* right) {
  for (int i = 0; i < sk_GENERAL_NAME_num(left); ++i) {
    for (int j = 0; j < sk_GENERAL_NAME_num(right); ++j) {
      if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(left, i), sk_GENERAL_NAME_value(right, j)) == 0) {
        return true;
      }
    }
  }
  return false;
}

bool holds_directory_name(const GENERAL_NAMES* names, const X509_NAME* wanted) {
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    int type = -1;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
    if (type == GEN_DIRNAME && X509_NAME_cmp(static_cast<const X509_NAME*>(value), wanted) == 0) {
      return true;
    }
  }
  return false;
}

// Both with dpname set where they are relative names.
bool same_point(const DIST_POINT_NAME* left, const DIST_POINT_NAME* right) {
  if (left->type == 1 && right->type == 1) {
    return left->dpname != nullptr && right->dpname != nullptr &&
           X509_NAME_cmp(left->dpname, right->dpname) == 0;
  }
  if (left->type == 1) {
    return left->dpname != nullptr && holds_directory_name(right->name.fullname, left->dpname);
  }
  if (right->type == 1) {
    return right->dpname != nullptr && holds_directory_name(left->name.fullname, right->dpname);
  }
  return names_intersect(left->name.fullname, right->name.fullname);
}

// The elements of a SEQUENCE, each with its own bytes. Null if it isn't one.
Asn1TypesPtr sequence_parts(std::span<const unsigned char> der) {
  const unsigned char* cursor = der.data();
  return Asn1TypesPtr{d2i_ASN1_SEQUENCE_ANY(nullptr, &cursor, static_cast<long>(der.size()))};
}

// -1: there is no such part.
int part_type(const STACK_OF(ASN1_TYPE) * parts, int index) {
  const ASN1_TYPE* part = parts != nullptr ? sk_ASN1_TYPE_value(parts, index) : nullptr;
  return part != nullptr ? ASN1_TYPE_get(part) : -1;
}

// The whole encoding of a part that is a SEQUENCE, else nothing.
std::span<const unsigned char> part_bytes(const STACK_OF(ASN1_TYPE) * parts, int index) {
  if (part_type(parts, index) != V_ASN1_SEQUENCE) return {};
  const ASN1_STRING* bytes = sk_ASN1_TYPE_value(parts, index)->value.sequence;
  return {ASN1_STRING_get0_data(bytes), static_cast<std::size_t>(ASN1_STRING_length(bytes))};
}

// The next element of `der`, by which it becomes shorter; nothing if there is none whose length is
// told before it.
std::optional<Element> take_element(std::span<const unsigned char>& der) {
  if (der.empty()) return std::nullopt;
  const unsigned char* content = der.data();
  long size = 0;
  int tag = 0;
  int tag_class = 0;
  const int form =
      ASN1_get_object(&content, &size, &tag, &tag_class, static_cast<long>(der.size()));
  constexpr int kError = 0x80;
  constexpr int kUntold = 0x01;
  if ((form & (kError | kUntold)) != 0) return std::nullopt;
  const std::span all = der.first(static_cast<std::size_t>(content - der.data() + size));
  der = der.subspan(all.size());
  return Element{.tag = tag_class == V_ASN1_UNIVERSAL ? tag : -1,
                 .all = all,
                 .content = {content, static_cast<std::size_t>(size)}};
}

std::string sequence_of(std::string_view content) {
  const int size = static_cast<int>(content.size());
  std::string der(static_cast<std::size_t>(ASN1_object_size(1, size, V_ASN1_SEQUENCE)), '\0');
  auto* end = reinterpret_cast<unsigned char*>(der.data());
  ASN1_put_object(&end, 1, size, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
  return der.replace(der.size() - content.size(), content.size(), content);
}

void append(std::string& text, std::span<const unsigned char> bytes) {
  text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// A list without its entries, and these.
struct SplitList {
  std::string rest;
  std::span<const unsigned char> entries;
};

// TBSCertList ::= SEQUENCE { version OPTIONAL, signature, issuer, thisUpdate, nextUpdate OPTIONAL,
// revokedCertificates OPTIONAL, extensions [0] OPTIONAL }: the entries are the SEQUENCE after the
// times, and only what has no universal tag may follow. Nothing if the list isn't made so.
std::optional<SplitList> split_list(std::span<const unsigned char> der) {
  const auto list = take_element(der);
  if (!list || list->tag != V_ASN1_SEQUENCE || !der.empty()) return std::nullopt;
  std::span<const unsigned char> parts = list->content;
  const auto signed_list = take_element(parts);
  if (!signed_list || signed_list->tag != V_ASN1_SEQUENCE) return std::nullopt;
  SplitList split;
  std::string fields;
  bool after_time = false;
  for (std::span<const unsigned char> left = signed_list->content; !left.empty();) {
    const auto field = take_element(left);
    if (!field) return std::nullopt;
    if (after_time && field->tag == V_ASN1_SEQUENCE) {
      split.entries = field->content;
      append(fields, left);
      const auto next = take_element(left);
      if (next && next->tag >= 0) return std::nullopt;
      break;
    }
    after_time = field->tag == V_ASN1_UTCTIME || field->tag == V_ASN1_GENERALIZEDTIME;
    append(fields, field->all);
  }
  fields = sequence_of(fields);
  append(fields, parts);
  split.rest = sequence_of(fields);
  return split;
}

X509AlgorPtr algorithm_in(const STACK_OF(ASN1_TYPE) * parts, int index) {
  const std::span<const unsigned char> der = part_bytes(parts, index);
  const unsigned char* cursor = der.data();
  if (der.empty()) return nullptr;
  return X509AlgorPtr{d2i_X509_ALGOR(nullptr, &cursor, static_cast<long>(der.size()))};
}

bool is_ca(const X509& certificate) {
  return (X509_get_extension_flags(const_cast<X509*>(&certificate)) & EXFLAG_CA) != 0;
}

}  // namespace

bool SerialIndex::add(const ASN1_INTEGER* serial, UnixSeconds date, std::int16_t reason) {
  const auto key = key_of(serial);
  if (!key || pool_.size() + key->size() > std::numeric_limits<std::uint32_t>::max()) return false;
  entries_.push_back({date, static_cast<std::uint32_t>(pool_.size()),
                      static_cast<std::uint16_t>(key->size()), reason});
  pool_ += *key;
  return true;
}

std::string_view SerialIndex::key(const Revocation& entry) const {
  return std::string_view(pool_).substr(entry.offset, entry.size);
}

void SerialIndex::sort() {
  std::sort(entries_.begin(), entries_.end(),
            [this](const Revocation& a, const Revocation& b) { return key(a) < key(b); });
  pool_.shrink_to_fit();
  entries_.shrink_to_fit();
}

const Revocation* SerialIndex::find(const ASN1_INTEGER* serial) const {
  const auto wanted = key_of(serial);
  if (!wanted) return nullptr;
  const auto found = std::lower_bound(
      entries_.begin(), entries_.end(), std::string_view(*wanted),
      [this](const Revocation& entry, std::string_view text) { return key(entry) < text; });
  return found != entries_.end() && key(*found) == *wanted ? &*found : nullptr;
}

Result<std::unique_ptr<const CrlIndex>> CrlIndex::load(std::span<const unsigned char> der) {
  const CleanErrorQueue clean;
  // OpenSSL's form of an entry is eight times as large as its bytes: it reads one at a time.
  const std::optional<SplitList> split = split_list(der);
  const std::span<const unsigned char> rest =
      split ? std::span(reinterpret_cast<const unsigned char*>(split->rest.data()),
                        split->rest.size())
            : der;
  const unsigned char* cursor = rest.data();
  const X509CrlPtr crl{d2i_X509_CRL(nullptr, &cursor, static_cast<long>(rest.size()))};
  if (!crl) {
    std::string why = drain_openssl_errors();
    cursor = der.data();
    const X509Ptr certificate{d2i_X509(nullptr, &cursor, static_cast<long>(der.size()))};
    if (certificate) return fail(Reason::BadCrl, "is a certificate, not a revocation list");
    return fail(Reason::BadCrl, "is not a revocation list: " + why);
  }
  if (cursor != rest.data() + rest.size()) {
    return fail(Reason::BadCrl, "holds bytes after the revocation list");
  }
  std::unique_ptr<CrlIndex> index(new CrlIndex);
  Status status = index->read_times_and_name(*crl);
  if (status) status = index->read_extensions(*crl);
  if (status) {
    status = split ? index->read_entries(split->entries)
                   : index->read_entries(X509_CRL_get_REVOKED(crl.get()));
  }
  if (status) status = index->keep_signed_bytes(der, rest);
  if (!status) return fail(std::move(status.error()));
  index->serials_.sort();
  index->info_.entries = index->serials_.size();
  return std::unique_ptr<const CrlIndex>(std::move(index));
}

Status CrlIndex::read_times_and_name(const X509_CRL& crl) {
  issuer_.reset(X509_NAME_dup(X509_CRL_get_issuer(&crl)));
  check(issuer_ != nullptr);
  info_.issuer = name_text(issuer_.get());
  const auto this_update = to_unix(X509_CRL_get0_lastUpdate(&crl));
  const ASN1_TIME* next = X509_CRL_get0_nextUpdate(&crl);
  const auto next_update = next != nullptr ? to_unix(next) : UnixSeconds{0};
  if (!this_update || !next_update) {
    return fail(Reason::BadCrl, "has a thisUpdate or nextUpdate that can't be read");
  }
  info_.this_update = *this_update;
  info_.next_update = *next_update;
  return {};
}

Status CrlIndex::read_extensions(const X509_CRL& crl) {
  for (int i = 0; i < X509_CRL_get_ext_count(&crl); ++i) {
    X509_EXTENSION* extension = X509_CRL_get_ext(&crl, i);
    const int type = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
    if (type == NID_delta_crl) {
      return fail(Reason::BadCrl,
                  "is a delta CRL, which says only what changed: give the complete one");
    }
    const bool known = type == NID_issuing_distribution_point ||
                       type == NID_authority_key_identifier || type == NID_crl_number;
    if (X509_EXTENSION_get_critical(extension) != 0 && !known) {
      return fail(Reason::BadCrl, "has a critical extension that is not understood");
    }
  }
  auto number = extension_of<Asn1IntegerPtr>(&crl, X509_CRL_get_ext_d2i, NID_crl_number);
  if (!number) return fail(std::move(number.error()));
  if (*number) {
    number_.reset(ASN1_INTEGER_to_BN(number->get(), nullptr));
    const std::unique_ptr<char, OpensslDeleter<free_openssl_bytes>> text{
        number_ != nullptr ? BN_bn2dec(number_.get()) : nullptr};
    if (text) info_.number = text.get();
  }
  auto key =
      extension_of<AuthorityKeyIdPtr>(&crl, X509_CRL_get_ext_d2i, NID_authority_key_identifier);
  if (!key) return fail(std::move(key.error()));
  authority_key_ = std::move(*key);
  auto point =
      extension_of<IssuingDistPointPtr>(&crl, X509_CRL_get_ext_d2i, NID_issuing_distribution_point);
  if (!point) return fail(std::move(point.error()));
  point_ = std::move(*point);
  if (point_ == nullptr) return {};
  if (point_->indirectCRL != 0) {
    return fail(Reason::BadCrl,
                "is an indirect CRL (of several issuers), which is not supported: give each "
                "issuer's own");
  }
  if (point_->distpoint != nullptr && point_->distpoint->type == 1 &&
      DIST_POINT_set_dpname(point_->distpoint, issuer_.get()) != 1) {
    return fail(Reason::BadCrl, "has a distribution point that can't be read");
  }
  return {};
}

Status CrlIndex::read_entries(std::span<const unsigned char> der) {
  std::size_t count = 0;
  for (std::span<const unsigned char> left = der; take_element(left);) ++count;
  serials_.reserve(count);
  const unsigned char* cursor = der.data();
  const unsigned char* end = cursor + der.size();
  while (cursor != end) {
    const X509RevokedPtr entry{d2i_X509_REVOKED(nullptr, &cursor, end - cursor)};
    if (!entry) {
      return fail(Reason::BadCrl, "is not a revocation list: " + drain_openssl_errors());
    }
    if (Status status = read_entry(*entry); !status) return status;
  }
  return {};
}

Status CrlIndex::read_entries(const STACK_OF(X509_REVOKED) * entries) {
  for (int i = 0; entries != nullptr && i < sk_X509_REVOKED_num(entries); ++i) {
    if (Status status = read_entry(*sk_X509_REVOKED_value(entries, i)); !status) return status;
  }
  return {};
}

Status CrlIndex::read_entry(const X509_REVOKED& entry) {
  for (int e = 0; e < X509_REVOKED_get_ext_count(&entry); ++e) {
    X509_EXTENSION* extension = X509_REVOKED_get_ext(&entry, e);
    const int type = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
    if (type == NID_certificate_issuer) {
      return fail(Reason::BadCrl, "is an indirect CRL: an entry names another issuer");
    }
    if (X509_EXTENSION_get_critical(extension) != 0 && type != NID_crl_reason &&
        type != NID_invalidity_date && type != NID_hold_instruction_code) {
      return fail(Reason::BadCrl, "has an entry with a critical extension that is not understood");
    }
  }
  auto reason = extension_of<Asn1EnumeratedPtr>(&entry, X509_REVOKED_get_ext_d2i, NID_crl_reason);
  if (!reason) return fail(std::move(reason.error()));
  const long code = *reason ? ASN1_ENUMERATED_get(reason->get()) : -1;
  // Of use in a delta CRL only: the entry left the list, it is no revocation.
  if (code == kRemoveFromCrl) return {};
  const UnixSeconds date = to_unix(X509_REVOKED_get0_revocationDate(&entry)).value_or(0);
  if (!serials_.add(X509_REVOKED_get0_serialNumber(&entry), date,
                    static_cast<std::int16_t>(code >= 0 && code <= 10 ? code : -1))) {
    return fail(Reason::BadCrl, "has an entry whose serial number is too long");
  }
  return {};
}

// CertificateList ::= SEQUENCE { tbsCertList, signatureAlgorithm, signatureValue }. Read a second
// time as "a sequence of anything", which keeps the three as bytes. `rest`: the list, with or
// without its entries.
Status CrlIndex::keep_signed_bytes(std::span<const unsigned char> der,
                                   std::span<const unsigned char> rest) {
  signed_parts_ = sequence_parts(der);
  const std::array<int, 3> types{V_ASN1_SEQUENCE, V_ASN1_SEQUENCE, V_ASN1_BIT_STRING};
  for (int i = 0; i < 3; ++i) {
    if (sk_ASN1_TYPE_num(signed_parts_.get()) != 3 ||
        part_type(signed_parts_.get(), i) != types[static_cast<std::size_t>(i)]) {
      return fail(Reason::BadCrl, "is not a revocation list: its parts can't be told apart");
    }
  }
  algorithm_ = algorithm_in(signed_parts_.get(), 1);

  // RFC 5280 5.1.1.2: the algorithm stands twice, and only the inner one is signed. The version in
  // front of it is optional.
  const Asn1TypesPtr parts = sequence_parts(rest);
  const Asn1TypesPtr signed_list = sequence_parts(part_bytes(parts.get(), 0));
  const bool has_version = part_type(signed_list.get(), 0) == V_ASN1_INTEGER;
  const X509AlgorPtr inner = algorithm_in(signed_list.get(), has_version ? 1 : 0);
  if (algorithm_ == nullptr || inner == nullptr ||
      X509_ALGOR_cmp(algorithm_.get(), inner.get()) != 0) {
    return fail(Reason::BadCrl, "has a signature algorithm that can't be read");
  }
  return {};
}

CrlIndex::Scope CrlIndex::scope_for(const X509& certificate, const X509& issuer,
                                    std::string& why) const {
  if (X509_NAME_cmp(issuer_.get(), X509_get_issuer_name(&certificate)) != 0 || !is_of(issuer)) {
    return Scope::None;
  }
  auto* authority = const_cast<X509*>(&issuer);
  // UINT32_MAX: no key usage extension, nothing forbidden.
  if ((X509_get_key_usage(authority) & KU_CRL_SIGN) == 0) {
    why = "the issuer's certificate doesn't allow it to sign CRLs (key usage cRLSign)";
    return Scope::None;
  }
  if (authority_key_ != nullptr && X509_check_akid(authority, authority_key_.get()) != X509_V_OK) {
    why = "the CRL of that name is of another key of the issuer";
    return Scope::None;
  }
  if (point_ == nullptr) return Scope::Full;
  const bool ca = is_ca(certificate);
  if (point_->onlyattr != 0 || (point_->onlyuser != 0 && ca) || (point_->onlyCA != 0 && !ca)) {
    why = "the CRL of that issuer is for other kinds of certificates";
    return Scope::None;
  }
  const Scope scope = point_->distpoint != nullptr ? scope_of_point(certificate, why) : Scope::Full;
  if (scope == Scope::Full && point_->onlysomereasons != nullptr) {
    why = "the CRL of that issuer lists revocations for some reasons only";
    return Scope::Partial;
  }
  return scope;
}

// RFC 5280 6.3.3 (b)(2)(i): one name of the list's point must be a name of a point that the
// certificate refers to; without such a reference, the issuer's own name stands for it.
CrlIndex::Scope CrlIndex::scope_of_point(const X509& certificate, std::string& why) const {
  why = "the CRL of that issuer is for another distribution point";
  int critical = -1;
  const CrlDistPointsPtr points{static_cast<CRL_DIST_POINTS*>(
      X509_get_ext_d2i(&certificate, NID_crl_distribution_points, &critical, nullptr))};
  if (points == nullptr) {
    const bool own = critical == -1 && point_->distpoint->type == 0 &&
                     holds_directory_name(point_->distpoint->name.fullname, issuer_.get());
    return own ? Scope::Full : Scope::None;
  }
  Scope best = Scope::None;
  for (int i = 0; i < sk_DIST_POINT_num(points.get()); ++i) {
    DIST_POINT* referred = sk_DIST_POINT_value(points.get(), i);
    if (referred->CRLissuer != nullptr &&
        !holds_directory_name(referred->CRLissuer, issuer_.get())) {
      continue;
    }
    bool same = false;
    if (referred->distpoint != nullptr) {
      if (referred->distpoint->type == 1 &&
          DIST_POINT_set_dpname(referred->distpoint, issuer_.get()) != 1) {
        continue;
      }
      same = same_point(referred->distpoint, point_->distpoint);
    } else if (referred->CRLissuer != nullptr && point_->distpoint->type == 0) {
      same = names_intersect(referred->CRLissuer, point_->distpoint->name.fullname);
    }
    if (!same) continue;
    if (referred->reasons == nullptr) return Scope::Full;
    why = "the certificate refers to that CRL for some reasons only";
    best = Scope::Partial;
  }
  return best;
}

bool CrlIndex::is_of(const X509& issuer) const {
  return X509_NAME_cmp(issuer_.get(), X509_get_subject_name(&issuer)) == 0;
}

bool CrlIndex::signed_by(const X509& issuer) const {
  const std::optional<Sha256> digest = spki_sha256(issuer);
  if (!digest) return false;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [key, verified] : verified_keys_) {
      if (key == *digest) return verified;
    }
  }
  // Not under the lock: two threads may do it twice, none waits for the other.
  const bool verified = signature_verifies(issuer);
  const std::scoped_lock lock(mutex_);
  if (verified_keys_.size() < kMaxRememberedKeys) verified_keys_.emplace_back(*digest, verified);
  return verified;
}

bool CrlIndex::signature_verifies(const X509& issuer) const {
  const CleanErrorQueue clean;
  EVP_PKEY* key = X509_get0_pubkey(&issuer);
  if (key == nullptr) return false;
  return ASN1_item_verify(ASN1_ITEM_rptr(ASN1_ANY), algorithm_.get(),
                          sk_ASN1_TYPE_value(signed_parts_.get(), 2)->value.bit_string,
                          sk_ASN1_TYPE_value(signed_parts_.get(), 0), key) == 1;
}

CrlIndex::Date CrlIndex::date_at(UnixSeconds now) const {
  if (info_.this_update > now) return Date::NotYetValid;
  if (info_.next_update != 0 && info_.next_update <= now) return Date::Expired;
  return Date::Current;
}

const Revocation* CrlIndex::find(const X509& certificate) const {
  return serials_.find(X509_get0_serialNumber(&certificate));
}

bool CrlIndex::newer_than(const CrlIndex& other) const {
  if (info_.this_update != other.info_.this_update) {
    return info_.this_update > other.info_.this_update;
  }
  if (number_ == nullptr || other.number_ == nullptr) return number_ != nullptr && !other.number_;
  return BN_cmp(number_.get(), other.number_.get()) > 0;
}

}  // namespace handfast::pki
