#include "proxy/http/header_id.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "proxy/http/chars.h"

namespace handfast::http {
namespace {

// Names are compared a word at a time, with the bit of the letter case set in both. In tokens that
// makes nothing equal but letters that differ in case: the literals hold letters and '-' only.
template <class Word>
bool same_word(const char* text, const char* literal) {
  constexpr Word kCaseBits = static_cast<Word>(0x2020202020202020U);
  Word a = 0;
  Word b = 0;
  std::memcpy(&a, text, sizeof a);
  std::memcpy(&b, literal, sizeof b);
  return static_cast<Word>(a | kCaseBits) == b;
}

// Precondition: text has at least as many bytes as the literal has letters.
template <std::size_t kSize>
bool begins(const char* text, const char (&literal)[kSize]) {
  constexpr std::size_t kLength = kSize - 1;
  if constexpr (kLength >= 8) {
    for (std::size_t i = 0; i + 8 < kLength; i += 8) {
      if (!same_word<std::uint64_t>(text + i, literal + i)) return false;
    }
    return same_word<std::uint64_t>(text + kLength - 8, literal + kLength - 8);
  } else if constexpr (kLength >= 4) {
    return same_word<std::uint32_t>(text, literal) &&
           same_word<std::uint32_t>(text + kLength - 4, literal + kLength - 4);
  } else {
    static_assert(kLength == 2);
    return same_word<std::uint16_t>(text, literal);
  }
}

template <std::size_t kSize>
HeaderId match(std::string_view name, const char (&literal)[kSize], HeaderId id) {
  return name.size() == kSize - 1 && begins(name.data(), literal) ? id : HeaderId::Other;
}

template <std::size_t kSize>
HeaderId protect_prefix(std::string_view name, const char (&literal)[kSize]) {
  return name.size() >= kSize - 1 && begins(name.data(), literal) ? HeaderId::Protected
                                                                  : HeaderId::Other;
}

HeaderId identify_proxy(std::string_view name) {
  switch (name.size()) {
    case 5:
      return match(name, "proxy", HeaderId::Protected);
    case 16:
      return match(name, "proxy-connection", HeaderId::ProxyConnection);
    case 18:
      return match(name, "proxy-authenticate", HeaderId::ProxyAuthenticate);
    case 19:
      return match(name, "proxy-authorization", HeaderId::ProxyAuthorization);
    default:
      return HeaderId::Other;
  }
}

HeaderId identify_transfer(std::string_view name) {
  switch (name.size()) {
    case 2:
      return match(name, "te", HeaderId::Te);
    case 7:
      return match(name, "trailer", HeaderId::Trailer);
    case 17:
      return match(name, "transfer-encoding", HeaderId::TransferEncoding);
    default:
      return HeaderId::Other;
  }
}

HeaderId identify_extension(std::string_view name) {
  if (name.size() < 6 || name[1] != '-') return HeaderId::Other;
  switch (to_lower(name[2])) {
    case 'c':
      return protect_prefix(name, "x-client-cert");
    case 'f':
      return protect_prefix(name, "x-forwarded-");
    case 'o':
      return protect_prefix(name, "x-original-");
    case 'r':
      if (name.size() == 9) return match(name, "x-real-ip", HeaderId::Protected);
      return match(name, "x-request-id", HeaderId::Protected);
    case 's':
      if (name.size() == 8 && begins(name.data(), "x-scheme")) return HeaderId::Protected;
      return protect_prefix(name, "x-ssl-");
    default:
      return HeaderId::Other;
  }
}

}  // namespace

HeaderId identify_plain_header(std::string_view name) {
  if (name.empty()) return HeaderId::Other;
  switch (to_lower(name.front())) {
    case 'c':
      if (name.size() == 10) return match(name, "connection", HeaderId::Connection);
      // RFC 9440: nobody but us could say them of the client.
      if (name.size() == 11 || name.size() == 17) return protect_prefix(name, "client-cert");
      return match(name, "content-length", HeaderId::ContentLength);
    case 'd':
      return match(name, "date", HeaderId::Date);
    case 'e':
      return match(name, "expect", HeaderId::Expect);
    case 'f':
      return match(name, "forwarded", HeaderId::Protected);
    case 'h':
      return match(name, "host", HeaderId::Host);
    case 'k':
      return match(name, "keep-alive", HeaderId::KeepAlive);
    case 'p':
      return identify_proxy(name);
    case 'r':
      return match(name, "referer", HeaderId::Referer);
    case 's':
      if (name.size() == 6) return match(name, "server", HeaderId::Server);
      return protect_prefix(name, "ssl-client-");
    case 't':
      return identify_transfer(name);
    case 'u':
      if (name.size() == 7) return match(name, "upgrade", HeaderId::Upgrade);
      return match(name, "user-agent", HeaderId::UserAgent);
    case 'x':
      return identify_extension(name);
    default:
      return HeaderId::Other;
  }
}

HeaderId identify_aliased_header(std::string_view name) {
  // Longer than every name and prefix that is looked for.
  std::array<char, 32> folded;
  const std::size_t length = std::min(name.size(), folded.size());
  for (std::size_t i = 0; i < length; ++i) folded[i] = to_folded(name[i]);
  const HeaderId id = identify_plain_header({folded.data(), length});
  return id == HeaderId::Other || id == HeaderId::UserAgent ? HeaderId::Other : HeaderId::Protected;
}

HeaderId identify_header(std::string_view name) {
  for (const char c : name) {
    if (has_class(c, kOddNameChar) || !has_class(c, kTokenChar))
      return identify_aliased_header(name);
  }
  return identify_plain_header(name);
}

}  // namespace handfast::http
