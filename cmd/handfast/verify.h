#pragma once
// `handfast verify`: judges a certificate chain on files with the code that the proxy uses.

#include <span>
#include <string_view>

namespace handfast {

// `arguments`: what follows the word `verify`. Exit status: 0 after printing `ok`; 1 after printing
// the reason word on stdout and the detail on stderr (material that can't be used, such as a torn
// CRL, has its word too: bad_crl); 2 for wrong usage and files that can't be read.
int verify_command(std::span<const std::string_view> arguments);

}  // namespace handfast
