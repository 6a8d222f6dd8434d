#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/pki/asn1_text.h"
#include "proxy/pki/pem.h"
#include "proxy/pki/trust.h"

namespace handfast::pki {
namespace {

constexpr std::size_t kMaxSystemFile = 64U << 20;

// Why a certificate can't be an anchor, or nothing. OpenSSL's other shades of "CA" (version 1, no
// basic constraints but keyCertSign, Netscape) are relics that widen trust.
std::optional<std::string> unfit(X509* certificate, UnixSeconds now) {
  if (X509_check_ca(certificate) != 1) {
    return "is not a CA certificate (basic constraints CA:TRUE, key usage keyCertSign)";
  }
  if (X509_get0_pubkey(certificate) == nullptr) return "has a public key that can't be read";
  const UnixSeconds not_after = to_unix(X509_get0_notAfter(certificate)).value_or(0);
  if (not_after <= now) return "expired " + rfc3339(not_after);
  return std::nullopt;
}

std::optional<std::string> read_file(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return std::nullopt;
  // Not an fstream: libstdc++ throws from one whose file can't be read.
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (file == nullptr) return std::nullopt;
  std::string bytes;
  std::array<char, 65536> block{};
  for (;;) {
    const std::size_t got = std::fread(block.data(), 1, block.size(), file.get());
    bytes.append(block.data(), got);
    if (bytes.size() > kMaxSystemFile) return std::nullopt;
    if (got < block.size()) break;
  }
  if (std::ferror(file.get()) != 0) return std::nullopt;
  return bytes;
}

// "5ed36f99.0": the name under which OpenSSL looks for a certificate in a directory.
bool is_hashed_name(const std::string& name) {
  const auto dot = name.find('.');
  return dot == 8 && dot + 1 < name.size() &&
         std::all_of(name.begin(), name.begin() + 8,
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }) &&
         std::all_of(name.begin() + 9, name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::filesystem::path> hashed_files(const std::string& directories) {
  std::vector<std::filesystem::path> paths;
  std::size_t start = 0;
  while (start <= directories.size()) {
    const std::size_t end = std::min(directories.find(':', start), directories.size());
    const std::string directory = directories.substr(start, end - start);
    start = end + 1;
    std::error_code error;
    std::filesystem::directory_iterator entry(directory, error);
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
      if (is_hashed_name(entry->path().filename().string())) paths.push_back(entry->path());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string setting(const char* variable, const char* otherwise) {
  const char* value = secure_getenv(variable);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

}  // namespace

Result<std::shared_ptr<const CaBundle>> CaBundle::load(std::string_view pem, UnixSeconds now) {
  const CleanErrorQueue clean;
  auto certificates = parse_certificates(pem, Reason::BadCa);
  if (!certificates) return within("ca.crt", std::move(certificates.error()));

  const std::shared_ptr<CaBundle> bundle(new CaBundle);
  bundle->store_.reset(X509_STORE_new());
  handfast::check(bundle->store_ != nullptr);
  for (std::size_t i = 0; i < certificates->size(); ++i) {
    X509Ptr& certificate = (*certificates)[i];
    const std::string who = entry_text(i) + " (" +
                            printable(name_text(X509_get_subject_name(certificate.get()))) + "): ";
    if (const auto why = unfit(certificate.get(), now)) {
      bundle->warnings_.push_back(who + *why);
    } else {
      bundle->add(std::move(certificate), who, now);
    }
  }
  if (bundle->anchors_.empty()) {
    return fail(Reason::BadCa,
                "ca.crt: holds no usable CA certificate: " + bundle->warnings_.front());
  }
  return std::shared_ptr<const CaBundle>(bundle);
}

void CaBundle::add(X509Ptr certificate, const std::string& who, UnixSeconds now) {
  const UnixSeconds not_after = to_unix(X509_get0_notAfter(certificate.get())).value_or(0);
  if (anchors_.empty() || not_after < earliest_not_after_) earliest_not_after_ = not_after;
  const UnixSeconds not_before = to_unix(X509_get0_notBefore(certificate.get())).value_or(0);
  if (not_before > now) {
    early_.push_back(who + "is valid only from " + rfc3339(not_before));
    if (next_not_before_ == 0 || not_before < next_not_before_) next_not_before_ = not_before;
  }
  handfast::check(X509_STORE_add_cert(store_.get(), certificate.get()) == 1);
  anchors_.push_back(std::move(certificate));
}

Result<std::shared_ptr<const CaBundle>> CaBundle::load_system(UnixSeconds now) {
  const std::string file = setting(X509_get_default_cert_file_env(), X509_get_default_cert_file());
  if (const auto pem = read_file(file)) {
    auto bundle = load(*pem, now);
    if (!bundle) return within(file, std::move(bundle.error()));
    return bundle;
  }
  const std::string directories =
      setting(X509_get_default_cert_dir_env(), X509_get_default_cert_dir());
  std::string pem;
  for (const auto& path : hashed_files(directories)) {
    // Each alone first: one torn file of the distribution's must not run into the next.
    const auto text = read_file(path);
    if (!text || !parse_certificates(*text, Reason::BadCa)) continue;
    pem += *text;
    pem += '\n';
  }
  if (pem.empty()) {
    return fail(Reason::BadCa, file + ": no system roots there, nor in " + directories +
                                   ": install ca-certificates");
  }
  auto bundle = load(pem, now);
  if (!bundle) return within(directories, std::move(bundle.error()));
  return bundle;
}

}  // namespace handfast::pki
