#pragma once
// What --crl-fetch says: where a CRL is to be had, and by whose certificate it must be signed.
//
//   --crl-fetch CA-FILE=URL
//
// The signature is checked before a list takes the place of another one, since anybody on the way
// may answer a request over plain HTTP: a list that only claims to be the issuer's would be no use
// later, and the good one gone.

#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/options.h"
#include "proxy/base/result.h"

namespace handfast::fetch {

struct CrlPoint {
  std::string ca_file;  // PEM; read again at each fetch
  std::string url;      // http://HOST[:PORT]/PATH
  friend bool operator==(const CrlPoint&, const CrlPoint&) = default;
};

// InvalidValue with a sentence.
[[nodiscard]] Result<CrlPoint> parse_crl_point(std::string_view text);

void add_flags(OptionSet& options);
[[nodiscard]] Result<std::vector<CrlPoint>> read_flags(const ParsedOptions& parsed);

}  // namespace handfast::fetch
