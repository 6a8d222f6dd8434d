#include "proxy/http/header_id.h"

#include <cstddef>

#include "proxy/http/chars.h"

namespace handfast::http {
namespace {

// Precondition: literal is folded and not longer than name.
bool folded_prefix(std::string_view name, std::string_view literal) {
  for (std::size_t i = 0; i < literal.size(); ++i) {
    if (to_folded(name[i]) != literal[i]) return false;
  }
  return true;
}

bool folded_starts_with(std::string_view name, std::string_view literal) {
  return name.size() >= literal.size() && folded_prefix(name, literal);
}

// `id` if name is the literal but for case, `alias` if it only folds to it.
HeaderId match(std::string_view name, std::string_view literal, HeaderId id,
               HeaderId alias = HeaderId::Protected) {
  if (name.size() != literal.size() || !folded_prefix(name, literal)) return HeaderId::Other;
  return equal_ignore_case(name, literal) ? id : alias;
}

HeaderId protect(bool matches) { return matches ? HeaderId::Protected : HeaderId::Other; }

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
  if (name.size() < 6 || to_folded(name[1]) != '-') return HeaderId::Other;
  switch (to_lower(name[2])) {
    case 'c':
      return protect(folded_starts_with(name, "x-client-cert"));
    case 'f':
      return protect(folded_starts_with(name, "x-forwarded-"));
    case 'o':
      return protect(folded_starts_with(name, "x-original-"));
    case 'r':
      if (name.size() == 9) return match(name, "x-real-ip", HeaderId::Protected);
      return match(name, "x-request-id", HeaderId::Protected);
    case 's':
      if (name.size() == 8 && folded_prefix(name, "x-scheme")) return HeaderId::Protected;
      return protect(folded_starts_with(name, "x-ssl-"));
    default:
      return HeaderId::Other;
  }
}

}  // namespace

HeaderId identify_header(std::string_view name) {
  if (name.empty()) return HeaderId::Other;
  switch (to_lower(name.front())) {
    case 'c':
      if (name.size() == 10) return match(name, "connection", HeaderId::Connection);
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
      return protect(folded_starts_with(name, "ssl-client-"));
    case 't':
      return identify_transfer(name);
    case 'u':
      if (name.size() == 7) return match(name, "upgrade", HeaderId::Upgrade);
      return match(name, "user-agent", HeaderId::UserAgent, HeaderId::Other);
    case 'x':
      return identify_extension(name);
    default:
      return HeaderId::Other;
  }
}

}  // namespace handfast::http
