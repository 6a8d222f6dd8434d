#include "proxy/http/trailers.h"

namespace handfast::http {

bool passes_as_trailer(HeaderId id) {
  switch (id) {
    case HeaderId::Other:
    case HeaderId::Date:
    case HeaderId::Server:
    case HeaderId::UserAgent:
    case HeaderId::Referer:
      return true;
    case HeaderId::Connection:
    case HeaderId::ContentLength:
    case HeaderId::Expect:
    case HeaderId::Host:
    case HeaderId::KeepAlive:
    case HeaderId::ProxyAuthenticate:
    case HeaderId::ProxyAuthorization:
    case HeaderId::ProxyConnection:
    case HeaderId::Te:
    case HeaderId::Trailer:
    case HeaderId::TransferEncoding:
    case HeaderId::Upgrade:
    case HeaderId::Protected:
      return false;
  }
  return false;
}

bool TrailerSection::add(const Header& field) {
  if (!passes_as_trailer(field.id)) return true;
  const std::string& name = texts_.emplace_back(field.name);
  const std::string& value = texts_.emplace_back(field.value);
  return list_.add({name, value, field.id});
}

const HeaderList& no_trailers() {
  static const HeaderList none;
  return none;
}

}  // namespace handfast::http
