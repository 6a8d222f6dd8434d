#pragma once
// What the keys and rules of both kinds of policies are put together from.

#include <string>
#include <string_view>

#include "proxy/config/model.h"
#include "proxy/pki/verify.h"

namespace handfast::server {

[[nodiscard]] inline pki::CrlScope scope_of(config::RevocationScope scope) {
  switch (scope) {
    case config::RevocationScope::Off:
      return pki::CrlScope::Off;
    case config::RevocationScope::Listed:
      return pki::CrlScope::Listed;
    case config::RevocationScope::Leaf:
      return pki::CrlScope::Leaf;
    case config::RevocationScope::Chain:
      return pki::CrlScope::Chain;
  }
  return pki::CrlScope::Chain;
}

// One field of a key: its length first, so that no two lists of fields give the same text.
inline void add_field(std::string& key, std::string_view field) {
  key.append(std::to_string(field.size())).append(":").append(field).append(";");
}

}  // namespace handfast::server
