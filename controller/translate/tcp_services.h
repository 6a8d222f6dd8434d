#pragma once
// The ConfigMap of TCP services, as ingress-nginx has it, and two things more:
//
//   "9000": NAMESPACE/SERVICE:PORT[:PROXY[:PROXY]]
//           [:TLS=NAMESPACE/SECRET[:CLIENT=NAMESPACE/SECRET]]
//
// The first PROXY: peers begin with a PROXY header. The second: the Service is told the client in
// one. Either may be empty. TLS: it ends here, by the Secret's certificate. CLIENT: clients must
// show a certificate of the Secret's CA (nginx: ssl_client_certificate, ssl_crl, ssl_verify_client
// on). PORT is a number or a name of the Service's ports.
//
// An entry that is wrong is told and not served, and hurts no other.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/objects/objects.h"
#include "controller/translate/findings.h"
#include "controller/translate/operator_crls.h"
#include "controller/translate/options.h"
#include "controller/translate/secrets.h"
#include "proxy/base/result.h"
#include "proxy/config/model.h"

namespace handfast::translate {

struct TcpEntry {
  std::uint16_t port = 0;
  std::string ns;
  objects::ServiceBackend backend;
  bool expect_proxy_header = false;
  bool send_proxy_header = false;
  std::optional<NamespacedName> certificate;
  std::optional<NamespacedName> client;  // never without `certificate`
};

// Key and value of the ConfigMap. InvalidValue with a sentence that shows the form.
[[nodiscard]] Result<TcpEntry> parse_tcp_entry(std::string_view key, std::string_view value);

// Leads a stream to its Service, by the policy that applies: fills `service`, `upstream_tls` and
// `refused`.
using AimStream =
    std::function<void(const std::string& ns, const objects::ServiceBackend& backend,
                       const std::string& field, ObjectReport& report, config::StreamRoute& route)>;

// Sorted by port.
[[nodiscard]] std::vector<config::TcpPort> make_tcp_ports(const objects::ConfigMap& map,
                                                          const Options& options,
                                                          Materials& materials,
                                                          OperatorCrls& operator_crls,
                                                          Report& report, const AimStream& aim);

}  // namespace handfast::translate
