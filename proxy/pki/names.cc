#include "proxy/pki/names.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>

#include "proxy/pki/asn1_text.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::pki {
namespace {

constexpr unsigned int kHostFlags =
    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;

struct IpBytes {
  std::array<unsigned char, 16> bytes{};
  std::size_t size = 0;  // 4, 16, or 0: not an address
};

IpBytes parse_ip(std::string_view text) {
  IpBytes ip;
  // inet_pton stops at a NUL; such a name must not pass for its first half.
  if (text.find('\0') != std::string_view::npos || text.size() > 64) return ip;
  const std::string copy(text);
  if (inet_pton(AF_INET, copy.c_str(), ip.bytes.data()) == 1) {
    ip.size = 4;
  } else if (inet_pton(AF_INET6, copy.c_str(), ip.bytes.data()) == 1) {
    ip.size = 16;
  }
  return ip;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_dns_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name.front() == '.') return false;
  const bool clean = std::all_of(name.begin(), name.end(), [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  });
  const std::string_view last = name.substr(name.rfind('.') + 1);
  return clean && (last.empty() || !std::all_of(last.begin(), last.end(), is_digit));
}

// The certificate's entries, or null. Borrowed certificates are const here; OpenSSL only reads.
GeneralNamesPtr read_alt_names(const X509& certificate) {
  return GeneralNamesPtr{static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr))};
}

bool has_uri(const X509& certificate, std::string_view uri) {
  const GeneralNamesPtr names = read_alt_names(certificate);
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = -1;
    const auto* value = static_cast<const ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
    if (type == GEN_URI && string_bytes(value) == uri) return true;
  }
  return false;
}

constexpr std::string_view kSpiffe = "spiffe://";
constexpr std::size_t kMaxSpiffeId = 2048;

bool is_lower_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z'); }

// SPIFFE-ID section 2.1.
bool is_trust_domain(std::string_view text) {
  return !text.empty() && text.size() <= 255 && std::all_of(text.begin(), text.end(), [](char c) {
    return is_lower_alnum(c) || c == '.' || c == '-' || c == '_';
  });
}

// SPIFFE-ID section 2.2: segments behind one '/' each, none empty or made of dots.
bool is_spiffe_path(std::string_view path) {
  if (!path.starts_with('/')) return false;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::string_view segment = path.substr(0, path.find('/'));
    const bool clean = std::all_of(segment.begin(), segment.end(), [](char c) {
      return is_lower_alnum(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' || c == '_';
    });
    if (!clean || segment.empty() || segment == "." || segment == "..") return false;
    path.remove_prefix(segment.size());
  }
  return true;
}

// `prefix`: "spiffe://td".
bool is_svid_of(const X509& certificate, std::string_view prefix) {
  const GeneralNamesPtr names = read_alt_names(certificate);
  std::string_view found;
  int uris = 0;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = -1;
    const auto* value = static_cast<const ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
    if (type != GEN_URI) continue;
    found = string_bytes(value);
    ++uris;
  }
  return uris == 1 && found.size() <= kMaxSpiffeId && found.starts_with(prefix) &&
         is_spiffe_path(found.substr(prefix.size()));
}

std::string ip_text(std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
  if (bytes.size() != 4 && bytes.size() != 16) return "(invalid)";
  const char* made = inet_ntop(family, bytes.data(), text.data(), text.size());
  return made != nullptr ? made : "(invalid)";
}

}  // namespace

NameKind name_kind(std::string_view name) {
  if (parse_ip(name).size != 0) return NameKind::Ip;
  if (name.find("://") != std::string_view::npos) {
    const bool clean =
        std::all_of(name.begin(), name.end(), [](char c) { return c > 0x20 && c < 0x7f; });
    if (!clean || name.starts_with(':')) return NameKind::Unusable;
    if (!name.starts_with(kSpiffe) || name.find('*') == std::string_view::npos) {
      return NameKind::Uri;
    }
    const bool whole =
        name.ends_with("/*") &&
        is_trust_domain(name.substr(kSpiffe.size(), name.size() - kSpiffe.size() - 2));
    return whole ? NameKind::TrustDomain : NameKind::Unusable;
  }
  return is_dns_name(name) ? NameKind::Dns : NameKind::Unusable;
}

bool proves_name(const X509& certificate, std::string_view name) {
  const CleanErrorQueue clean;
  auto* borrowed = const_cast<X509*>(&certificate);
  switch (name_kind(name)) {
    case NameKind::Dns:
      return X509_check_host(borrowed, name.data(), name.size(), kHostFlags, nullptr) == 1;
    case NameKind::Ip: {
      const IpBytes ip = parse_ip(name);
      return X509_check_ip(borrowed, ip.bytes.data(), ip.size, 0) == 1;
    }
    case NameKind::Uri:
      return has_uri(certificate, name);
    case NameKind::TrustDomain:
      return is_svid_of(certificate, name.substr(0, name.size() - 2));
    case NameKind::Unusable:
      return false;
  }
  return false;
}

std::vector<std::string> subject_alt_names(const X509& certificate) {
  const CleanErrorQueue clean;
  std::vector<std::string> texts;
  const GeneralNamesPtr names = read_alt_names(certificate);
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = -1;
    const auto* value = static_cast<const ASN1_STRING*>(
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
    if (type == GEN_DNS) texts.push_back("DNS:" + printable(string_bytes(value), 1024));
    if (type == GEN_URI) texts.push_back("URI:" + printable(string_bytes(value), 4096));
    if (type == GEN_IPADD) texts.push_back("IP:" + ip_text(string_bytes(value)));
  }
  return texts;
}

}  // namespace handfast::pki
