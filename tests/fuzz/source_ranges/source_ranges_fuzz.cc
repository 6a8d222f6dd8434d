// Lists of clients' addresses: what is read is what the proxy takes, and a list that isn't read
// refuses, so that none ever becomes everybody.

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "controller/translate/source_ranges.h"
#include "proxy/base/check.h"
#include "proxy/base/network_set.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {

void fuzz_one(std::span<const std::byte> input) {
  objects::Ingress ingress;
  ingress.meta.annotations["handfast.dev/allowlist-source-range"] =
      std::string(reinterpret_cast<const char*>(input.data()), input.size());
  ingress.rules.resize(1);
  ingress.rules.front().paths.resize(1);
  translate::Report findings;
  translate::ObjectReport report{findings, "Ingress", ingress.meta};
  std::optional<config::Refusal> refused;

  const auto ranges =
      translate::read_source_ranges(ingress, translate::Annotations{ingress}, report, refused);

  if (!ranges) {
    if (refused) return;
    const std::string_view value = ingress.meta.annotations.begin()->second;
    check(value.find("/0") != std::string_view::npos, "a list became everybody");
    return;
  }
  check(!refused, "read and refused");
  check(!ranges->allowed.empty(), "a list became nothing");
  const auto set = NetworkSet::parse(ranges->allowed);
  check(set.has_value() && !set->empty(), "a list that the proxy doesn't take");
  for (const std::string& network : ranges->allowed) {
    const auto address = parse_ip(std::string_view(network).substr(0, network.find('/')));
    check(clear_host_bits(network) == network, "a network in two forms");
    check(address.has_value(), "a network without an address");
  }
}

}  // namespace handfast
