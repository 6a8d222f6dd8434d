#pragma once
// Names of hosts and peers, beyond the syntax that controller/objects/names.h judges.

#include <string>
#include <string_view>

namespace handfast::translate {

// What may stand in a certificate as a DNS name: labels of letters, digits, '-' and '_', in any
// case.
[[nodiscard]] bool is_dns_name(std::string_view text);

// An IPv4 or IPv6 address in text.
[[nodiscard]] bool is_ip_address(std::string_view text);

// Does it lead to the machine itself? Names of localhost, loopback and unspecified addresses.
[[nodiscard]] bool is_this_machine(std::string_view host);

// Would a resolver take the last label for a number ("127.1", "0x7f.1") and make an address of it?
[[nodiscard]] bool ends_in_number(std::string_view host);

// Of a host in a rule: "shop.example" or "*.shop.example".
[[nodiscard]] bool is_host(std::string_view text);

// ASCII only.
[[nodiscard]] std::string to_lower(std::string_view text);
[[nodiscard]] std::string_view trim(std::string_view text);

}  // namespace handfast::translate
