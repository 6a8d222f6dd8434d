#pragma once
// The values of the ConfigMap's ssl-* keys, each read strictly: an unknown name is an error, though
// OpenSSL would pass over it and offer what is left. Pure; errors are InvalidValue with a sentence.

#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/result.h"

namespace handfast::translate {

struct FrontCiphers {
  std::string list;                         // of OpenSSL, for TLS 1.2
  std::vector<std::string> without_effect;  // names that were taken out of it: TLS 1.3's, DHE
};
[[nodiscard]] Result<FrontCiphers> parse_front_ciphers(std::string_view value);

// "auto", or names of groups with ':' between. The answer to the former is empty.
[[nodiscard]] Result<std::string> parse_front_groups(std::string_view value);

}  // namespace handfast::translate
