#include "controller/admission/ca_bundle.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <climits>
#include <ctime>
#include <iterator>
#include <memory>
#include <utility>

#include "controller/admission/self_signed.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::admission {
namespace {

// Of replicas; 700 bytes each in an object that may have 1.5 MiB.
constexpr std::size_t kMaxSelfSigned = 64;

// One certificate as DER, so that two are compared whatever stands around them.
struct Entry {
  std::string der;
  bool is_expired = false;
  bool is_self_signed = false;  // by a replica
  friend bool operator==(const Entry& left, const Entry& right) { return left.der == right.der; }
};

std::string der_of(X509* certificate) {
  unsigned char* bytes = nullptr;
  const int size = i2d_X509(certificate, &bytes);
  const pki::OpensslBytesPtr owner{bytes};
  if (size <= 0) return {};
  return {reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)};
}

std::string pem_of(const Entry& entry) {
  const auto* at = reinterpret_cast<const unsigned char*>(entry.der.data());
  const pki::X509Ptr certificate{d2i_X509(nullptr, &at, static_cast<long>(entry.der.size()))};
  const pki::BioPtr bio{BIO_new(BIO_s_mem())};
  if (!certificate || !bio || PEM_write_bio_X509(bio.get(), certificate.get()) != 1) return {};
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &bytes);
  return {bytes, static_cast<std::size_t>(std::max(size, 0L))};
}

bool is_from_replica(X509* certificate) {
  const int at = X509_NAME_get_index_by_NID(X509_get_subject_name(certificate), NID_commonName, -1);
  if (at < 0) return false;
  const ASN1_STRING* name =
      X509_NAME_ENTRY_get_data(X509_NAME_get_entry(X509_get_subject_name(certificate), at));
  return std::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name)),
                          static_cast<std::size_t>(ASN1_STRING_length(name))) == kSelfSignedName;
}

// The oldest stand first.
void drop_oldest(std::vector<Entry>& entries) {
  auto many = static_cast<std::size_t>(std::ranges::count(entries, true, &Entry::is_self_signed));
  std::erase_if(entries, [&many](const Entry& entry) {
    return entry.is_self_signed && many > kMaxSelfSigned && many-- > 0;
  });
}

// Blocks that are no certificates are passed over.
std::vector<Entry> parse(std::string_view pem, UnixSeconds now) {
  std::vector<Entry> entries;
  if (pem.empty() || pem.size() > INT_MAX) return entries;
  const pki::BioPtr bio{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
  while (bio) {
    char* name = nullptr;
    char* header = nullptr;
    unsigned char* data = nullptr;
    long size = 0;
    if (PEM_read_bio(bio.get(), &name, &header, &data, &size) != 1) break;
    const std::unique_ptr<char, pki::OpensslDeleter<pki::free_openssl_bytes>> name_owner{name};
    const std::unique_ptr<char, pki::OpensslDeleter<pki::free_openssl_bytes>> header_owner{header};
    const pki::OpensslBytesPtr data_owner{data};
    if (std::string_view(name) != PEM_STRING_X509) continue;
    const unsigned char* at = data;
    const pki::X509Ptr certificate{d2i_X509(nullptr, &at, size)};
    if (!certificate) continue;
    std::time_t time = now;
    entries.push_back({der_of(certificate.get()),
                       X509_cmp_time(X509_get0_notAfter(certificate.get()), &time) < 0,
                       is_from_replica(certificate.get())});
  }
  return entries;
}

}  // namespace

std::optional<std::string> update_bundle(std::string_view bundle,
                                         const std::vector<std::string>& wanted,
                                         const std::vector<std::string>& unwanted,
                                         UnixSeconds now) {
  const pki::CleanErrorQueue clean;
  const std::vector<Entry> before = parse(bundle, now);
  std::vector<Entry> after;
  const auto add = [&after](const Entry& entry) {
    if (std::ranges::find(after, entry) == after.end()) after.push_back(entry);
  };
  std::vector<Entry> gone;
  for (const std::string& pem : unwanted)
    std::ranges::move(parse(pem, now), std::back_inserter(gone));
  for (const Entry& entry : before) {
    if (!entry.is_expired && std::ranges::find(gone, entry) == gone.end()) add(entry);
  }
  for (const std::string& pem : wanted) {
    for (const Entry& entry : parse(pem, now)) add(entry);
  }
  // Nobody would write just to take out what is expired: whoever has something to say does.
  const bool has_all = std::ranges::all_of(wanted, [&](const std::string& pem) {
    return std::ranges::all_of(parse(pem, now), [&](const Entry& entry) {
      return std::ranges::find(before, entry) != before.end();
    });
  });
  const bool has_gone = std::ranges::any_of(
      gone, [&](const Entry& entry) { return std::ranges::find(before, entry) != before.end(); });
  if (has_all && !has_gone) return std::nullopt;
  drop_oldest(after);
  std::string text;
  for (const Entry& entry : after) text += pem_of(entry);
  return text;
}

}  // namespace handfast::admission
