#include "proxy/pki/common_name.h"

#include <openssl/asn1.h>
#include <regex.h>

#include <algorithm>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/pki/asn1_text.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::pki {
namespace {

constexpr std::string_view kPrefix = "CN=";
constexpr std::size_t kMaxPattern = 1024;
constexpr std::string_view kSpecial = " -._~/@=()|*+?[]^$\\";

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

tl::unexpected<Error> bad(std::string_view text, std::string_view what) {
  std::string detail = "\"" + printable(text, 80) + "\" ";
  return fail(Reason::InvalidValue, detail.append(what));
}

// What POSIX reads otherwise than the dialect that the pattern was written in.
bool is_ambiguous(std::string_view text) {
  for (std::size_t i = 1; i < text.size(); ++i) {
    const char before = text[i - 1];
    if (before == '\\' && is_alnum(text[i])) return true;
    if (text[i] == '?' && std::string_view("(*+?").find(before) != std::string_view::npos &&
        (i < 2 || text[i - 2] != '\\')) {
      return true;
    }
  }
  return false;
}

}  // namespace

struct CommonNamePattern::Compiled {
  Compiled() = default;
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() {
    if (good) ::regfree(&regex);
  }

  regex_t regex{};
  bool good = false;
};

CommonNamePattern::CommonNamePattern(std::shared_ptr<const Compiled> compiled)
    : compiled_(std::move(compiled)) {}

Result<CommonNamePattern> CommonNamePattern::compile(std::string_view text) {
  if (!text.starts_with(kPrefix) || text.size() == kPrefix.size() || text.size() > kMaxPattern) {
    return bad(text, "is not \"CN=\" and a regular expression.");
  }
  const bool allowed = std::ranges::all_of(
      text, [](char c) { return is_alnum(c) || kSpecial.find(c) != std::string_view::npos; });
  if (!allowed)
    return bad(text, "holds more than letters, digits, blanks and -._~/@=()|*+?[]^$\\.");
  if (is_ambiguous(text)) {
    return bad(text, "holds \\ before a letter or digit, or (?, *?, +? or ??, which isn't read.");
  }
  auto compiled = std::make_shared<Compiled>();
  const std::string whole = "^(" + std::string(text) + ")$";
  compiled->good = ::regcomp(&compiled->regex, whole.c_str(), REG_EXTENDED | REG_NOSUB) == 0;
  if (!compiled->good) return bad(text, "is not a regular expression.");
  return CommonNamePattern(std::move(compiled));
}

bool CommonNamePattern::matches(const X509& certificate) const {
  const CleanErrorQueue clean;  // a name that is no text leaves one
  const X509_NAME* subject = X509_get_subject_name(&certificate);
  for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;) {
    const ASN1_STRING* value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    unsigned char* utf8 = nullptr;
    const int size = ASN1_STRING_to_UTF8(&utf8, value);
    if (size < 0) continue;
    const OpensslBytesPtr owned(utf8);
    std::string name(kPrefix);
    name.append(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size));
    // A NUL would end the text early.
    if (name.find('\0') != std::string::npos) continue;
    if (::regexec(&compiled_->regex, name.c_str(), 0, nullptr, 0) == 0) return true;
  }
  return false;
}

}  // namespace handfast::pki
