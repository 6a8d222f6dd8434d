#include "proxy/pki/asn1_text.h"

#include <array>
#include <ctime>

#include "proxy/base/check.h"
#include "proxy/base/hex.h"
#include "proxy/pki/openssl_ptr.h"

namespace handfast::pki {

std::optional<UnixSeconds> to_unix(const ASN1_TIME* time) {
  // ASN1_TIME_to_tm takes a null for "the current time", which is nobody's meaning here.
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return static_cast<UnixSeconds>(timegm(&parts));
}

std::string rfc3339(UnixSeconds time) {
  const std::time_t seconds = time;
  std::tm parts{};
  std::array<char, 64> text{};
  if (gmtime_r(&seconds, &parts) == nullptr) return std::to_string(time);
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

std::string name_text(const X509_NAME* name) {
  const BioPtr bio{BIO_new(BIO_s_mem())};
  check(bio != nullptr);
  if (X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) return "(unreadable name)";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

std::string serial_text(const ASN1_INTEGER* serial) {
  const std::string_view bytes = string_bytes(serial);
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string text;
  if ((ASN1_STRING_type(serial) & V_ASN1_NEG) != 0) text += '-';
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return bytes.empty() ? "00" : text;
}

std::string printable(std::string_view bytes, std::size_t limit) {
  std::string text;
  for (const char c : bytes) {
    if (text.size() >= limit) return text + "…";
    if (c >= 0x20 && c < 0x7f) {
      text += c;
    } else {
      text += "\\x";
      append_hex(text, static_cast<unsigned char>(c));
    }
  }
  return text;
}

std::string_view string_bytes(const ASN1_STRING* string) {
  const int size = string != nullptr ? ASN1_STRING_length(string) : 0;
  if (size <= 0) return {};
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<std::size_t>(size)};
}

}  // namespace handfast::pki
